package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

func TestPing(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{IPv6: true})
	server := addHost(t, l, "server", nil)
	h := addHost(t, l, "h", addNAT(t, l, "nat", NATOptions{Kind: Symmetric}))
	for _, to := range []netip.Addr{server.Addr(), server.Addr6()} {
		before := time.Now()
		r, err := h.Ping(testContext(t), to, PingOptions{Count: 50, Interval: ms, Size: 1200})
		if err != nil {
			t.Fatal(err)
		}
		if r.Received() != 50 || r.Duplicates != 0 || r.To != to {
			t.Errorf("ping %v: %+v, want 50 answers", to, r)
		}
		if r.Start.Before(before) || r.First() <= 0 || r.First() > time.Second {
			t.Errorf("ping %v: started at %v, first answer after %v", to, r.Start, r.First())
		}
	}
}

// TestPingerNotes lets a pinger note answers of all sorts.
func TestPingerNotes(t *testing.T) {
	t.Parallel()
	start := time.Now()
	p := &pinger{
		sent:        []time.Time{start, start.Add(10 * ms), {}}, // the third is not sent yet
		result:      PingResult{RTT: []time.Duration{Lost, Lost, Lost}},
		allAnswered: make(chan struct{}),
	}
	for _, c := range []struct {
		seq        uint32
		after      time.Duration
		received   int
		duplicates int
	}{
		{1, 15 * ms, 1, 0},
		{1, 16 * ms, 1, 1},
		{2, 17 * ms, 1, 1},       // an answer to nothing
		{3, 18 * ms, 1, 1},       // more than there are
		{1 << 31, 19 * ms, 1, 1}, // far more
		{0, 20 * ms, 2, 1},
	} {
		p.note(c.seq, start.Add(c.after))
		if p.result.Received() != c.received || p.result.Duplicates != c.duplicates {
			t.Errorf("after number %d: %d answers, %d duplicates, want %d, %d",
				c.seq, p.result.Received(), p.result.Duplicates, c.received, c.duplicates)
		}
	}
	if got, want := p.result.Answer, start.Add(15*ms); !got.Equal(want) {
		t.Errorf("the first answer of all came at %v, want %v", got, want)
	}
	if got, want := p.result.RTT[1], 5*ms; got != want {
		t.Errorf("the first answer to the second request came after %v, want %v", got, want)
	}
	select {
	case <-p.allAnswered:
		t.Error("all is answered although one request is not")
	default:
	}
	p.sent[2] = start
	p.note(2, start.Add(30*ms))
	select {
	case <-p.allAnswered:
	default:
		t.Error("the last answer is not noticed")
	}
}

// TestPingRequest checks what is on the wire.
func TestPingRequest(t *testing.T) {
	t.Parallel()
	p := &pinger{to: netip.MustParseAddr("10.9.0.2"), id: 0x1234, options: PingOptions{Size: 8}}
	b, err := p.request(70_000) // 0x11170: the header has 16 bits of it
	if err != nil {
		t.Fatal(err)
	}
	want := "0800c2ea" + "12341170" + "0001117000000000"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("the request is %s, want %s", got, want)
	}
	b[0] = 0 // what a host does to answer, checksum aside
	if seq, ok := parseEchoReply(b, false, 0x1234); !ok || seq != 70_000 {
		t.Errorf("the answer has number %d, %v, want 70000", seq, ok)
	}
	p.options.Size = 0
	if b, err := p.request(1); err != nil || len(b) != 8+echoNumber {
		t.Errorf("the smallest request has %d bytes (%v), want %d", len(b), err, 8+echoNumber)
	}
}

// TestPingsDoNotMix sends many series at the same time, between the same hosts
// and crosswise.
func TestPingsDoNotMix(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	results := make(chan PingResult)
	const series = 10
	for i := range series {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		go func() {
			r, err := from.Ping(testContext(t), to.Addr(), PingOptions{Count: 30, Interval: ms})
			if err != nil {
				t.Error(err)
			}
			results <- r
		}()
	}
	for range series {
		if r := <-results; r.Received() != 30 || r.Duplicates != 0 {
			t.Errorf("one of several pings at a time: %v, want 30 answers and no duplicates", r)
		}
	}
}

func TestPingFailures(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	gone := netip.MustParseAddr("203.0.113.200") // nobody
	r, err := h.Ping(testContext(t), gone, PingOptions{Count: 3, Interval: ms, Patience: 50 * ms})
	if err != nil || r.Received() != 0 || len(r.RTT) != 3 {
		t.Errorf("ping of nobody: %v, %v, want 3 losses", r, err)
	}
	if _, err := h.Ping(testContext(t), netip.MustParseAddr("2001:db8:5::1"), PingOptions{}); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("ping without a route: error %v, want network is unreachable", err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 50*ms)
	defer cancel()
	if _, err := h.Ping(ctx, gone, PingOptions{Patience: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping beyond its context: error %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := h.PingUntil(ctx, gone, 10*ms); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("PingUntil without an answer: error %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

func TestPingUntil(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	r, err := a.Link().Drop(FromNode, Match{})
	if err != nil {
		t.Fatal(err)
	}
	const closed = 200 * ms
	time.AfterFunc(closed, func() {
		if err := r.Remove(); err != nil {
			t.Error(err)
		}
	})
	took, err := a.PingUntil(testContext(t), b.Addr(), 20*ms)
	if err != nil || took < closed || took > 10*time.Second {
		t.Errorf("PingUntil took %v (%v), want a little more than %v", took, err, closed)
	}
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	from := addHost(t, l, "from", nil)
	a, b, c := addHost(t, l, "a", nil), addHost(t, l, "b", nil), addHost(t, l, "c", nil)
	if err := b.Link().SetUp(false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 500*ms)
	defer cancel()
	got, err := Broadcast(ctx, from.Node, netip.MustParseAddrPort("203.0.113.255:4000"), a.Node, b.Node, c.Node)
	if err != nil || len(got) != 3 {
		t.Fatalf("Broadcast = %v, %v, want three results", got, err)
	}
	for i, h := range []*Host{a, b, c} {
		d := got[i]
		if d.Node != h.Name() {
			t.Errorf("result %d is of %s, want %s", i, d.Node, h.Name())
		}
		if h == b {
			if d.After != Lost || d.Copies != 0 {
				t.Errorf("an unplugged host received it: %+v", d)
			}
			continue
		}
		if d.After <= 0 || d.Copies != 1 || d.Source.Addr() != from.Addr() {
			t.Errorf("%s: %+v, want one copy from %v", h.Name(), d, from.Addr())
		}
	}
}

// TestBroadcastFailures sends broadcasts that cannot be sent or received.
func TestBroadcastFailures(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	to := netip.MustParseAddrPort("203.0.113.255:4000")
	taken, err := b.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Broadcast(testContext(t), a.Node, to, b.Node); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("with the port in use: error %v, want %v", err, syscall.EADDRINUSE)
	}
	taken.Close()
	unreachable := netip.MustParseAddrPort("[2001:db8:7::1]:4000")
	if _, err := Broadcast(testContext(t), a.Node, unreachable, b.Node); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("to an unreachable address: error %v, want %v", err, syscall.ENETUNREACH)
	}
}

// TestBroadcastIgnoresStrays sends something else to the port first.
func TestBroadcastIgnoresStrays(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h, other := addHost(t, l, "h", nil), addHost(t, l, "other", nil)
	c, err := h.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := other.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	start := time.Now()
	for _, packet := range []string{"stray", "token but longer", "token", "token", "tok"} {
		if _, err := out.WriteToUDPAddrPort([]byte(packet), netip.AddrPortFrom(h.Addr(), portOf(c))); err != nil {
			t.Fatal(err)
		}
	}
	d, err := awaitToken(testContext(t), c, []byte("token"), start)
	want := netip.AddrPortFrom(other.Addr(), portOf(out))
	if err != nil || d.Copies != 2 || d.After <= 0 || d.Source != want {
		t.Errorf("awaitToken = %+v, %v, want two copies from %v", d, err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := awaitToken(ctx, c, []byte("token"), start); err != nil || d.After != Lost || d.Copies != 0 {
		t.Errorf("awaitToken after the end of its context = %+v, %v, want a loss", d, err)
	}
}

func TestBulk(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	h := addHost(t, l, "h", addNAT(t, l, "nat", NATOptions{Kind: PortRestricted}))
	for _, size := range []int64{0, 1, streamBlock + 1, 20_000_000} {
		r, err := Bulk(testContext(t), h.Node, server.Node, netip.AddrPortFrom(server.Addr(), 0), BulkOptions{Size: size})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if r.Bytes != size || len(r.SHA256) != 64 || (size > 0 && (r.Took <= 0 || r.Rate() <= 0)) {
			t.Errorf("%d bytes: %+v", size, r)
		}
	}
	r, err := Bulk(testContext(t), h.Node, server.Node, netip.AddrPortFrom(server.Addr(), 5001), BulkOptions{Size: 1000, NoChecksum: true})
	if err != nil || r.SHA256 != "" || r.Bytes != 1000 {
		t.Errorf("without checksum: %+v, %v", r, err)
	}
}

// TestBulkOverBadCable checks that TCP, and so the sum, survives loss, and that
// all of it went through the NAT.
func TestBulkOverBadCable(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	nat := addNAT(t, l, "nat", NATOptions{Kind: Symmetric})
	h := addHost(t, l, "h", nat)
	lost, err := server.Link().Lose(ToNode, Match{Protocol: unix.IPPROTO_TCP}, 0.02)
	if err != nil {
		t.Fatal(err)
	}
	before, err := nat.Link().Traffic()
	if err != nil {
		t.Fatal(err)
	}
	const size = 3_000_000
	r, err := Bulk(testContext(t), h.Node, server.Node, netip.AddrPortFrom(server.Addr(), 0), BulkOptions{Size: size})
	if err != nil || r.Bytes != size {
		t.Errorf("over a bad cable: %+v, %v", r, err)
	}
	after, err := nat.Link().Traffic()
	if err != nil {
		t.Fatal(err)
	}
	if sent := after.Sub(before).TxBytes; sent < size {
		t.Errorf("%d bytes went through the NAT, want %d at least", sent, size)
	}
	if _, _, err := lost.Hits(); err != nil {
		t.Error(err)
	}
}

func TestBulkFailures(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	h := addHost(t, l, "h", addNAT(t, l, "nat", NATOptions{Kind: PortRestricted}))
	ctx, cancel := context.WithTimeout(testContext(t), 300*ms)
	defer cancel()
	// The NAT lets nobody in.
	_, err := Bulk(ctx, server.Node, h.Node, netip.AddrPortFrom(h.Addr(), 0), BulkOptions{Size: 1000})
	if err == nil {
		t.Error("a transfer to a host behind a NAT succeeds")
	}
	if _, err := Bulk(testContext(t), h.Node, server.Node, netip.MustParseAddrPort("198.51.100.1:1"), BulkOptions{}); err == nil {
		t.Error("listening on an address that the host does not have succeeds")
	}
	// The path dies on the way.
	ctx, cancel = context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	time.AfterFunc(100*ms, func() {
		if err := server.Link().SetUp(false); err != nil {
			t.Error(err)
		}
	})
	_, err = Bulk(ctx, h.Node, server.Node, netip.AddrPortFrom(server.Addr(), 0), BulkOptions{Size: 1 << 40, NoChecksum: true})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a transfer over a dead path: error %v, want %v", err, context.DeadlineExceeded)
	}
}

// TestReceiveBulkHashes checks the receiver's sum against one made here.
func TestReceiveBulkHashes(t *testing.T) {
	t.Parallel()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	data := make([]byte, 3*bulkBuffer/2)
	newStream(7).Read(data)
	go func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, err := c.Write(data); err != nil {
			t.Error(err)
		}
	}()
	r := receiveBulk(testContext(t), ln, true)
	sum := sha256.Sum256(data)
	if want := hex.EncodeToString(sum[:]); r.err != nil || r.bytes != int64(len(data)) || r.sum != want {
		t.Errorf("received %d bytes, sum %s (%v), want %d, %s", r.bytes, r.sum, r.err, len(data), want)
	}
}

func echoBytes(t testing.TB, typ icmp.Type, id int, data []byte) []byte {
	t.Helper()
	b, err := (&icmp.Message{Type: typ, Body: &icmp.Echo{ID: id, Seq: 3, Data: data}}).Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseEchoReply(t *testing.T) {
	number := []byte{0, 1, 0x86, 0xa0, 'x'} // 100 000
	for _, c := range []struct {
		name string
		b    []byte
		v6   bool
		seq  uint32
		ok   bool
	}{
		{"IPv4", echoBytes(t, ipv4.ICMPTypeEchoReply, 77, number), false, 100_000, true},
		{"IPv6", echoBytes(t, ipv6.ICMPTypeEchoReply, 77, number), true, 100_000, true},
		{"the other family", echoBytes(t, ipv6.ICMPTypeEchoReply, 77, number), false, 0, false},
		{"a request", echoBytes(t, ipv4.ICMPTypeEcho, 77, number), false, 0, false},
		{"somebody else's", echoBytes(t, ipv4.ICMPTypeEchoReply, 78, number), false, 0, false},
		{"no number", echoBytes(t, ipv4.ICMPTypeEchoReply, 77, number[:3]), false, 0, false},
		{"an error", []byte{3, 1, 0, 0, 0, 0, 0, 0}, false, 0, false},
		{"nothing", nil, false, 0, false},
	} {
		if seq, ok := parseEchoReply(c.b, c.v6, 77); seq != c.seq || ok != c.ok {
			t.Errorf("%s: %d, %v, want %d, %v", c.name, seq, ok, c.seq, c.ok)
		}
	}
}

func FuzzParseEchoReply(f *testing.F) {
	f.Add(echoBytes(f, ipv4.ICMPTypeEchoReply, 77, []byte{0, 0, 0, 1}), false)
	f.Add(echoBytes(f, ipv6.ICMPTypeEchoReply, 77, []byte{0, 0, 0, 1}), true)
	f.Add([]byte{3, 3, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		if _, ok := parseEchoReply(b, v6, 77); ok && len(b) < 8+echoNumber {
			t.Errorf("an echo reply of %d bytes has a number", len(b))
		}
	})
}
