package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
	play "campagnol/internal/lab/program"
)

// The tests of the Ethernet mode start this binary again as sender, receiver or router.
func init() { play.Main() }

// A tapNet is a mesh of Ethernet whose members have found each other, with programs
// that send and receive films: datagrams to a group, 20 a second.
type tapNet struct {
	*mesh
	films int // programs started so far, to tell their logs apart
}

const (
	filmPort = 5004
	filmRate = 20
	filmSize = 701 // of a datagram

	// filmFrame is the length of the frame of a datagram over IPv4.
	filmFrame = 14 + 20 + 8 + filmSize

	// tapPatience is how long something may take on a busy machine that is over in
	// moments on others.
	tapPatience = 30 * time.Second
)

// newTAPNet starts a mesh and waits until it is one.
func newTAPNet(t *testing.T, lines string, nats ...lab.Kind) *tapNet {
	t.Helper()
	n := &tapNet{mesh: newTAPMesh(t, lines, nats...)}
	n.meshed()
	return n
}

// settles waits until every member knows what the others want. Before, it sends them
// everything: their hosts may not have answered yet.
func (n *tapNet) settles() {
	n.t.Helper()
	var taps []*lab.Watch
	for _, p := range n.peers {
		taps = append(taps, n.tap(p))
	}
	for i, from := range taps {
		for tries := 0; ; tries++ {
			probe, marker := fmt.Sprintf("probe %d %d", i, tries), fmt.Sprintf("marker %d %d", i, tries)
			src := frame.MAC{2, 0, 0, 0, 9, byte(i)}
			n.send(from, udpTo(src, "198.51.100.1", "239.255.0.9", 0, probe))
			n.send(from, udpTo(src, "198.51.100.1", "255.255.255.255", 0, marker))
			leaks := 0
			for _, to := range taps {
				if to != from {
					n.arrives(to, marker)
					leaks += to.Count(says(probe))
				}
			}
			if leaks == 0 {
				break
			}
			if tries > 1000 {
				n.t.Fatalf("%s sends everything to everybody", n.peers[i].Name())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// soon returns a context that ends when something should have happened long ago.
func (n *tapNet) soon() context.Context {
	ctx, cancel := context.WithTimeout(n.t.Context(), tapPatience)
	n.t.Cleanup(cancel)
	return ctx
}

// must fails the test.
func (n *tapNet) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// label returns a name for a program.
func (n *tapNet) label(what string) string {
	n.films++
	return fmt.Sprintf("%s.%d", what, n.films)
}

// film starts a sender on a node. Options that are zero get the values of a film.
func (n *tapNet) film(on *lab.Node, o play.SenderOptions, groups ...string) *lab.Sender {
	n.t.Helper()
	for _, g := range groups {
		o.Groups = append(o.Groups, netip.MustParseAddr(g))
	}
	if o.Interface == "" {
		o.Interface = "tap9"
	}
	if o.Rate == 0 {
		o.Rate = filmRate
	}
	o.Port, o.Size = filmPort, filmSize
	s, err := on.StartSender(n.soon(), n.label("film"), o)
	n.must(err)
	return s
}

// A viewer is a receiver on an interface, which has joined nothing yet.
type viewer struct {
	n      *tapNet
	r      *lab.Receiver
	ifname string
}

func (n *tapNet) viewer(on *lab.Node, ifname string) *viewer {
	n.t.Helper()
	r, err := on.StartReceiver(n.soon(), n.label("viewer"), play.ReceiverOptions{Port: filmPort})
	n.must(err)
	return &viewer{n, r, ifname}
}

// of returns the membership in a group; source may be empty.
func (v *viewer) of(group, source string) play.Membership {
	m := play.Membership{Interface: v.ifname, Group: netip.MustParseAddr(group)}
	if source != "" {
		m.Source = netip.MustParseAddr(source)
	}
	return m
}

func (v *viewer) join(group, source string) clock.Instant {
	v.n.t.Helper()
	at, err := v.r.Join(v.n.soon(), v.of(group, source))
	v.n.must(err)
	return at
}

func (v *viewer) leave(group, source string) clock.Instant {
	v.n.t.Helper()
	at, err := v.r.Leave(v.n.soon(), v.of(group, source))
	v.n.must(err)
	return at
}

// first waits for the first datagram of a group that was sent at since or later.
func (v *viewer) first(group string, since clock.Instant) play.Reception {
	v.n.t.Helper()
	g := netip.MustParseAddr(group)
	got, err := v.r.AwaitReception(v.n.soon(), func(r play.Reception) bool { return r.Group == g && r.Sent >= since })
	if err != nil {
		v.n.t.Fatalf("%v gets nothing of %s: %v", v.r.Process, group, err)
	}
	return got
}

// got returns what has come of a group.
func (v *viewer) got(group string) []play.Reception {
	v.n.t.Helper()
	all, err := v.r.Got(v.n.soon())
	v.n.must(err)
	g := netip.MustParseAddr(group)
	return slices.DeleteFunc(slices.Clone(all), func(r play.Reception) bool { return r.Group != g })
}

// watch watches what arrives at an interface until the end of the test.
func (n *tapNet) watch(on *lab.Node, ifname string, filter bool) *lab.Watch {
	n.t.Helper()
	o := lab.WatchOptions{Incoming: true}
	if filter {
		o.Filter = lab.FilterUDP(0)
	}
	w, err := on.Interface(ifname).Watch(o)
	n.must(err)
	n.t.Cleanup(func() { w.Close() })
	return w
}

// tap watches the virtual interface of a peer, and may send frames there, as a host
// behind it would.
func (n *tapNet) tap(p *meshPeer) *lab.Watch {
	n.t.Helper()
	return n.watch(p.Node, "tap9", false)
}

// An underlay counts the records of films that arrive at a member's real interface.
type underlay struct {
	n *tapNet
	w *lab.Watch
}

func (n *tapNet) underlay(p *meshPeer) *underlay {
	n.t.Helper()
	return &underlay{n, n.watch(p.Node, "eth0", true)}
}

// records returns how many records with a frame of a film have come since a moment.
// They are told from those that keep sessions alive, and from what is said about
// groups, by their length.
func (u *underlay) records(since clock.Instant) (count int) {
	u.n.t.Helper()
	if lost, err := u.w.Dropped(); lost != 0 || err != nil {
		u.n.t.Errorf("the watch has missed %d frames (%v)", lost, err)
	}
	for _, s := range u.w.Seen() {
		// Several may be in one datagram, which the kernel has not cut.
		k := len(s.Frame.Payload) / (filmFrame + minOverhead)
		if s.At >= since && k > 0 && len(s.Frame.Payload) <= k*(filmFrame+maxOverhead) {
			count += k
		}
	}
	return count
}

// What a record adds to a frame, depending on the cipher and the padding.
const minOverhead, maxOverhead = 13 + 16, 13 + 8 + 16 + 16 + 20

// isFilm reports whether a frame is of a film to a group.
func isFilm(group string) func(lab.Sighting) bool {
	g := netip.MustParseAddr(group)
	return func(s lab.Sighting) bool { return s.Frame.DstIP == g && s.Frame.DstPort == filmPort }
}

// ends waits until no frame of a film has come for a second, and returns when the last
// one has.
func (n *tapNet) ends(w *lab.Watch, group string) clock.Instant {
	n.t.Helper()
	const quiet = time.Second
	match := isFilm(group)
	for deadline := clock.Now().Add(tapPatience); ; time.Sleep(20 * time.Millisecond) {
		last := clock.Instant(0)
		for _, s := range w.Seen() {
			if match(s) {
				last = s.At
			}
		}
		switch now := clock.Now(); {
		case now.Sub(last) > quiet:
			return last
		case now > deadline:
			n.t.Fatalf("the film to %s does not end", group)
		}
	}
}

// whole checks that nothing of a film is missing between its first and its last
// datagram, and that nothing came twice.
func (n *tapNet) whole(what string, all []play.Reception, gap time.Duration) play.Summary {
	n.t.Helper()
	s := play.Summarise(all, gap)
	if s.Received == 0 || s.Lost != 0 || s.Duplicates != 0 || len(s.Gaps) != 0 {
		n.t.Errorf("%s: %d datagrams, %d lost, %d twice, gaps %v; want some, and nothing of the rest", what, s.Received, s.Lost, s.Duplicates, s.Gaps)
	}
	return s
}

// udpTo returns a frame of a film in a VLAN; 0 is none.
func udpTo(src frame.MAC, from, group string, vid uint16, payload string) []byte {
	h := frame.Header{Src: src, SrcIP: netip.MustParseAddr(from), DstIP: netip.MustParseAddr(group), TTL: 4}
	if vid != 0 {
		h.Tags = []frame.Tag{{VID: vid, Priority: 3}}
	}
	return frame.UDP(h, filmPort, filmPort, []byte(payload))
}

// reportOf returns the frame with which a host joins a group.
func reportOf(src frame.MAC, from, group string, vid uint16) []byte {
	h := frame.Header{Src: src, SrcIP: netip.MustParseAddr(from)}
	if vid != 0 {
		h.Tags = []frame.Tag{{VID: vid}}
	}
	return frame.Membership(h, frame.Message{Kind: frame.Report, Version: 3, Records: []frame.Record{{Type: frame.ToEx, Group: netip.MustParseAddr(group)}}})
}

// says reports whether a frame has a text.
func says(text string) func(lab.Sighting) bool {
	return func(s lab.Sighting) bool { return string(s.Frame.Payload) == text }
}

// arrives waits until a frame with a text comes.
func (n *tapNet) arrives(w *lab.Watch, text string) lab.Sighting {
	n.t.Helper()
	s, err := w.Await(n.soon(), 0, says(text))
	if err != nil {
		n.t.Fatalf("%q: %v", text, err)
	}
	return s
}

// send sends a frame into a TAP.
func (n *tapNet) send(w *lab.Watch, b []byte) {
	n.t.Helper()
	n.must(w.Send(b))
}
