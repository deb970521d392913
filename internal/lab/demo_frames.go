package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The modes of a demonstration: what the VPN carries.
const (
	modeTUN = "tun" // IP packets
	modeTAP = "tap" // Ethernet frames
)

// tapPeers is how many peers a demonstration with frames has: one sends to a group,
// one is in it, and one is not.
const tapPeers = 3

// checkMode fills in the defaults of a mode and refuses what it cannot show.
func (o *DemoOptions) checkMode() error {
	switch o.Mode {
	case "":
		o.Mode = modeTUN
		return nil
	case modeTUN:
		return nil
	case modeTAP:
	default:
		return fmt.Errorf("lab: %q is not a mode of the VPN: use %s or %s", o.Mode, modeTUN, modeTAP)
	}
	if o.Peers == 0 {
		o.Peers = tapPeers
	}
	if o.RDVMode == "" {
		o.RDVMode = "strict"
	}
	if o.Size == 0 {
		o.Size = minTransfer // nothing is transferred
	}
	switch {
	case o.Peers != tapPeers:
		return fmt.Errorf("lab: in mode tap there are %d peers: one that sends to a group, one that is in it, and one that is not", tapPeers)
	case !o.authenticates():
		return errors.New("lab: in mode tap the rendezvous server needs a certificate, to tell members who is there: use mixed or strict")
	case !o.direct(o.NATs[0], o.NATs[0]) || !o.direct(o.NATs[0], o.NATs[1]):
		return fmt.Errorf("lab: in mode tap every pair needs a direct path, and between %v and %v, or %v and %v, there is none",
			o.NATs[0], o.NATs[0], o.NATs[0], o.NATs[1])
	}
	return nil
}

// A frameWorld is what the demonstration acts on to show the Ethernet between peers.
type frameWorld interface {
	// Meet sends echo requests from one peer to another, and finds out how long the
	// first one waited for the hardware address.
	Meet(ctx context.Context, from, to int) (Meeting, error)
	// Stream has a peer send to a group, while one of two others joins it, and leaves
	// it again after meanwhile has returned.
	Stream(ctx context.Context, from, member, other int, meanwhile func(context.Context) error) (StreamResult, error)
	// Ask asks the client of a peer for a document by one of its commands.
	Ask(ctx context.Context, peer int, command string) ([]byte, error)
}

// A Meeting is what the first packets between two hosts on an Ethernet were.
type Meeting struct {
	ARP  time.Duration // from the question for the hardware address to the answer
	MAC  string        // the answer
	Ping PingResult
}

// A StreamResult is what became of a stream to a group. Datagrams that leave the
// sender's host for another are counted there, sealed, on their way to the NAT.
type StreamResult struct {
	Before StreamCount   // in a second in which nobody wanted it
	First  time.Duration // from the join to the first datagram
	During StreamCount   // in a second in which one peer wanted it
	Pruned time.Duration // from the leave to the last datagram on its way to the peer
}

// A StreamCount is what happened in some time.
type StreamCount struct {
	Sent     int `json:"sent"`      // datagrams to the group
	Received int `json:"received"`  // by the member's program
	ToMember int `json:"to_member"` // datagrams of the tunnel, with as much in them
	ToOther  int `json:"to_other"`
}

// The group of a demonstration, and its stream: 80 kB/s.
var streamGroup = netip.MustParseAddr("239.1.2.3")

const (
	streamPort     = 5004
	streamSize     = 800 // bytes of a datagram: more than anything else that is sent meanwhile
	streamInterval = 10 * time.Millisecond
	streamSpan     = time.Second            // in which datagrams are counted
	streamQuiet    = 500 * time.Millisecond // without a datagram: there come no more
)

// How long things may take in a demonstration with frames.
const (
	meshPatience  = 20 * time.Second
	arpPatience   = 5 * time.Second
	firstPatience = 10 * time.Second
	prunePatience = 10 * time.Second

	// maxFirst is how long a member may wait for a stream that flows, and maxPruned for
	// how long it may get one after it has left: two questions, a second apart, have
	// to be without answer (RFC 3376 section 6.4.2).
	maxFirst  = time.Second
	maxPruned = 5 * time.Second
)

// showFrames goes through the steps that only an Ethernet has.
func (d *demo) showFrames(ctx context.Context) error {
	for _, part := range []func(context.Context) error{d.mesh, d.meet, d.stream} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// mesh waits until every peer has a tunnel to every other one.
func (d *demo) mesh(ctx context.Context) error {
	direct, _ := pairs(d.plan, d.o.direct)
	var last time.Time
	for _, p := range direct {
		l, err := d.await(ctx, meshPatience, p.a, time.Time{}, Pattern{msgOpened, vpnAddr(p.b).String()})
		if err != nil {
			return d.fail("mesh", err, p.a, p.b, theServer)
		}
		if last.Before(l.Time) {
			last = l.Time
		}
	}
	took := max(0, last.Sub(d.clients))
	d.report("mesh", true, map[string]any{"tunnels": len(direct), "took_ms": inMilliseconds(took)},
		"%d tunnels between %d peers, without a packet that asked for one: the last is open %v after the first client was started",
		len(direct), len(d.plan), short(took))
	return nil
}

// meet shows the first packets between two peers.
func (d *demo) meet(ctx context.Context) error {
	const from, to = 0, 1
	m, err := d.world.Meet(ctx, from, to)
	if err == nil && m.Ping.Received() < len(m.Ping.RTT) {
		err = fmt.Errorf("%s pings %s: %v; not one was to be lost", nameOf(from), nameOf(to), m.Ping)
	}
	if err != nil {
		return d.fail("arp", err, from, to)
	}
	d.report("arp", true, map[string]any{"from": nameOf(from), "to": nameOf(to), "took_ms": inMilliseconds(m.ARP), "mac": m.MAC},
		"%s asks all who has %v: %s has it, after %v", nameOf(from), vpnAddr(to), m.MAC, short(m.ARP))
	d.report("ping", true, map[string]any{
		"from": nameOf(from), "to": nameOf(to), "sent": len(m.Ping.RTT), "received": m.Ping.Received(),
		"first_ms": inMilliseconds(m.Ping.First()), "median_ms": inMilliseconds(m.Ping.Median()),
	}, "%s → %s: %v", nameOf(from), nameOf(to), m.Ping)
	return nil
}

// stream shows that multicast goes to those who want it, and to nobody else.
func (d *demo) stream(ctx context.Context) error {
	const from, member, other = 0, 1, 2
	var knows string
	r, err := d.world.Stream(ctx, from, member, other, func(ctx context.Context) (err error) {
		knows, err = d.tables(ctx, from, member)
		return err
	})
	if err != nil {
		return d.fail("stream", err, from, member)
	}
	if n := r.Before.ToMember + r.Before.ToOther; n > 0 || r.Before.Sent == 0 {
		return d.fail("stream", fmt.Errorf("nobody wants %v, and %d of %d datagrams have left %s", streamGroup, n, r.Before.Sent, nameOf(from)), from, member, other)
	}
	d.report("stream", true, r.Before, "%s sends to %v, which nobody wants: of %d datagrams in a second none has left its host",
		nameOf(from), streamGroup, r.Before.Sent)
	if r.First > maxFirst {
		return d.fail("join", fmt.Errorf("%s had the first datagram %v after it had joined; that should take less than %v", nameOf(member), short(r.First), maxFirst), from, member)
	}
	d.report("join", true, map[string]any{"peer": nameOf(member), "first_ms": inMilliseconds(r.First)},
		"%s joins %v: the first datagram is there after %v", nameOf(member), streamGroup, short(r.First))
	if c := r.During; c.ToOther > 0 || c.Sent == 0 || c.ToMember*4 < c.Sent*3 || c.Received*4 < c.Sent*3 {
		return d.fail("stream", fmt.Errorf("of %d datagrams %d went to %s, which is in the group and has %d, and %d to %s, which is not",
			c.Sent, c.ToMember, nameOf(member), c.Received, c.ToOther, nameOf(other)), from, member, other)
	}
	d.report("stream", true, r.During, "of %d datagrams in a second %d were sent to %s, which is in the group, and none to %s, which is not",
		r.During.Sent, r.During.ToMember, nameOf(member), nameOf(other))
	d.report("tables", true, nil, "%s", knows)
	if r.Pruned > maxPruned {
		return d.fail("leave", fmt.Errorf("%s was sent the group for %v after it had left; that should be less than %v", nameOf(member), short(r.Pruned), maxPruned), from, member)
	}
	d.report("leave", true, map[string]any{"peer": nameOf(member), "pruned_ms": inMilliseconds(r.Pruned)},
		"%s leaves %v: nothing was sent to it any more after %v", nameOf(member), streamGroup, short(r.Pruned))
	return nil
}

// What the demonstration reads of the tables of a client; docs/control.md has all.
type (
	macTable struct {
		MACs []struct {
			MAC        string     `json:"mac"`
			VPNAddress netip.Addr `json:"vpn_address"`
			Kind       string     `json:"kind"`
		} `json:"macs"`
	}
	groupTable struct {
		Groups []struct {
			Group   netip.Addr `json:"group"`
			Members []struct {
				VPNAddress netip.Addr `json:"vpn_address"`
			} `json:"members"`
		} `json:"groups"`
	}
)

// tables asks a peer what it knows of hardware addresses and groups, checks it, and
// returns it in short. member is in the group, and nobody else.
func (d *demo) tables(ctx context.Context, peer, member int) (string, error) {
	var macs macTable
	var groups groupTable
	for command, doc := range map[string]any{"fdb": &macs, "mdb": &groups} {
		b, err := d.world.Ask(ctx, peer, command)
		if err == nil {
			err = json.Unmarshal(b, doc)
		}
		if err != nil {
			return "", fmt.Errorf("campagnol %s of %s: %w", command, nameOf(peer), err)
		}
	}
	var who, where []string
	for _, m := range macs.MACs {
		if m.VPNAddress.IsValid() {
			where = append(where, fmt.Sprintf("%s at %v (%s)", m.MAC, m.VPNAddress, m.Kind))
		}
	}
	for p := range d.plan {
		at := vpnAddr(p).String()
		if p != peer && !slices.ContainsFunc(where, func(s string) bool { return strings.Contains(s, " at "+at+" ") }) {
			return "", fmt.Errorf("campagnol fdb of %s does not know an address of %s", nameOf(peer), nameOf(p))
		}
	}
	for _, g := range groups.Groups {
		for _, m := range g.Members {
			if g.Group == streamGroup {
				who = append(who, m.VPNAddress.String())
			}
		}
	}
	if got, want := strings.Join(who, ", "), vpnAddr(member).String(); got != want {
		return "", fmt.Errorf("campagnol mdb of %s says that %v is wanted by %q, want %q", nameOf(peer), streamGroup, got, want)
	}
	return fmt.Sprintf("%s knows: %s (campagnol fdb); %v is wanted by %s (campagnol mdb)",
		nameOf(peer), strings.Join(where, ", "), streamGroup, who[0]), nil
}
