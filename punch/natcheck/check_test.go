package natcheck

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/punch/nat"
	"campagnol/punch/stun"
)

var (
	begin   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	here    = netip.MustParseAddr("192.168.1.2")
	public  = netip.MustParseAddr("203.0.113.1")
	serverA = netip.MustParseAddrPort("198.51.100.1:3478")
	serverB = netip.MustParseAddrPort("198.51.100.9:3478")
	otherA  = netip.MustParseAddrPort("198.51.100.2:3479")
	liar    = netip.MustParseAddrPort("192.0.2.66:666")
)

// numbered returns a source of transaction IDs that can be told apart.
func numbered() func() stun.ID {
	n := uint64(0)
	return func() (id stun.ID) {
		n++
		binary.BigEndian.PutUint64(id[:], n)
		return id
	}
}

// local returns the local port of a socket of a stage, seen the endpoint that servers
// see if a test does not say otherwise.
func local(socket int) uint16 { return uint16(5000 + socket) }
func seen(socket int) netip.AddrPort {
	return netip.AddrPortFrom(public, uint16(30000+7*socket))
}

// A stage lets a check talk with servers that a test makes up.
type stage struct {
	t      *testing.T
	c      *Check
	codec  stun.Codec
	now    time.Time
	out    []Out
	answer func(o Out, q stun.Request) (stun.Response, netip.AddrPort) // the zero Response: none
	log    []string
}

func newStage(t *testing.T, fresh int, servers []netip.AddrPort, answer func(o Out, q stun.Request) (stun.Response, netip.AddrPort)) *stage {
	t.Helper()
	s := &stage{t: t, now: begin, answer: answer}
	cfg := Config{Servers: servers, HostAddrs: []netip.Addr{here}, ID: numbered()}
	for i := range 1 + fresh {
		cfg.Ports = append(cfg.Ports, local(i))
	}
	s.c, s.out = Start(s.now, cfg, nil)
	return s
}

// run lets time pass until the check is over; answers take a millisecond.
func (s *stage) run() Result {
	s.t.Helper()
	for steps := 0; !s.c.Done(); steps++ {
		if steps > 1000 {
			s.t.Fatal("the check does not come to an end")
		}
		out := s.out
		s.out = nil
		for _, o := range out {
			q, err := s.codec.ParseRequest(o.Data)
			if err != nil {
				s.t.Fatalf("sent %x: %v", o.Data, err)
			}
			s.log = append(s.log, o.To.String())
			if r, from := s.answer(o, q); r.Code != 0 || r.Mapped.IsValid() {
				s.now = s.now.Add(time.Millisecond)
				s.out = s.c.Handle(s.now, o.Socket, from, s.codec.AppendResponse(nil, &r), s.out)
			}
		}
		if len(s.out) > 0 || s.c.Done() {
			continue
		}
		next := s.c.Timeout()
		if next.Before(s.now) {
			s.t.Fatalf("Timeout is %v in the past", s.now.Sub(next))
		}
		s.now = next
		s.out = s.c.Advance(s.now, s.out)
	}
	if !s.c.Timeout().IsZero() {
		s.t.Error("a check that is over wants more time")
	}
	if s.c.Sent() != len(s.log)+len(s.out) {
		s.t.Errorf("Sent is %d, %d were", s.c.Sent(), len(s.log))
	}
	return s.c.Result()
}

// honest answers as a server does that has a second port, or address, as others say.
func honest(ports, addrs bool) func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
	return func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
		r := stun.Response{ID: q.ID, Mapped: seen(o.Socket)}
		switch {
		case o.To.Addr() == public:
			return stun.Response{}, o.To // nothing comes back
		case addrs:
			r.Other = otherA
		case ports:
			r.OtherPort = otherA.Port()
		}
		if q.ChangeAddr || q.ChangePort {
			return stun.Response{}, o.To // filtered
		}
		return r, o.To
	}
}

// TestSilence: nobody answers. The check gives up within four seconds.
func TestSilence(t *testing.T) {
	s := newStage(t, 4, []netip.AddrPort{serverA, serverB}, func(Out, stun.Request) (stun.Response, netip.AddrPort) { return stun.Response{}, liar })
	r := s.run()
	if want := (nat.Behaviour{Known: true, Blocked: true}); r.Behaviour != want {
		t.Errorf("got %+v, want %+v", r.Behaviour, want)
	}
	if took := s.now.Sub(begin); took != firstGiveUp || took > 4*time.Second {
		t.Errorf("it took %v, want %v", took, firstGiveUp)
	}
	if len(s.log) != 2*firstTries {
		t.Errorf("%d datagrams, want %d", len(s.log), 2*firstTries)
	}
	s = newStage(t, 4, []netip.AddrPort{serverA}, s.answer)
	s.c.cfg.Reached = true
	if r := s.run(); r.Known {
		t.Errorf("although UDP works, silence says %+v", r.Behaviour)
	}
}

func TestNobodyToAsk(t *testing.T) {
	for _, servers := range [][]netip.AddrPort{nil, {{}}, {netip.AddrPortFrom(public, 0)}} {
		c, out := Start(begin, Config{Servers: servers}, nil)
		if !c.Done() || len(out) > 0 || c.Result().Known || !c.Timeout().IsZero() {
			t.Errorf("with servers %v: done %v, sent %v, result %+v", servers, c.Done(), out, c.Result())
		}
	}
}

// TestBounded: however many servers and sockets there are, few datagrams leave.
func TestBounded(t *testing.T) {
	var servers []netip.AddrPort
	for i := range 20 {
		servers = append(servers, netip.AddrPortFrom(serverA.Addr(), uint16(1000+i)), serverA)
	}
	s := newStage(t, 50, servers, honest(true, true))
	s.run()
	if len(s.log) > 40 {
		t.Errorf("%d datagrams: %v", len(s.log), s.log)
	}
	if asked := len(s.c.asked); asked > MaxServers {
		t.Errorf("%d servers were asked", asked)
	}
	if len(s.c.fresh) != MaxFresh {
		t.Errorf("%d fresh sockets were used, want %d", len(s.c.fresh), MaxFresh)
	}
}

// TestUsual: a check with a single server that filters, from four sockets.
func TestUsual(t *testing.T) {
	s := newStage(t, GoodFresh, []netip.AddrPort{serverA}, honest(true, true))
	r := s.run()
	want := nat.Behaviour{Known: true, Translated: true, MappingExact: true, FilteringExact: true,
		Filtering: nat.AddressAndPortDependent, Ports: nat.Sequential, Step: 7}
	if r.Behaviour != want {
		t.Errorf("got %+v, want %+v", r.Behaviour, want)
	}
	if len(s.log) > 20 {
		t.Errorf("%d datagrams, want at most 20: %v", len(s.log), s.log)
	}
	if took := s.now.Sub(begin); took > 1500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

// TestWhatCannotBeTold: servers that have less leave questions open, and the result
// says so.
func TestWhatCannotBeTold(t *testing.T) {
	// Each server sees the primary elsewhere.
	differ := func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
		r, from := honest(false, false)(o, q)
		if r.Mapped.IsValid() && o.To == serverB {
			r.Mapped = netip.AddrPortFrom(public, 9)
		}
		return r, from
	}
	for _, c := range []struct {
		name             string
		servers          []netip.AddrPort
		answer           func(o Out, q stun.Request) (stun.Response, netip.AddrPort)
		mapping          nat.Dependence
		exact, known     bool
		hard, filterTold bool
	}{
		{"one place", []netip.AddrPort{serverA}, honest(false, false), nat.AddressDependent, false, false, false, false},
		{"two ports", []netip.AddrPort{serverA}, honest(true, false), nat.AddressDependent, false, true, false, true},
		{"two addresses", []netip.AddrPort{serverA}, honest(true, true), nat.EndpointIndependent, true, true, false, true},
		{"two servers agree", []netip.AddrPort{serverA, serverB}, honest(false, false), nat.EndpointIndependent, true, true, false, false},
		{"two servers disagree", []netip.AddrPort{serverA, serverB}, differ, nat.AddressAndPortDependent, false, true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newStage(t, GoodFresh, c.servers, c.answer).run()
			if r.Mapping != c.mapping || r.MappingExact != c.exact || r.MappingKnown != c.known || r.Hard() != c.hard {
				t.Errorf("mapping %v, exact %v, known %v, hard %v", r.Mapping, r.MappingExact, r.MappingKnown, r.Hard())
			}
			if r.FilteringKnown != c.filterTold || r.Filtering != nat.AddressAndPortDependent {
				t.Errorf("filtering %v, known %v, want %v", r.Filtering, r.FilteringKnown, c.filterTold)
			}
		})
	}
}

// TestPortsWithoutFreshSockets: those of the primary have to do.
func TestPortsWithoutFreshSockets(t *testing.T) {
	kept := func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
		r, from := honest(true, true)(o, q)
		if r.Mapped.IsValid() {
			r.Mapped = netip.AddrPortFrom(public, local(o.Socket))
		}
		return r, from
	}
	r := newStage(t, 0, []netip.AddrPort{serverA}, kept).run()
	if r.Ports != nat.Preserving || !r.PortsKnown || r.FilteringKnown || r.HairpinKnown {
		t.Errorf("got %+v", r)
	}
	r = newStage(t, 0, []netip.AddrPort{serverA}, honest(true, true)).run()
	if r.Ports != nat.Random || r.PortsKnown {
		t.Errorf("a port that is not kept: %+v, want the worst, and not known", r)
	}
}

// TestOtherPlacesAway: that a server's other places are silent says nothing of the
// NAT.
func TestOtherPlacesAway(t *testing.T) {
	away := func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
		r, from := honest(true, true)(o, q)
		if o.To != serverA {
			r = stun.Response{}
		}
		return r, from
	}
	s := newStage(t, GoodFresh, []netip.AddrPort{serverA}, away)
	if r := s.run(); r.MappingKnown || r.FilteringKnown || !r.PortsKnown {
		t.Errorf("got %+v, want mapping and filtering not known", r)
	}
	if took := s.now.Sub(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestNotTranslated: a public address has no NAT; a port that changes is one.
func TestNotTranslated(t *testing.T) {
	for _, c := range []struct {
		mapped netip.AddrPort
		want   bool
	}{
		{netip.AddrPortFrom(here, local(0)), false},
		{netip.AddrPortFrom(here, 9), true},
		{netip.AddrPortFrom(public, local(0)), true},
	} {
		r := newStage(t, 0, []netip.AddrPort{serverA}, func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
			return stun.Response{ID: q.ID, Mapped: c.mapped}, o.To
		}).run()
		if r.Translated != c.want || !c.want && (!r.MappingExact || r.Mapping != nat.EndpointIndependent) {
			t.Errorf("seen at %v: %+v, want translated %v", c.mapped, r.Behaviour, c.want)
		}
	}
}

// TestBetterServer: a server with two addresses is preferred to one that is faster,
// if it is not much slower.
func TestBetterServer(t *testing.T) {
	s := newStage(t, 0, []netip.AddrPort{serverB, serverA}, func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
		return honest(true, o.To == serverA)(o, q)
	})
	s.run()
	if s.c.main.to != serverA {
		t.Errorf("examined with %v, want %v", s.c.main.to, serverA)
	}
}

// TestErrorAnswer: a server that refuses is one that does not answer.
func TestErrorAnswer(t *testing.T) {
	r := newStage(t, 1, []netip.AddrPort{serverA}, func(o Out, q stun.Request) (stun.Response, netip.AddrPort) {
		return stun.Response{ID: q.ID, Code: 400}, o.To
	}).run()
	if r.Servers[0].Answered || !r.Blocked {
		t.Errorf("got %+v", r)
	}
}

// TestPorts is the table of how ports are taken.
func TestPorts(t *testing.T) {
	for _, c := range []struct {
		ports string // of fresh sockets with the local ports 10, 11, 12, 13
		want  nat.PortChoice
		step  int8
		known bool
	}{
		{"10 11 12 13", nat.Preserving, 0, true},
		{"10 11 999 13", nat.Preserving, 0, true}, // another host had it
		{"10 999 998 13", nat.Random, 0, true},
		{"100 101 102 103", nat.Sequential, 1, true},
		{"100 102 104 106", nat.Sequential, 2, true},
		{"100 99 98 97", nat.Sequential, -1, true},
		{"100 101 105 106", nat.Sequential, 1, true}, // others took some between
		{"65534 65535 0 1", nat.Sequential, 1, true},
		{"100 101 100 101", nat.Random, 0, true},
		{"100 100 100 100", nat.Random, 0, true},
		{"100 133 134 135", nat.Random, 0, true},
		{"40000 3 777 12345", nat.Random, 0, true},
		{"100 101", nat.Random, 0, false}, // may be chance
		{"10 11", nat.Preserving, 0, true},
		{"", nat.Random, 0, false},
	} {
		var r Result
		for i, p := range strings.Fields(c.ports) {
			at := netip.MustParseAddrPort("203.0.113.1:" + p)
			r.Fresh = append(r.Fresh, Pair{Local: uint16(10 + i), Public: at})
		}
		new(Check).ports(&r)
		if r.Ports != c.want || r.Step != c.step || r.PortsKnown != c.known {
			t.Errorf("%q: %v, step %d, known %v, want %v, %d, %v", c.ports, r.Ports, r.Step, r.PortsKnown, c.want, c.step, c.known)
		}
	}
}

// TestStrangers: answers from elsewhere, to another socket, with another ID, or that
// make no sense, change nothing.
func TestStrangers(t *testing.T) {
	s := newStage(t, 1, []netip.AddrPort{serverA}, nil)
	q, err := s.codec.ParseRequest(s.out[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	good := stun.Response{ID: q.ID, Mapped: seen(0)}
	guessed := good
	guessed.ID[11]++
	v6 := good
	v6.Mapped = netip.MustParseAddrPort("[2001:db8::1]:5")
	for name, x := range map[string]struct {
		socket int
		from   netip.AddrPort
		data   []byte
	}{
		"from another address":  {0, liar, s.codec.AppendResponse(nil, &good)},
		"from another port":     {0, netip.AddrPortFrom(serverA.Addr(), 1), s.codec.AppendResponse(nil, &good)},
		"to another socket":     {1, serverA, s.codec.AppendResponse(nil, &good)},
		"with another ID":       {0, serverA, s.codec.AppendResponse(nil, &guessed)},
		"of another family":     {0, serverA, s.codec.AppendResponse(nil, &v6)},
		"our own request":       {0, serverA, s.out[0].Data},
		"cut":                   {0, serverA, s.codec.AppendResponse(nil, &good)[:24]},
		"nothing":               {0, serverA, nil},
		"to no socket of ours":  {99, serverA, s.codec.AppendResponse(nil, &good)},
		"an answer with no sum": {0, serverA, append(s.codec.AppendResponse(nil, &good), 0)},
	} {
		if out := s.c.Handle(begin, x.socket, x.from, x.data, nil); len(out) > 0 || s.c.phase != asking || s.c.asked[0].over {
			t.Errorf("%s: went on to phase %d and sent %v", name, s.c.phase, out)
		}
	}
	if s.c.Handle(begin, 0, serverA, s.codec.AppendResponse(nil, &good), nil); !s.c.asked[0].answered {
		t.Error("the true answer was not taken")
	}
	lie := good
	lie.Mapped = netip.AddrPortFrom(liar.Addr(), 1)
	s.c.Handle(begin, 0, serverA, s.codec.AppendResponse(nil, &lie), nil)
	if got := s.c.asked[0].answer.Mapped; got != good.Mapped {
		t.Errorf("a second answer took the place of the first: %v", got)
	}
}

// TestSources: the primary socket waits for servers, and later for their other places.
func TestSources(t *testing.T) {
	s := newStage(t, GoodFresh, []netip.AddrPort{serverA}, nil)
	if got := s.c.Sources(); !slices.Equal(got, []netip.AddrPort{serverA}) || !s.c.Awaits(serverA) || s.c.Awaits(liar) {
		t.Errorf("at first from %v", got)
	}
	q, err := s.codec.ParseRequest(s.out[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := honest(true, true)(s.out[0], q)
	s.c.Handle(begin, 0, serverA, s.codec.AppendResponse(nil, &r), nil)
	want := []netip.AddrPort{netip.AddrPortFrom(serverA.Addr(), otherA.Port()), netip.AddrPortFrom(otherA.Addr(), serverA.Port())}
	if got := s.c.Sources(); !slices.Equal(got, want) {
		t.Errorf("then from %v, want %v", got, want)
	}
}

// FuzzCheck hands a check anything from anywhere: it sends no more than it may, and
// comes to an end.
func FuzzCheck(f *testing.F) {
	var codec stun.Codec
	id := numbered()()
	f.Add(codec.AppendResponse(nil, &stun.Response{ID: id, Mapped: seen(0), Other: otherA}), []byte{0, 1, 2, 3})
	f.Add(codec.AppendResponse(nil, &stun.Response{ID: id, Mapped: seen(0), OtherPort: 7}), []byte{4, 0, 5})
	f.Fuzz(func(t *testing.T, data, steps []byte) {
		cfg := Config{Servers: []netip.AddrPort{serverA, serverB}, Ports: []uint16{1, 2, 3, 4}, ID: numbered()}
		c, out := Start(begin, cfg, nil)
		now := begin
		for i, s := range steps[:min(len(steps), 100)] {
			now = now.Add(time.Duration(s>>4) * 10 * time.Millisecond)
			from := []netip.AddrPort{serverA, serverB, otherA, liar}[s&3]
			if s&8 != 0 && len(data) >= 20 {
				binary.BigEndian.PutUint64(data[8:], uint64(i))
			}
			out = c.Handle(now, int(s>>2)&3, from, data, out)
		}
		for n := 0; !c.Done(); n++ {
			if n > 1000 {
				t.Fatal("no end")
			}
			now = c.Timeout()
			out = c.Advance(now, out)
		}
		if len(out) > 40 || len(out) != c.Sent() {
			t.Errorf("%d datagrams, Sent %d", len(out), c.Sent())
		}
		_ = c.Result()
	})
}
