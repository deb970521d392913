package filter

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"campagnol/pki/policy"
)

// A reference decides as a Table should, the simple way: with maps, addresses of
// netip, and without bounds.
type reference struct {
	rules     [2][]policy.FilterRule
	flows     map[refKey]*refFlow
	fragments map[refFragment]time.Duration
}

type refKey struct {
	local, remote netip.AddrPort
	proto         byte
	asker         string // of ICMP queries
}

type refFlow struct {
	begun      direction
	seen       time.Duration
	answered   bool
	tcpClosing bool
}

type refFragment struct {
	src, dst netip.Addr
	id       uint32
	proto    byte
	d        direction
}

// A refPacket is what the reference reads in a packet.
type refPacket struct {
	src, dst     netip.Addr
	proto        byte
	payload      []byte
	offset       int
	more         bool
	id           uint32
	sport, dport uint16
}

func newReference(p *policy.Policy, self, peer policy.Member) *reference {
	return &reference{
		rules: [2][]policy.FilterRule{p.Filter(self, peer), p.Filter(peer, self)},
		flows: map[refKey]*refFlow{}, fragments: map[refFragment]time.Duration{},
	}
}

// read reads a packet, of which the end may be missing if cut.
func (r *refPacket) read(b []byte, cut bool) bool {
	var ok bool
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		ok = r.read4(b, cut)
	case len(b) >= 40 && b[0]>>4 == 6:
		ok = r.read6(b, cut)
	}
	if !ok || r.offset == 8 {
		return false
	}
	if r.offset > 0 {
		return true
	}
	need := map[byte]int{6: 20, 17: 8}[r.proto]
	if cut {
		need = min(need, 8)
	}
	if r.proto == 1 || r.proto == 58 {
		need = 4
		if len(r.payload) > 0 && (r.asks() || r.answers() || r.reports()) {
			need = 8
		}
	}
	if len(r.payload) < need {
		return false
	}
	if r.proto == 6 || r.proto == 17 {
		r.sport, r.dport = binary.BigEndian.Uint16(r.payload), binary.BigEndian.Uint16(r.payload[2:])
	}
	return true
}

func (r *refPacket) read4(b []byte, cut bool) bool {
	head, total := int(b[0]&15)*4, int(b[2])<<8|int(b[3])
	if head < 20 || head > total || head > len(b) || !cut && total > len(b) {
		return false
	}
	r.src, r.dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	r.proto, r.id = b[9], uint32(b[4])<<8|uint32(b[5])
	r.more, r.offset = b[6]&0x20 != 0, (int(b[6]&0x1f)<<8|int(b[7]))*8
	r.payload = b[head:min(total, len(b))]
	return true
}

func (r *refPacket) read6(b []byte, cut bool) bool {
	total := 40 + int(b[4])<<8 + int(b[5])
	r.src, r.dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	if !cut && total > len(b) || r.src.Is4In6() || r.dst.Is4In6() {
		return false
	}
	next, rest, fragmented := b[6], b[40:min(total, len(b))], false
	for n := 0; ; n++ {
		sizes := map[byte]func() int{44: func() int { return 8 }, 51: func() int { return int(rest[1])*4 + 8 }}
		for _, h := range []byte{0, 43, 60, 135, 139, 140} {
			sizes[h] = func() int { return int(rest[1])*8 + 8 }
		}
		size, extension := sizes[next]
		switch {
		case n == 8:
			return false // even if no more headers came
		case !extension:
			r.proto, r.payload = next, rest
			return true
		case len(rest) < 8, next == 43 && rest[2] == 0, next == 44 && fragmented:
			return false
		}
		if next == 44 {
			r.offset, r.more, r.id = (int(rest[2])<<8|int(rest[3]))&^7, rest[3]&1 != 0, binary.BigEndian.Uint32(rest[4:])
			fragmented = r.offset > 0 || r.more
			if r.offset > 0 {
				r.proto, r.payload = rest[0], rest[8:]
				return true
			}
		}
		if len(rest) < size() {
			return false
		}
		next, rest = rest[0], rest[size():]
	}
}

func (r *refPacket) icmpType(v4, v6 []byte) bool {
	list := v4
	if r.proto == 58 {
		list = v6
	} else if r.proto != 1 {
		return false
	}
	for _, typ := range list {
		if r.payload[0] == typ {
			return true
		}
	}
	return false
}

func (r *refPacket) asks() bool    { return r.icmpType([]byte{8, 13}, []byte{128}) }
func (r *refPacket) answers() bool { return r.icmpType([]byte{0, 14}, []byte{129}) }
func (r *refPacket) reports() bool {
	return r.icmpType([]byte{3, 11, 12}, nil) || r.proto == 58 && r.payload[0] < 128
}

func (r *refPacket) flags(mask byte) byte {
	if r.proto == 6 && len(r.payload) > 13 {
		return r.payload[13] & mask
	}
	return 0
}

// key returns the key of the packet's flow, false if it has none.
func (r *refPacket) key(d direction) (refKey, bool) {
	local, remote := netip.AddrPortFrom(r.src, r.sport), netip.AddrPortFrom(r.dst, r.dport)
	if d == inward {
		local, remote = remote, local
	}
	k := refKey{local: local, remote: remote, proto: r.proto}
	if r.proto == 1 || r.proto == 58 {
		if !r.asks() && !r.answers() {
			return k, false
		}
		k.local = netip.AddrPortFrom(local.Addr(), binary.BigEndian.Uint16(r.payload[4:]))
		k.asker = "they"
		if r.asks() == (d == outward) {
			k.asker = "we"
		}
	}
	return k, true
}

// alive reports whether a flow is one still.
func (f *refFlow) alive(at time.Duration, proto byte) bool {
	limit := 10 * time.Minute
	switch {
	case proto == 6 && (f.tcpClosing || !f.answered):
		limit = 4 * time.Minute
	case proto == 6:
		limit = 124 * time.Minute
	case proto == 17 && f.answered:
		limit = 5 * time.Minute
	case proto == 17:
		limit = 2 * time.Minute
	case proto == 1 || proto == 58:
		limit = time.Minute
	}
	return at-f.seen <= limit
}

func (ref *reference) decide(at time.Duration, b []byte, d direction) Verdict {
	var p refPacket
	if !p.read(b, false) {
		return DropMalformed
	}
	frag := refFragment{src: p.src, dst: p.dst, id: p.id, d: d}
	if p.src.Is4() {
		frag.proto = p.proto
	}
	if p.offset > 0 {
		if seen, ok := ref.fragments[frag]; !ok || at-seen > 10*time.Second {
			return DropFragment
		}
		return Pass
	}
	v := ref.whole(at, &p, d)
	if v == Pass && p.more {
		ref.fragments[frag] = at
	}
	return v
}

func (ref *reference) whole(at time.Duration, p *refPacket, d direction) Verdict {
	if p.reports() {
		var inner refPacket
		if inner.read(p.payload[8:], true) && inner.src == p.dst && inner.offset == 0 {
			k, ok := inner.key(1 - d)
			if f := ref.flows[k]; ok && f != nil && f.alive(at, k.proto) {
				return Pass
			}
		}
	}
	k, ok := p.key(d)
	f := ref.flows[k]
	opens := p.flags(flagSYN|flagACK) == flagSYN
	if ok && f != nil && f.alive(at, k.proto) && !(opens && d != f.begun) {
		f.note(at, p, d)
		return Pass
	}
	if !ref.allowed(p, d) {
		return DropRule
	}
	if ok && !p.answers() && p.flags(flagRST) == 0 {
		f = &refFlow{begun: d}
		f.note(at, p, d)
		ref.flows[k] = f
	}
	return Pass
}

func (f *refFlow) note(at time.Duration, p *refPacket, d direction) {
	f.seen = at
	switch syn := p.flags(flagSYN|flagACK) == flagSYN; {
	case p.flags(flagFIN|flagRST) != 0:
		f.tcpClosing = true
	case syn && d == f.begun:
		f.tcpClosing, f.answered = false, false
	case d != f.begun, p.flags(flagSYN|flagACK) == flagACK:
		f.answered = true
	}
}

func (ref *reference) allowed(p *refPacket, d direction) bool {
	in := func(list []netip.Prefix, a netip.Addr) bool {
		for _, n := range list {
			if n.Contains(a) {
				return true
			}
		}
		return list == nil
	}
	for _, r := range ref.rules[d] {
		fits := r.Services == nil
		for _, s := range r.Services {
			fits = fits || s.Proto == p.proto && (s.Proto != 6 && s.Proto != 17 || s.First <= p.dport && p.dport <= s.Last)
		}
		if fits && in(r.From, p.src) && in(r.To, p.dst) {
			return r.Allow
		}
	}
	return true
}

// traffic makes packets of few addresses and ports, so that they meet, some of
// them broken.
type traffic struct{ *rand.Rand }

func (g traffic) packet() (direction, []byte) {
	d := direction(g.IntN(2))
	s := segment{
		proto: []uint8{policy.TCP, policy.TCP, policy.UDP, policy.ICMP, policy.ICMPv6, 47}[g.IntN(6)],
		src:   we, dst: they,
		sport: uint16(20 + g.IntN(3)), dport: uint16(20 + g.IntN(3)),
		flags: []uint8{flagSYN, flagSYN | flagACK, flagACK, flagACK, flagACK, flagACK | flagFIN, flagRST}[g.IntN(7)],
		id:    uint32(g.IntN(2)),
	}
	if g.IntN(4) == 0 {
		s.dst = behind
	}
	six := g.IntN(3) == 0
	if six {
		s.src, s.dst = we6, they6
	}
	if d == inward {
		s.src, s.dst = s.dst, s.src
	}
	if s.proto == policy.ICMP || s.proto == policy.ICMPv6 {
		s.sport = []uint16{echoRequest, echoReply, unreachable, redirect, 13 << 8, 14 << 8, echo6Request, echo6Reply, tooBig6}[g.IntN(9)]
		if g.IntN(2) == 0 {
			_, s.data = g.packet()
			s.data = s.data[:g.IntN(len(s.data)+1)]
		}
	}
	switch g.IntN(8) {
	case 0:
		s.more = true
	case 1:
		s.offset, s.data = 8*g.IntN(4), make([]byte, 16)
	case 2:
		if six {
			s.next = []uint8{0, 43, 51, 60, 44}[g.IntN(5)]
			s.extensions = []byte{s.proto, 0, byte(g.IntN(2)), byte(g.IntN(2)), 0, 0, 0, 0}
		}
	}
	b := s.bytes()
	if g.IntN(10) == 0 {
		b[g.IntN(min(len(b), 48))] = byte(g.Uint32())
	}
	return d, b
}

// referencePolicy has rules of all sorts for we and they.
const referencePolicy = `
filter we -> they: allow tcp/21-22, icmp
filter they -> we: allow udp/20, icmpv6, tcp/20
filter we <-> 192.168.7.0/24: allow udp, 47
filter fd00::2 -> we: deny tcp
filter 192.168.7.0/28 -> we: allow tcp/22
filter they -> all: deny tcp, udp, icmp
filter we -> they: deny udp/21, 47, tcp/20
`

// members are we and they, as compile has them.
func members() (self, peer policy.Member) {
	self = policy.Member{Names: []string{"we"}, Addrs: []netip.Addr{netip.MustParseAddr(we), netip.MustParseAddr(we6)}}
	peer = policy.Member{Names: []string{"they"}, Addrs: []netip.Addr{netip.MustParseAddr(they), netip.MustParseAddr(they6)},
		Routes: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}}
	return self, peer
}

func newPair(t testing.TB) (*Table, *reference) {
	t.Helper()
	p, err := policy.Parse("test", referencePolicy)
	if err != nil {
		t.Fatal(err)
	}
	self, peer := members()
	return NewPool(start, Limits{}).NewTable(Compile(p, self, peer)), newReference(p, self, peer)
}

// compare sends a packet through both.
func compare(t *testing.T, table *Table, ref *reference, at time.Duration, d direction, b []byte) Verdict {
	t.Helper()
	got := table.decide(start.Add(at), b, d)
	if want := ref.decide(at, b, d); got != want {
		t.Fatalf("direction %d: % x: %v, want %v", d, b, got, want)
	}
	return got
}

// TestReference sends traffic through a table and the reference.
func TestReference(t *testing.T) {
	var seen [verdictCount]int
	for seed := range uint64(200) {
		g := traffic{rand.New(rand.NewPCG(seed, 1))}
		table, ref := newPair(t)
		at := time.Duration(0)
		for range 500 {
			if g.IntN(20) == 0 {
				at += time.Duration(g.IntN(200)) * time.Second
			}
			d, b := g.packet()
			// The ring of fragments is bounded, the map of the reference is not;
			// 64 datagrams do not come together in 10 s here.
			seen[compare(t, table, ref, at, d, b)]++
		}
		table.pool.Sweep(start.Add(at))
		if got, want := len(table.Dump(start.Add(at))), ref.alive(at); got != want {
			t.Fatalf("seed %d: %d flows, want %d", seed, got, want)
		}
	}
	for v := range DropFull {
		if seen[v] < 1000 {
			t.Errorf("%v: %d times, want it often", v, seen[v])
		}
	}
}

func (ref *reference) alive(at time.Duration) (n int) {
	for k, f := range ref.flows {
		if f.alive(at, k.proto) {
			n++
		}
	}
	return n
}

// FuzzTable reads packets, each with its direction, its length and how much later
// it comes, and compares what becomes of them.
func FuzzTable(f *testing.F) {
	add := func(packets ...[]byte) {
		var data []byte
		for i, b := range packets {
			data = append(data, byte(i%2), byte(i), byte(len(b)>>8), byte(len(b)))
			data = append(data, b...)
		}
		f.Add(data)
	}
	add(tcp(20, 22, flagSYN).from(we, they).bytes(), tcp(22, 20, flagSYN|flagACK).from(they, we).bytes())
	add(udp(21, 20).from(we, they).bytes(), icmp(echoRequest, 1).from(they, we).bytes())
	for seed := range uint64(20) {
		g := traffic{rand.New(rand.NewPCG(seed, 2))}
		_, a := g.packet()
		_, b := g.packet()
		_, c := g.packet()
		add(a, b, c)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, ref := newPair(t)
		at := time.Duration(0)
		for n := 0; len(data) >= 4 && n < 60; n++ {
			size := min(int(data[2])<<8|int(data[3]), len(data)-4)
			at += time.Duration(data[1]) * time.Second
			d, b := direction(data[0]&1), data[4:4+size]
			data = data[4+size:]
			compare(t, table, ref, at, d, b)
		}
		table.Dump(start.Add(at))
	})
}
