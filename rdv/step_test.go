package rdv

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// Endpoints of the tests. A and A2 are behind one NAT.
var (
	epA  = netip.MustParseAddrPort("203.0.113.21:49380")
	epA2 = netip.MustParseAddrPort("203.0.113.21:50000")
	epB  = netip.MustParseAddrPort("203.0.113.22:39538")
	epB2 = netip.MustParseAddrPort("203.0.113.22:39539")
	epC  = netip.MustParseAddrPort("203.0.113.23:1024")
	epD  = netip.MustParseAddrPort("198.51.100.4:57888")
)

// VPN addresses of the tests.
var (
	ip1 = netip.MustParseAddr("10.9.0.1")
	ip2 = netip.MustParseAddr("10.9.0.2")
	ip3 = netip.MustParseAddr("10.9.0.3")
	ip9 = netip.MustParseAddr("10.9.0.9")
)

// Messages of clients.
var (
	ping = wire.Message{Type: wire.Ping}
	bye  = wire.Message{Type: wire.Bye}
)

func hello(v netip.Addr) wire.Message { return wire.Message{Type: wire.Hello, IP1: v} }

func helloLocal(v netip.Addr, local string) wire.Message {
	l := netip.MustParseAddrPort(local)
	return wire.Message{Type: wire.Hello, Port: l.Port(), IP1: v, IP2: l.Addr()}
}

func ask(v netip.Addr) wire.Message        { return wire.Message{Type: wire.Ask, IP1: v} }
func closing(v netip.Addr) wire.Message    { return wire.Message{Type: wire.Close, IP1: v} }
func plain(t wire.Type) wire.Message       { return wire.Message{Type: t} }
func to(e netip.AddrPort, t wire.Type) Out { return Out{To: e, Msg: plain(t)} }
func reject(e netip.AddrPort, v netip.Addr) Out {
	return Out{To: e, Msg: wire.Message{Type: wire.Reject, IP1: v}}
}

// introduced is what the asker at a, with VPN address va, and the asked at b
// are sent if they meet at their public addresses.
func introduced(a netip.AddrPort, va netip.Addr, b netip.AddrPort, vb netip.Addr) []Out {
	return introducedAt(a, a, va, b, b, vb)
}

// introducedAt is introduced for the addresses atA and atB.
func introducedAt(a, atA netip.AddrPort, va netip.Addr, b, atB netip.AddrPort, vb netip.Addr) []Out {
	return []Out{
		{To: a, Msg: wire.Message{Type: wire.Answer, Port: atB.Port(), IP1: atB.Addr(), IP2: vb}},
		{To: b, Msg: wire.Message{Type: wire.Forward, Port: atA.Port(), IP1: atA.Addr(), IP2: va}},
	}
}

// A step is a message at a time after the start, and what it is answered.
type step struct {
	at   time.Duration
	from netip.AddrPort
	msg  wire.Message
	want []Out
}

// says returns a step that is answered to its sender with one message without
// fields, or not at all if answer is silence.
func says(at time.Duration, from netip.AddrPort, m wire.Message, answer wire.Type) step {
	s := step{at: at, from: from, msg: m}
	if answer != silence {
		s.want = []Out{to(from, answer)}
	}
	return s
}

// silence stands for no answer.
const silence = wire.Type(255)

// A bench is a registry with the events it has reported.
type bench struct {
	t      *testing.T
	reg    *Registry
	start  time.Time
	events []Event
}

func newBench(t *testing.T, maxClients int) *bench {
	b := &bench{t: t, start: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.reg = NewRegistry(RegistryConfig{
		MaxClients: maxClients,
		Trace:      func(e Event) { b.events = append(b.events, e) },
	})
	return b
}

// run takes the steps one after the other and checks answers and invariants.
func (b *bench) run(steps ...step) {
	b.t.Helper()
	for i, s := range steps {
		out := b.reg.Handle(b.start.Add(s.at), In{From: s.from, Msg: s.msg}, nil)
		if !slices.Equal(out, s.want) {
			b.t.Errorf("step %d, %v, %v says %v:\n got %s\nwant %s", i, s.at, s.from, s.msg, describe(out), describe(s.want))
		}
		if err := check(b.reg); err != nil {
			b.t.Fatalf("after step %d: %v", i, err)
		}
	}
}

// wantLog compares the events so far, in the words of the log, and forgets
// them.
func (b *bench) wantLog(want ...string) {
	b.t.Helper()
	var got []string
	for _, e := range b.events {
		switch e.Kind {
		case ClientAdded:
			got = append(got, fmt.Sprintf("add %v %v", e.Endpoint, e.VPN))
		case ClientRemoved:
			got = append(got, fmt.Sprintf("delete %v %v", e.Endpoint, e.VPN))
		case SessionAdded:
			got = append(got, fmt.Sprintf("new %v %v", e.VPN, e.Peer))
		case SessionRemoved:
			got = append(got, fmt.Sprintf("remove %v %v", e.VPN, e.Peer))
		case TableFull:
			got = append(got, fmt.Sprintf("full %v %v", e.Endpoint, e.VPN))
		}
	}
	b.events = nil
	if !slices.Equal(got, want) {
		b.t.Errorf("events:\n got %s\nwant %s", strings.Join(got, "; "), strings.Join(want, "; "))
	}
}

func describe(out []Out) string {
	if len(out) == 0 {
		return "silence"
	}
	var s []string
	for _, o := range out {
		s = append(s, fmt.Sprintf("to %v: %v", o.To, o.Msg))
	}
	return strings.Join(s, "; ")
}

// check returns an error if the parts of r contradict each other.
func check(r *Registry) error {
	held, err := checkMembers(r)
	if err == nil {
		err = checkDesk(r)
	}
	if err != nil {
		return err
	}
	if len(r.byEndpoint)+held != len(r.byVPN) {
		return fmt.Errorf("%d endpoints and %d addresses of members, but %d VPN addresses", len(r.byEndpoint), held, len(r.byVPN))
	}
	if limit := r.cfg.MaxClients; limit > 0 && r.Len() > limit {
		return fmt.Errorf("%d clients, limit %d", r.Len(), limit)
	}
	n, heard := 0, never
	var before *client
	for c := r.byAge.first; c != nil; before, c = c, c.age.next {
		n++
		if r.byEndpoint[c.endpoint] != c || r.byVPN[c.vpn] != c {
			return fmt.Errorf("client %v is not in both tables", c.vpn)
		}
		if c.age.prev != before || c.heard < heard || c.heard > r.now {
			return fmt.Errorf("client %v, heard at %v, has the wrong place in the list", c.vpn, c.heard)
		}
		if r.now-c.heard >= deadAfter {
			return fmt.Errorf("client %v is dead since %v", c.vpn, r.now-c.heard-deadAfter)
		}
		heard = c.heard
	}
	if n != len(r.byEndpoint) || r.byAge.last != before {
		return fmt.Errorf("%d clients in the list, %d in the table", n, len(r.byEndpoint))
	}
	return checkSessions(r)
}

// checkMembers returns an error if the parts about members contradict each other,
// and else how many addresses they hold.
func checkMembers(r *Registry) (held int, err error) {
	holders, n, intros := 0, 0, 0
	heard := never
	var before *Member
	for m := r.memberBy.first; m != nil; before, m = m, m.age.next {
		n++
		switch {
		case r.members[m.spot()] != m:
			return 0, fmt.Errorf("member %v is not in the table", m.at)
		case m.age.prev != before || m.heard < heard || m.heard > r.now:
			return 0, fmt.Errorf("member %v, heard at %v, has the wrong place in the list", m.at, m.heard)
		case r.now-m.heard >= deadAfter:
			return 0, fmt.Errorf("member %v is dead since %v", m.at, r.now-m.heard-deadAfter)
		case len(m.intros) > maxIntros:
			return 0, fmt.Errorf("member %v has %d introductions waiting", m.at, len(m.intros))
		}
		if e, ok := endpointOf(m.at); ok && r.byEndpoint[e] != nil {
			return 0, fmt.Errorf("member %v is registered in clear, too", m.at)
		}
		for _, c := range m.held {
			if c.member != m || r.byVPN[c.vpn] != c || !m.id.allows(c.vpn) || r.owners.byAddr[c.vpn] != nil {
				return 0, fmt.Errorf("member %v does not hold %v as it should", m.at, c.vpn)
			}
		}
		for _, i := range m.intros {
			if i.to != m {
				return 0, fmt.Errorf("an introduction of %v is somebody else's", m.at)
			}
		}
		if len(m.held) > 0 {
			holders++
		}
		heard, held, intros = m.heard, held+len(m.held), intros+len(m.intros)
	}
	for stage := range r.intros {
		for i := r.intros[stage].first; i != nil; i = i.age.next {
			if intros--; i.sent != stage+1 {
				return 0, fmt.Errorf("an introduction that was sent %d times is in list %d", i.sent, stage)
			}
		}
	}
	if n != len(r.members) || holders != r.holders || r.memberBy.last != before || intros != 0 {
		return 0, fmt.Errorf("%d members in the list, %d in the table; %d hold addresses, counted as %d; %d introductions too many",
			n, len(r.members), holders, r.holders, intros)
	}
	if len(r.owners.byAddr) > maxOwners {
		return 0, fmt.Errorf("%d former owners", len(r.owners.byAddr))
	}
	return held, nil
}

func checkSessions(r *Registry) error {
	n, asked := 0, never
	for s := r.sessions.byAge.first; s != nil; s = s.age.next {
		n++
		if r.sessions.byPair[pairOf(s.clients[0], s.clients[1])] != s {
			return fmt.Errorf("a session is not in the table")
		}
		for _, c := range s.clients {
			if r.byVPN[c.vpn] != c {
				return fmt.Errorf("a session of %v, who is not registered", c.vpn)
			}
		}
		if s.asked < asked || r.now-s.asked >= sessionLifetime {
			return fmt.Errorf("a session has the wrong place in the list, or has expired")
		}
		asked = s.asked
	}
	for role := range 2 {
		of := 0
		for _, c := range r.byVPN {
			for s := c.sessions[role]; s != nil; s = s.of[role].next {
				of++
				if s.clients[role] != c {
					return fmt.Errorf("%v has somebody else's session", c.vpn)
				}
			}
		}
		if of != n {
			return fmt.Errorf("clients have %d sessions in role %d, the list has %d", of, role, n)
		}
	}
	if n != r.Sessions() {
		return fmt.Errorf("%d sessions in the list, %d in the table", n, r.Sessions())
	}
	return nil
}
