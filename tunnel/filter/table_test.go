package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/pki/policy"
)

const (
	we, they       = "10.9.0.1", "10.9.0.2"
	we6, they6     = "fd00::1", "fd00::2"
	behind, router = "192.168.7.9", "192.0.2.1"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// compile compiles the filter between we and they.
func compile(t testing.TB, text string) *Filter {
	t.Helper()
	p, err := policy.Parse("test", text)
	if err != nil {
		t.Fatal(err)
	}
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	return Compile(p, policy.Member{Names: []string{"we"}, Addrs: addrs(we, we6)},
		policy.Member{Names: []string{"they"}, Addrs: addrs(they, they6), Routes: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}})
}

// newTable returns a table with the rules of a policy.
func newTable(t testing.TB, text string, l Limits) (*Table, *Pool) {
	t.Helper()
	pool := NewPool(start, l)
	return pool.NewTable(compile(t, text)), pool
}

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // rules out and in; "nil"
	}{
		{"", "nil"},
		{"allow all <-> all", "nil"},
		{"filter x -> y: deny", "nil"},
		{"filter we -> they: allow tcp/22", "nil"}, // what else is allowed too
		{"filter all -> all: allow\nfilter we <-> they: deny", "nil"},
		{"filter we -> they: deny", "1 0"},
		{"filter they -> we: deny tcp", "0 1"},
		{"filter we <-> they: deny udp", "1 1"},
		{"filter we -> they: allow icmp\nfilter we -> they: deny\nfilter all -> all: deny", "2 1"},
		{"filter we -> they: deny tcp\nfilter we -> they: allow udp", "1 0"},
		{"filter we -> 192.168.7.0/25: deny", "1 0"},
		{"filter we -> 192.168.8.0/25: deny", "nil"},
		{"filter we -> 192.168.7.0/25: allow\nfilter we -> they: deny tcp", "2 0"},
		{"filter fd00::1 -> they: allow\nfilter we -> they: deny tcp", "2 0"},
		{"filter we -> they: deny\nfilter we -> they: deny tcp", "1 0"},
	} {
		got := "nil"
		if f := compile(t, c.text); f != nil {
			got = fmt.Sprint(len(f.out), len(f.in))
		}
		if got != c.want {
			t.Errorf("%q: %s rules, want %s", c.text, got, c.want)
		}
	}
}

// A step is a packet, at a time after the start.
type step struct {
	at   time.Duration
	d    direction
	s    segment
	want Verdict
	what string
}

// run sends packets through a table.
func run(t *testing.T, table *Table, steps []step) {
	t.Helper()
	for i, s := range steps {
		got := s.s.through(table, start.Add(s.at), s.d)
		if got != s.want {
			t.Errorf("step %d, %s: %v, want %v", i+1, s.what, got, s.want)
		}
	}
}

// through sends s, whose source and destination default to ours and theirs.
func (s segment) through(table *Table, now time.Time, d direction) Verdict {
	if s.src == "" {
		s.src = [...]string{we, they}[d]
	}
	if s.dst == "" {
		s.dst = [...]string{they, we}[d]
	}
	if d == outward {
		return table.Out(now, s.bytes())
	}
	return table.In(now, s.bytes())
}

func tcp(sport, dport uint16, flags uint8) segment {
	return segment{proto: policy.TCP, sport: sport, dport: dport, flags: flags}
}

func udp(sport, dport uint16) segment {
	return segment{proto: policy.UDP, sport: sport, dport: dport}
}

func icmp(kind, id uint16) segment { return segment{proto: policy.ICMP, sport: kind, dport: id} }

const onlySSH = "filter we -> they: allow tcp/22, udp/53, icmp, 47\nfilter all -> all: deny"

func TestTCP(t *testing.T) {
	table, _ := newTable(t, onlySSH, Limits{})
	run(t, table, []step{
		{0, inward, tcp(22, 1000, flagSYN|flagACK), DropRule, "answer before the question"},
		{0, outward, tcp(1000, 22, flagSYN), Pass, "SYN"},
		{0, outward, tcp(1000, 23, flagSYN), DropRule, "SYN to another port"},
		{0, inward, tcp(22, 1000, flagSYN|flagACK), Pass, "SYN+ACK"},
		{0, inward, tcp(22, 1001, flagSYN|flagACK), DropRule, "SYN+ACK for another connection"},
		{0, outward, tcp(1000, 22, flagACK), Pass, "ACK"},
		{0, inward, tcp(22, 1000, flagSYN), DropRule, "their own connection between the same ports"},
		{2 * time.Hour, inward, tcp(22, 1000, flagACK), Pass, "after two hours"},
		{4*time.Hour + 5*time.Minute, inward, tcp(22, 1000, flagACK), DropRule, "after another two hours and five minutes"},
		{4*time.Hour + 5*time.Minute, outward, tcp(1000, 22, flagACK), Pass, "our side goes on"},
		{4*time.Hour + 6*time.Minute, inward, tcp(22, 1000, flagACK), Pass, "and theirs"},
		{5 * time.Hour, inward, tcp(22, 1000, flagACK|flagFIN), Pass, "FIN"},
		{5*time.Hour + 4*time.Minute, outward, tcp(1000, 22, flagACK), Pass, "what follows a FIN"},
		{5*time.Hour + 9*time.Minute, inward, tcp(22, 1000, flagACK), DropRule, "long after the FIN"},
		{6 * time.Hour, outward, tcp(1000, 22, flagSYN), Pass, "the same ports again"},
		{6*time.Hour + time.Minute, inward, tcp(22, 1000, flagACK|flagRST), Pass, "RST"},
		{6*time.Hour + 6*time.Minute, inward, tcp(22, 1000, flagACK), DropRule, "after the RST"},
		{7 * time.Hour, outward, tcp(2000, 22, flagRST), Pass, "RST of nothing"},
		{7 * time.Hour, inward, tcp(22, 2000, flagACK), DropRule, "which begins no flow"},
		{8 * time.Hour, outward, tcp(3000, 22, flagSYN), Pass, "SYN without answer"},
		{8*time.Hour + 5*time.Minute, inward, tcp(22, 3000, flagSYN|flagACK), DropRule, "an answer that is too late"},
	})
}

// Where both sides may open connections, one that takes the ports of another is
// judged by the rules for its own direction.
func TestSimultaneous(t *testing.T) {
	table, _ := newTable(t, "filter we -> they: allow tcp/22\nfilter they -> we: allow tcp/1000\nfilter all -> all: deny", Limits{})
	run(t, table, []step{
		{0, outward, tcp(1000, 22, flagSYN), Pass, "our SYN"},
		{0, inward, tcp(22, 1000, flagSYN), Pass, "their SYN"},
		{0, outward, tcp(1000, 22, flagSYN|flagACK), Pass, "our answer"},
		{0, inward, tcp(22, 1000, flagACK), Pass, "their ACK"},
	})
	if flows := table.Dump(start); len(flows) != 1 || flows[0].Ours {
		t.Errorf("flows = %+v, want one, theirs", flows)
	}
}

func TestUDP(t *testing.T) {
	table, _ := newTable(t, onlySSH, Limits{})
	run(t, table, []step{
		{0, outward, udp(5000, 53), Pass, "question"},
		{time.Minute, inward, udp(53, 5000), Pass, "answer"},
		{time.Minute, inward, udp(54, 5000), DropRule, "from another port"},
		{5 * time.Minute, inward, udp(53, 5000), Pass, "after four more minutes"},
		{11 * time.Minute, inward, udp(53, 5000), DropRule, "after six more minutes"},
		{20 * time.Minute, outward, udp(5001, 53), Pass, "another question"},
		{22*time.Minute + time.Second, inward, udp(53, 5001), DropRule, "no answer for two minutes"},
		{0, outward, segment{proto: 47}, Pass, "GRE"},
		{0, inward, segment{proto: 47}, Pass, "GRE back"},
		{0, inward, segment{proto: 50}, DropRule, "ESP"},
	})
}

func TestICMP(t *testing.T) {
	table, _ := newTable(t, onlySSH, Limits{})
	inner := segment{src: we, dst: they, proto: policy.UDP, sport: 5000, dport: 53}
	report := func(kind uint16, s segment, cut int) segment {
		b := s.bytes()
		return segment{proto: policy.ICMP, sport: kind, data: b[:min(cut, len(b))]}
	}
	other := inner
	other.dport = 54
	foreign := inner
	foreign.src, foreign.dst = they, we
	byRouter := report(timeExceeded, inner, 28)
	byRouter.src = router
	run(t, table, []step{
		{0, inward, icmp(echoRequest, 7), DropRule, "their echo request"},
		{0, outward, icmp(echoRequest, 7), Pass, "our echo request"},
		{0, inward, icmp(echoReply, 7), Pass, "its reply"},
		{0, inward, icmp(echoReply, 8), DropRule, "a reply that nobody asked for"},
		{0, inward, icmp(echoRequest, 7), DropRule, "their echo request with the identifier of ours"},
		{0, outward, icmp(echoReply, 9), Pass, "our reply out of nowhere, which the rules allow"},
		{0, inward, icmp(echoRequest, 9), DropRule, "but it lets no question in"},
		{2 * time.Minute, inward, icmp(echoReply, 7), DropRule, "a reply that is too late"},
		{0, inward, report(unreachable, inner, 28), DropRule, "error about a flow that is not there"},
		{0, outward, udp(5000, 53), Pass, "UDP"},
		{0, inward, report(unreachable, inner, 28), Pass, "error about it"},
		{0, inward, byRouter, Pass, "error of a router about it"},
		{0, inward, report(unreachable, inner, 27), DropRule, "error that quotes too little"},
		{0, inward, report(unreachable, other, 28), DropRule, "error about another one"},
		{0, inward, report(unreachable, foreign, 28), DropRule, "error about what they have sent"},
		{0, inward, report(redirect, inner, 28), DropRule, "redirect"},
		{0, inward, report(unreachable, segment{src: we, dst: they, proto: policy.UDP, offset: 16}, 28), DropRule, "error about a later fragment"},
		{0, inward, report(unreachable, report(unreachable, inner, 28).from(we, they), 60), DropRule, "error about an error"},
		{5 * time.Minute, inward, report(unreachable, inner, 28), DropRule, "error about a flow that is over"},
	})
	// Errors do not keep a flow.
	if flows := table.Dump(start.Add(4 * time.Minute)); len(flows) != 0 {
		t.Errorf("flows = %+v, want none", flows)
	}
}

// from returns s with other addresses.
func (s segment) from(src, dst string) segment { s.src, s.dst = src, dst; return s }

func TestICMPv6(t *testing.T) {
	table, _ := newTable(t, "filter we -> they: allow icmpv6, tcp/443\nfilter all -> all: deny", Limits{})
	inner := tcp(999, 443, flagSYN).from(we6, they6)
	big := segment{src: they6, dst: we6, proto: policy.ICMPv6, sport: tooBig6, data: inner.bytes()[:48]}
	run(t, table, []step{
		{0, outward, segment{src: we6, dst: they6, proto: policy.ICMPv6, sport: echo6Request, dport: 3}, Pass, "echo request"},
		{0, inward, segment{src: they6, dst: we6, proto: policy.ICMPv6, sport: echo6Reply, dport: 3}, Pass, "reply"},
		{0, inward, segment{src: they6, dst: we6, proto: policy.ICMPv6, sport: echo6Request, dport: 3}, DropRule, "their request"},
		{0, inward, big, DropRule, "too big, about nothing"},
		{0, outward, inner, Pass, "SYN"},
		{0, inward, big, Pass, "too big, about it"},
	})
}

func TestFragments(t *testing.T) {
	table, pool := newTable(t, onlySSH, Limits{})
	first := func(id uint32, dport uint16) segment { s := udp(5000, dport); s.id, s.more = id, true; return s }
	later := func(id uint32) segment { return segment{proto: policy.UDP, id: id, offset: 1400, data: []byte("rest")} }
	first6 := first(1<<20, 53).from(we6, they6)
	later6 := later(1<<20).from(we6, they6)
	later6.proto = protoDestination // a header that only the first fragment has
	steps := []step{
		{0, outward, later(1), DropFragment, "before the first"},
		{0, outward, first(1, 53), Pass, "first"},
		{0, outward, later(1), Pass, "second"},
		{0, outward, later(2), DropFragment, "of another datagram"},
		{0, inward, later(1).from(we, they), DropFragment, "the other way"},
		{0, outward, segment{proto: policy.TCP, id: 1, offset: 1400}, DropFragment, "of another protocol"},
		{0, outward, first(3, 54), DropRule, "first that is denied"},
		{0, outward, later(3), DropFragment, "its second"},
		{0, outward, first6, Pass, "IPv6 first"},
		{0, outward, later6, Pass, "IPv6 second"},
		{0, outward, later(1<<20|1).from(we6, they6), DropFragment, "IPv6, another"},
		{11 * time.Second, outward, later(1), DropFragment, "too late"},
	}
	run(t, table, steps)
	// The memory is bounded: the oldest goes.
	for id := range uint32(fragmentCount + 1) {
		run(t, table, []step{{time.Minute, outward, first(100+id, 53), Pass, "many"}})
	}
	run(t, table, []step{
		{time.Minute, outward, later(100), DropFragment, "the oldest of too many"},
		{time.Minute, outward, later(101), Pass, "the second oldest"},
		{time.Minute, outward, later(100 + fragmentCount), Pass, "the newest"},
	})
	if n := len(table.fragments.ring); n != fragmentCount {
		t.Errorf("%d datagrams remembered, want %d", n, fragmentCount)
	}
	if got, want := fmt.Sprint(pool.Counters().Drops), "map[filter_rule:1 filter_fragment:8]"; got != want {
		t.Errorf("drops = %v, want %v", got, want)
	}
}

// Addresses in a rule mean the packets that have them, and not the host.
func TestNetworks(t *testing.T) {
	table, _ := newTable(t, "filter we -> 192.168.7.8/29: allow tcp/80\nfilter all -> 192.168.7.0/24, fd00::2: deny\n", Limits{})
	to := func(dst string, port uint16) segment {
		s := tcp(1000, port, flagSYN)
		s.src, s.dst = we, dst
		if netip.MustParseAddr(dst).Is6() {
			s.src = we6
		}
		return s
	}
	run(t, table, []step{
		{0, outward, to(behind, 80), Pass, "allowed behind the peer"},
		{0, outward, to(behind, 81), DropRule, "another port"},
		{0, outward, to("192.168.7.16", 80), DropRule, "another host behind the peer"},
		{0, outward, to(they, 81), Pass, "the peer itself"},
		{0, outward, to(they6, 81), DropRule, "the peer by IPv6"},
		{0, inward, tcp(9, 9, flagSYN).from(behind, we), Pass, "from behind the peer"},
		{0, inward, tcp(80, 1000, flagSYN|flagACK).from(behind, we), Pass, "a reply"},
	})
}

// A packet that stands for many, of up to 64 KiB, is one packet of one flow.
func TestLarge(t *testing.T) {
	table, _ := newTable(t, onlySSH, Limits{})
	s := tcp(1000, 22, flagACK)
	s.data = make([]byte, 65535-40)
	run(t, table, []step{{0, outward, s, Pass, "64 KiB"}})
	flows := table.Dump(start.Add(time.Second))
	want := Flow{Proto: policy.TCP, Local: netip.MustParseAddrPort(we + ":1000"), Remote: netip.MustParseAddrPort(they + ":22"), Ours: true, State: "open", Age: time.Second, Idle: time.Second, Out: 65535}
	if len(flows) != 1 || flows[0] != want {
		t.Errorf("flows = %+v, want %+v", flows, want)
	}
}

// New rules end the flows that they would not let begin, and keep the others
// with what they need.
func TestUse(t *testing.T) {
	table, _ := newTable(t, "filter all -> all: deny icmp", Limits{})
	begin := []step{
		{0, outward, tcp(1000, 22, flagSYN), Pass, "to be kept"},
		{0, outward, tcp(1000, 80, flagSYN), Pass, "to be ended"},
		{0, inward, tcp(7, 8080, flagSYN), Pass, "theirs, to be kept"},
		{0, inward, tcp(7, 8081, flagSYN), Pass, "theirs, to be ended"},
	}
	run(t, table, begin)
	table.Use(compile(t, "filter they -> we: allow tcp/8080\nfilter we -> they: allow tcp/22\nfilter all -> all: deny"))
	run(t, table, []step{
		{0, inward, tcp(22, 1000, flagACK), Pass, "kept"},
		{0, inward, tcp(80, 1000, flagACK), DropRule, "ended"},
		{0, outward, tcp(1000, 80, flagACK), DropRule, "ended on our side"},
		{0, outward, tcp(8080, 7, flagACK), Pass, "theirs, kept"},
		{0, outward, tcp(8081, 7, flagACK), DropRule, "theirs, ended"},
	})
	table.Use(nil)
	run(t, table, []step{{0, inward, tcp(80, 1000, flagACK), Pass, "no rules"}, {0, inward, icmp(echoRequest, 1), Pass, "no rules at all"}})
}

// Of a peer without rules nothing is asked.
func TestNil(t *testing.T) {
	table := NewPool(start, Limits{}).NewTable(nil)
	if table != nil {
		t.Fatalf("table = %v, want nil", table)
	}
	if v := table.Out(start, nil); v != Pass {
		t.Errorf("out: %v, want pass", v)
	}
	if v := table.In(start, []byte("no packet")); v != Pass {
		t.Errorf("in: %v, want pass", v)
	}
	if table.Dump(start) != nil || table.Drops() != nil {
		t.Error("a nil table has flows or drops")
	}
	table.Close()
}

func TestMalformed(t *testing.T) {
	table, pool := newTable(t, onlySSH, Limits{})
	for _, b := range [][]byte{nil, {}, {0x45}, make([]byte, 40), tcp(1, 22, 0).from(we, they).bytes()[:30]} {
		if v := table.Out(start, b); v != DropMalformed {
			t.Errorf("% x: %v, want %v", b, v, DropMalformed)
		}
	}
	if got := table.Drops()[DropMalformed]; got != 5 {
		t.Errorf("%d counted, want 5", got)
	}
	if got := pool.Counters().Drops[DropMalformed]; got != 5 {
		t.Errorf("%d counted together, want 5", got)
	}
}

func TestVerdictNames(t *testing.T) {
	var names []string
	for v := range verdictCount + 1 {
		names = append(names, v.String())
	}
	if want := []string{"pass", "filter_rule", "filter_malformed", "filter_fragment", "filter_full", "unknown"}; !slices.Equal(names, want) {
		t.Errorf("names = %q, want %q", names, want)
	}
}
