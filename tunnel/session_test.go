package tunnel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

var (
	alice = netip.MustParseAddr("10.9.0.1")
	bob   = netip.MustParseAddr("10.9.0.2")
	epoch = time.Unix(1000, 0)
)

// results returns the two ends of a handshake that never was.
func results(t testing.TB) (client, server *handshake.Result) {
	t.Helper()
	s := record.ECDHE_ECDSA_AES128_GCM
	key := func(n byte) ([]byte, []byte) {
		return bytes.Repeat([]byte{n}, s.KeyLen()), bytes.Repeat([]byte{n}, s.IVLen())
	}
	end := func(ours, theirs byte) *handshake.Result {
		r := &handshake.Result{Suite: s, Protocol: ProtocolName}
		var err1, err2 error
		k, iv := key(ours)
		r.Seal, err1 = record.NewSealer(s, k, iv, 1, 1)
		k, iv = key(theirs)
		r.Open, err2 = record.NewOpener(s, k, iv, 1)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return r
	}
	client, server = end(1, 2), end(2, 1)
	server.LastFlight = [][]byte{[]byte("change cipher spec"), []byte("finished")}
	return client, server
}

// sessionsOf is sessions with results that edit has changed.
func sessionsOf(t testing.TB, edit func(*handshake.Result)) (a, b *Session) {
	t.Helper()
	c, s := results(t)
	edit(c)
	edit(s)
	return NewSession(epoch, bob, c), NewSession(epoch, alice, s)
}

// sessions returns alice's session with bob, and bob's with alice; bob was the
// DTLS server.
func sessions(t testing.TB) (a, b *Session) {
	t.Helper()
	return sessionsOf(t, func(*handshake.Result) {})
}

// ipv4 returns an IPv4 packet.
func ipv4(src, dst netip.Addr, body int) []byte {
	b := make([]byte, 20+body)
	b[0], b[8] = 0x45, 64
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	return b
}

func receive(s *Session, rec []byte) ([]byte, Drop) {
	h, rec, _, err := record.Split(rec)
	if err != nil {
		return nil, DropShort
	}
	payload, _, d := s.Receive(5, h, rec, new(record.Scratch))
	return payload, d
}

func TestData(t *testing.T) {
	a, b := sessions(t)
	pkt := ipv4(alice, bob, 100)
	rec, d := a.Seal(7, nil, pkt, new(record.Scratch))
	if d != Kept {
		t.Fatal(d)
	}
	if len(rec) != len(pkt)+a.Overhead() {
		t.Errorf("record of %d bytes, want %d", len(rec), len(pkt)+a.Overhead())
	}
	dup := bytes.Clone(rec)
	got, d := receive(b, rec)
	if d != Kept || !bytes.Equal(got, pkt) {
		t.Errorf("received %x, %v", got, d)
	}
	if _, d := receive(b, dup); d != DropReplay {
		t.Errorf("a replayed record: %v, want replay", d)
	}
	if a.LastOut() != 7 || a.LastIn() != 0 || b.LastIn() != 5 || b.LastOut() != 0 {
		t.Errorf("stamps: out %d in %d, out %d in %d", a.LastOut(), a.LastIn(), b.LastOut(), b.LastIn())
	}
	if n := b.Stats().BytesIn.Load(); n != uint64(len(pkt)) {
		t.Errorf("%d bytes counted, want %d", n, len(pkt))
	}
	if a.Stats().PacketsOut.Load() != 1 || b.Stats().PacketsIn.Load() != 1 {
		t.Error("packets not counted")
	}
}

// TestPeersPackets is what a peer may and may not send.
func TestPeersPackets(t *testing.T) {
	for _, c := range []struct {
		name string
		pkt  []byte
		want Drop
		len  int
	}{
		{"own packet", ipv4(alice, bob, 10), Kept, 30},
		{"own broadcast", ipv4(alice, netip.MustParseAddr("10.9.0.255"), 10), Kept, 30},
		{"padding", append(ipv4(alice, bob, 10), 0, 0, 0), Kept, 30},
		{"another member's address", ipv4(netip.MustParseAddr("10.9.0.99"), bob, 10), DropSource, 0},
		{"an address of the Internet", ipv4(netip.MustParseAddr("8.8.8.8"), bob, 10), DropSource, 0},
		{"our own address", ipv4(bob, bob, 10), DropSource, 0},
		{"no IP packet (it killed the original)", []byte("hello, this is not IP, first nibble 6 only"), DropNotIP, 0},
		{"zeros", make([]byte, 1), DropNotIP, 0},
		{"ones", bytes.Repeat([]byte{0xff}, 40), DropNotIP, 0},
		{"nothing", nil, DropNotIP, 0},
		{"IPv4, cut", ipv4(alice, bob, 10)[:25], DropNotIP, 0},
		{"IPv6", append([]byte{0x60}, make([]byte, 39)...), DropSource, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := sessions(t)
			rec, _ := a.Seal(1, nil, c.pkt, new(record.Scratch))
			got, d := receive(b, rec)
			if d != c.want || len(got) != c.len {
				t.Errorf("%d bytes, %v, want %d, %v", len(got), d, c.len, c.want)
			}
			if b.Heard() == 0 || b.LastIn() == 0 {
				t.Error("authentic data did not count as a sign of life")
			}
		})
	}
}

func TestRefusedRecords(t *testing.T) {
	a, b := sessions(t)
	rec, _ := a.Seal(1, nil, ipv4(alice, bob, 10), new(record.Scratch))
	for _, c := range []struct {
		name string
		edit func([]byte) []byte
		want Drop
	}{
		{"changed", func(r []byte) []byte { r[30] ^= 1; return r }, DropAuth},
		{"cut", func(r []byte) []byte { return r[:20] }, DropShort},
		{"too short for its protection", func(r []byte) []byte { r[12] = 3; return r }, DropShort},
		{"epoch 0", func(r []byte) []byte { r[4] = 0; return r }, DropEpoch},
		{"DTLS 1.0", func(r []byte) []byte { r[2] = 0xff; return r }, DropEpoch},
	} {
		if _, d := receive(b, c.edit(bytes.Clone(rec))); d != c.want {
			t.Errorf("%s: %v, want %v", c.name, d, c.want)
		}
	}
	if b.LastIn() != 0 || b.Heard() != 0 {
		t.Error("a forged record counted as a sign of life")
	}
	if _, d := a.Seal(1, nil, make([]byte, record.MaxPayload+1), new(record.Scratch)); d != DropSize {
		t.Errorf("too large a packet: %v, want size", d)
	}
}

func TestFirstTime(t *testing.T) {
	a, _ := sessions(t)
	var got []bool
	for _, d := range []Drop{DropNotIP, DropNotIP, DropSource, DropNotIP, DropSource, DropDevice} {
		got = append(got, a.FirstTime(d))
	}
	if want := []bool{true, false, true, false, false, true}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("FirstTime = %v, want %v", got, want)
	}
}

// content makes the peer's record of typ pass to its receiver's Handle.
func content(t *testing.T, from, to *Session, now time.Time, typ record.ContentType, payload []byte) ([][]byte, Event) {
	t.Helper()
	rec, err := from.seal.Seal(nil, payload, typ, new(record.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	got, d := receive(to, rec)
	if d != Kept || !bytes.Equal(got, payload) {
		t.Fatalf("received %x, %v", got, d)
	}
	return to.Handle(now, typ, got, nil)
}

func TestCloseNotify(t *testing.T) {
	a, b := sessions(t)
	out := a.CloseNotify(nil)
	if len(out) != 1 {
		t.Fatalf("%d datagrams", len(out))
	}
	payload, d := receive(b, out[0])
	if d != Kept || !bytes.Equal(payload, []byte{1, 0}) {
		t.Fatalf("received %x, %v, want a close_notify", payload, d)
	}
	out, ev := b.Handle(epoch, record.Alert, payload, nil)
	if !ev.Closed || ev.Reason != nil || len(out) != 0 {
		t.Errorf("event %+v, %d datagrams; want closed and no answer", ev, len(out))
	}
}

func TestAlerts(t *testing.T) {
	for _, c := range []struct {
		name   string
		alert  []byte
		closed bool
		reason bool
	}{
		{"fatal", []byte{2, byte(alert.InternalError)}, true, true},
		{"warning", []byte{1, byte(alert.NoRenegotiation)}, false, false},
		{"fatal close_notify", []byte{2, 0}, true, false},
		{"cut", []byte{2}, false, false},
		{"empty", nil, false, false},
	} {
		a, b := sessions(t)
		out, ev := content(t, a, b, epoch, record.Alert, c.alert)
		if ev.Closed != c.closed || (ev.Reason != nil) != c.reason || len(out) != 0 {
			t.Errorf("%s: %+v, %d datagrams", c.name, ev, len(out))
		}
		if c.reason && !errors.Is(ev.Reason, ErrPeerAlert) {
			t.Errorf("%s: reason %v", c.name, ev.Reason)
		}
	}
}

// TestLastFlight: a client that has not got our Finished repeats its own.
func TestLastFlight(t *testing.T) {
	a, b := sessions(t)
	finished := append([]byte{20, 0, 0, 12}, make([]byte, 20)...)
	now := epoch.Add(time.Second)
	out, ev := content(t, a, b, now, record.Handshake, finished)
	if len(out) != 2 || string(out[1]) != "finished" || ev.Closed {
		t.Fatalf("answer %q, %+v, want the last flight as it was", out, ev)
	}
	if out, _ := content(t, a, b, now.Add(handshake.RepeatGap/2), record.Handshake, finished); len(out) != 0 {
		t.Error("answered twice at once")
	}
	if out, _ := content(t, a, b, now.Add(handshake.RepeatGap), record.Handshake, finished); len(out) != 2 {
		t.Error("not answered again after a while")
	}
	rec, _ := a.Seal(1, nil, ipv4(alice, bob, 1), new(record.Scratch))
	receive(b, rec)
	if out, _ := content(t, a, b, now.Add(time.Second), record.Handshake, finished); len(out) != 0 {
		t.Error("answered after data has shown that the client is through")
	}
	_, c := sessions(t)
	d, _ := sessions(t)
	if out, _ := content(t, d, c, epoch.Add(handshake.RepeatLife+1), record.Handshake, finished); len(out) != 0 {
		t.Error("answered after two minutes")
	}
}

func TestRenegotiation(t *testing.T) {
	a, b := sessions(t)
	now := epoch.Add(time.Second)
	for _, msg := range []byte{0, 1} {
		out, ev := content(t, a, b, now, record.Handshake, []byte{msg, 0, 0, 0})
		if len(out) != 1 || ev.Closed {
			t.Fatalf("message %d: %d datagrams, %+v", msg, len(out), ev)
		}
		payload, d := receive(a, out[0])
		if d != Kept || !bytes.Equal(payload, []byte{1, byte(alert.NoRenegotiation)}) {
			t.Errorf("answer %x, %v, want a no_renegotiation warning", payload, d)
		}
		if out, _ := content(t, a, b, now, record.Handshake, []byte{msg, 0, 0, 0}); len(out) != 0 {
			t.Error("answers are not limited")
		}
		now = now.Add(time.Second)
	}
	for _, payload := range [][]byte{nil, {99}, {2, 0, 0, 0}} {
		if out, ev := content(t, a, b, now, record.Handshake, payload); len(out) != 0 || ev.Closed {
			t.Errorf("handshake %x: %d datagrams, %+v", payload, len(out), ev)
		}
	}
}

// TestProbe: a peer of ours answers a probe; the answer is a sign of life, but
// neither counts as use of the session.
func TestProbe(t *testing.T) {
	a, b := sessions(t)
	deliver := func(to *Session, rec []byte) [][]byte {
		h, rec, _, err := record.Split(rec)
		if err != nil {
			t.Fatal(err)
		}
		payload, control, d := to.Receive(5, h, rec, new(record.Scratch))
		if d != Kept || !control {
			t.Fatalf("received %x, control %v, %v", payload, control, d)
		}
		out, ev := to.Handle(epoch, h.Type, payload, nil)
		if ev.Closed {
			t.Error("closed")
		}
		return out
	}
	probe := a.Probe(Abilities{ECN: true}, nil)
	echo := deliver(b, probe[0])
	if len(echo) != 1 {
		t.Fatalf("%d answers, want 1", len(echo))
	}
	if !b.PeerECN() || a.PeerECN() {
		t.Errorf("the peer reads ECN: %v and %v, want only who was told so", b.PeerECN(), a.PeerECN())
	}
	if more := deliver(a, echo[0]); len(more) != 0 {
		t.Errorf("%d answers to an answer", len(more))
	}
	if a.Heard() == 0 || a.LastIn() != 0 || a.LastOut() != 0 || b.Heard() == 0 || b.LastIn() != 0 || b.LastOut() != 0 {
		t.Error("a probe is not a sign of life, or it is use of the session")
	}
	deliver(b, a.Probe(Abilities{}, nil)[0])
	if b.PeerECN() {
		t.Error("what the peer can do no longer is not forgotten")
	}
	for _, content := range [][]byte{{0, 9, 1, 2}, {0, 1, 99: 0}, {0, 2}} { // unknown, too long, unasked
		out, ev := b.Handle(epoch, record.ApplicationData, content, nil)
		if len(out) != 0 || ev.Closed {
			t.Errorf("signal %x: %d answers, %+v", content, len(out), ev)
		}
	}
}

// TestOriginalGetsNoSignals: to a peer that has not agreed on our protocol, a
// zero byte is not IP.
func TestOriginalGetsNoSignals(t *testing.T) {
	c, s := results(t)
	c.Protocol, s.Protocol = "", ""
	a, b := NewSession(epoch, bob, c), NewSession(epoch, alice, s)
	if a.IsOurs() {
		t.Error("a peer without our protocol is taken for one of ours")
	}
	if _, d := receive(b, a.Probe(Abilities{}, nil)[0]); d != DropNotIP {
		t.Errorf("a signal: %v, want not_ip", d)
	}
}

func TestClock(t *testing.T) {
	c := NewClock(epoch)
	if c.Stamp(epoch) == 0 {
		t.Error("the clock's beginning is never")
	}
	if got := c.Time(c.Stamp(epoch.Add(time.Hour))); !got.Equal(epoch.Add(time.Hour)) {
		t.Errorf("there and back: %v", got)
	}
	if c.Stamp(epoch.Add(-time.Hour)) != 0 || !c.Time(0).IsZero() {
		t.Error("before the beginning is not never")
	}
}

func TestDrops(t *testing.T) {
	var d Drops
	d.Add(Kept)
	d.Add(DropAuth)
	d.AddN(DropReplay, 3)
	if got, want := fmt.Sprint(d.Snapshot()), "map[auth:1 replay:3]"; got != want {
		t.Errorf("Snapshot = %s, want %s", got, want)
	}
	if d.Get(DropReplay) != 3 {
		t.Errorf("Get = %d", d.Get(DropReplay))
	}
	seen := map[string]bool{}
	for i := range dropCount {
		if name := i.String(); name == "" || seen[name] {
			t.Errorf("reason %d has name %q", i, name)
		} else {
			seen[name] = true
		}
	}
	if got := dropCount.String(); got != "unknown" {
		t.Errorf("no reason: %q", got)
	}
}

func TestNoAllocs(t *testing.T) {
	a, b := sessions(t)
	pkt := ipv4(alice, bob, 1380)
	buf := make([]byte, 0, 2048)
	tmp := new(record.Scratch)
	n := testing.AllocsPerRun(1000, func() {
		rec, d := a.Seal(9, buf, pkt, tmp)
		if d != Kept {
			t.Fatal(d)
		}
		h, rec, _, err := record.Split(rec)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, d := b.Receive(9, h, rec, tmp); d != Kept {
			t.Fatal(d)
		}
	})
	if n != 0 {
		t.Errorf("a packet allocates %.1f times, want 0", n)
	}
}

// FuzzHandle gives a session authentic records with any content: nothing of it
// ends in a panic, and answers are few.
func FuzzHandle(f *testing.F) {
	f.Add(uint8(21), []byte{1, 0})
	f.Add(uint8(22), []byte{20, 0, 0, 12})
	f.Add(uint8(23), ipv4(alice, bob, 3))
	f.Add(uint8(23), []byte{0, 1, 1}) // a probe
	f.Fuzz(func(t *testing.T, typ uint8, payload []byte) {
		if len(payload) > record.MaxPayload {
			return
		}
		a, b := sessions(t)
		rec, err := a.seal.Seal(nil, payload, record.ContentType(typ), new(record.Scratch))
		if err != nil {
			t.Fatal(err)
		}
		h, rec, _, err := record.Split(rec)
		if err != nil {
			t.Fatal(err)
		}
		got, control, d := b.Receive(5, h, rec, new(record.Scratch))
		if d != Kept {
			return
		}
		if !control {
			if record.ContentType(typ) != record.ApplicationData || len(got) < 20 || !bytes.HasPrefix(payload, got) {
				t.Errorf("delivered %x of %x", got, payload)
			}
			return
		}
		if out, _ := b.Handle(epoch, record.ContentType(typ), got, nil); len(out) > 2 {
			t.Errorf("%d datagrams in answer to one", len(out))
		}
	})
}
