package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"

	"github.com/pion/stun/v4"
)

// standingConn returns a Conn over a socket of the test, with a channel to peerA and an
// allocation for which nobody asks any more.
func standingConn(t testing.TB, conn punch.Conn, reliable bool) *Conn {
	t.Helper()
	c := newConn(Config{Server: server, Conn: conn, User: "alice", Password: password, Reliable: reliable})
	c.locked(func(m *machine, now time.Time, out [][]byte) [][]byte {
		m.challenge(realm, "nonce")
		m.state, m.relayed = standing, relayed
		m.live(now, time.Hour)
		out, err := m.reach(now, peerA, false, out)
		if err != nil {
			t.Fatal(err)
		}
		m.bound(now, m.routes[peerA])
		m.pending = nil
		return out
	})
	return c
}

// tell describes datagrams with their payloads.
func tell(ds []punch.Datagram) (list []string) {
	for _, d := range ds {
		s := fmt.Sprintf("%v ecn %d:", d.Addr, d.ECN)
		for b := range d.Segments {
			s += fmt.Sprintf(" %q", b)
		}
		list = append(list, s)
	}
	return list
}

// TestSend: what datagrams and runs look like on their way to the relay.
func TestSend(t *testing.T) {
	const to = "198.51.100.1:57888 ecn 2:"
	for _, c := range []struct {
		name     string
		reliable bool
		d        punch.Datagram
		want     string
	}{
		{"one", false, punch.Datagram{Data: []byte("abcde")}, to + ` "@\x00\x00\x05abcde"`},
		{"nothing", false, punch.Datagram{}, to + ` "@\x00\x00\x00"`},
		{"run", false, punch.Datagram{Data: []byte("abcdefgh"), Segment: 3}, to + ` "@\x00\x00\x03abc" "@\x00\x00\x03def" "@\x00\x00\x02gh"`},
		{"run of one", false, punch.Datagram{Data: []byte("abc"), Segment: 3}, to + ` "@\x00\x00\x03abc"`},
		{"padded", true, punch.Datagram{Data: []byte("abcde")}, to + ` "@\x00\x00\x05abcde\x00\x00\x00"`},
		{"padded run", true, punch.Datagram{Data: []byte("abcdefgh"), Segment: 3},
			to + ` "@\x00\x00\x03abc\x00" "@\x00\x00\x03def\x00" "@\x00\x00\x02gh\x00\x00"`},
		{"nothing to pad", true, punch.Datagram{Data: []byte("abcd")}, to + ` "@\x00\x00\x04abcd"`},
	} {
		p := newPair()
		conn := standingConn(t, p, c.reliable)
		c.d.Addr, c.d.ECN, c.d.Local = peerA, 2, bob
		if err := conn.Send([]punch.Datagram{c.d}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := strings.Join(tell(p.take()), "; "); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestSendLong: runs that are too long for a socket with their headers become several,
// and many in one batch go on one after the other.
func TestSendLong(t *testing.T) {
	for _, size := range []int{1, 1023, 1400, 16000} {
		p := newPair()
		c := standingConn(t, p, false)
		data := bytes.Repeat([]byte("0123456789abcdef"), 4094) // 65504
		if size == 1 {
			data = data[:1000]
		}
		d := punch.Datagram{Addr: peerA, Data: data, Segment: size}
		if err := c.Send([]punch.Datagram{d, d, d}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, d := range p.take() {
			count := 0
			for b := range d.Segments {
				number, n, ok := channeldata.Parse(b)
				if !ok || number != channeldata.First || n != len(b)-channeldata.Head || n > size {
					t.Fatalf("channel %#x with %d of %d bytes", number, n, len(b))
				}
				got = append(got, b[channeldata.Head:]...)
				count++
			}
			if count > maxCount || len(d.Data) > maxRun {
				t.Errorf("a run of %d, %d bytes", count, len(d.Data))
			}
		}
		if !bytes.Equal(got, bytes.Repeat(data, 3)) {
			t.Errorf("size %d: %d bytes arrive, want 3 times %d", size, len(got), len(data))
		}
	}
	c := standingConn(t, newPair(), false)
	err := c.Send([]punch.Datagram{{Addr: peerA, Data: make([]byte, 65507)}})
	if !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
}

// TestIndications: what goes to who has no channel yet is what others read.
func TestIndications(t *testing.T) {
	for _, peer := range []netip.AddrPort{host(9), at("[2001:db8::7]:4711")} {
		p := newPair()
		c := standingConn(t, p, false)
		if peer.Addr().Is6() {
			c.m.relayed = at("[2001:db8::1]:5")
		}
		if err := c.Send([]punch.Datagram{{Addr: peer, Data: []byte("abcdefgh"), Segment: 3}}); err != nil {
			t.Fatal(err)
		}
		sent := p.take()
		if len(sent) != 2 {
			t.Fatalf("%d datagrams, want the request and a run", len(sent))
		}
		var q stun.Message
		if !decode(sent[0].Data, &q) || q.Type != stun.NewType(stun.MethodChannelBind, stun.ClassRequest) {
			t.Errorf("first %v", q.Type)
		}
		var got []string
		for b := range sent[1].Segments {
			m := &stun.Message{Raw: b}
			if err := m.Decode(); err != nil || m.Type != stun.NewType(stun.MethodSend, stun.ClassIndication) {
				t.Fatalf("%v, %v", m.Type, err)
			}
			var to stun.XORMappedAddress
			if err := to.GetFromAs(m, stun.AttrXORPeerAddress); err != nil || to.String() != peer.String() {
				t.Errorf("to %v, %v", to, err)
			}
			v, err := m.Get(stun.AttrData)
			if err != nil {
				t.Error(err)
			}
			got = append(got, string(v))
			b[1] = typeData & 0xff // the other way the same
			if from, data, ok := parseData(b); !ok || from != peer || string(data) != string(v) {
				t.Errorf("read as %q from %v, %v", data, from, ok)
			}
		}
		if fmt.Sprint(got) != "[abc def gh]" {
			t.Errorf("payloads %q", got)
		}
	}
}

// frames returns payloads with the headers of a channel.
func frames(number uint16, pad bool, payloads ...string) (b []byte) {
	for _, p := range payloads {
		b = appendChannel(b, number, []byte(p), pad)
	}
	return b
}

// dataFrom returns a Data indication.
func dataFrom(peer netip.AddrPort, data string) []byte {
	b := appendSend(nil, drawID(), peer, []byte(data))
	binary.BigEndian.PutUint16(b, typeData)
	return b
}

// TestReceive: what becomes of what the relay sends, and of what others do.
func TestReceive(t *testing.T) {
	const from = "203.0.113.2:6000 ecn 1:"
	whole := dataFrom(peerA, "hello")
	for _, c := range []struct {
		name    string
		data    []byte
		segment int
		src     netip.AddrPort
		want    string
		stats   Stats
	}{
		{"one", frames(0x4000, false, "abcde"), 0, server, from + ` "abcde"`, Stats{Received: 1}},
		{"nothing", frames(0x4000, false, ""), 0, server, from + ` ""`, Stats{Received: 1}},
		{"padded", frames(0x4000, true, "abcde"), 0, server, from + ` "abcde"`, Stats{Received: 1}},
		{"run", frames(0x4000, false, "abc", "def", "gh"), 7, server, from + ` "abc" "def" "gh"`, Stats{Received: 3}},
		{"padded run", frames(0x4000, true, "abc", "def", "gh"), 8, server, from + ` "abc" "def" "gh"`, Stats{Received: 3}},
		{"different sizes", frames(0x4000, true, "abc", "de", "fgh"), 8, server, from + ` "abc" "de"; ` + from + ` "fgh"`, Stats{Received: 3}},
		{"growing", frames(0x4000, true, "ab", "cde"), 8, server, from + ` "ab"; ` + from + ` "cde"`, Stats{Received: 2}},
		{"with an unknown one", append(frames(0x4000, false, "abc"), append(frames(0x4001, false, "xyz"), frames(0x4000, false, "def")...)...), 7,
			server, from + ` "abc"; ` + from + ` "def"`, Stats{Received: 2, Strays: 1}},
		{"a stream's address", frames(0x4000, false, "abc"), 0, netip.AddrPortFrom(server.Addr().Unmap(), server.Port()), from + ` "abc"`, Stats{Received: 1}},
		{"from elsewhere", frames(0x4000, false, "abc"), 0, peerA, "", Stats{Foreign: 1}},
		{"from another port", frames(0x4000, false, "abc"), 0, netip.AddrPortFrom(server.Addr(), 5), "", Stats{Foreign: 1}},
		{"longer than it is", []byte("@\x00\x00\x06abcde"), 0, server, "", Stats{Strays: 1}},
		{"a part of a header", []byte("@\x00\x00"), 0, server, "", Stats{Strays: 1}},
		{"no channel", frames(0x5000, false, "abc"), 0, server, "", Stats{Strays: 1}},
		{"indication", whole, 0, server, from + ` "hello"`, Stats{Received: 1}},
		{"indication from nobody", dataFrom(at("0.0.0.0:5"), "x"), 0, server, "", Stats{Garbage: 1}},
		{"a part of an indication", whole[:len(whole)-4], 0, server, "", Stats{Garbage: 1}},
		{"indication without data", append([]byte("\x00\x17\x00\x00"), whole[4:20]...), 0, server, "", Stats{Garbage: 1}},
		{"nonsense", []byte("nonsense"), 0, server, "", Stats{Strays: 1}},
		{"other nonsense", []byte("\xffnonsense"), 0, server, "", Stats{Garbage: 1}},
		{"answer to nobody", stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassSuccessResponse)).Raw, 0, server, "", Stats{Garbage: 1}},
	} {
		conn := standingConn(t, newPair(), false)
		d := punch.Datagram{Addr: c.src, Data: bytes.Clone(c.data), Segment: c.segment, ECN: 1}
		conn.sort(time.Now(), []punch.Datagram{d})
		if got := strings.Join(tell(conn.in), "; "); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
		if got := conn.Stats(); got != c.stats {
			t.Errorf("%s: counted %+v, want %+v", c.name, got, c.stats)
		}
	}
}

// TestPlain: the address of a relay is the same, however a socket writes it.
func TestPlain(t *testing.T) {
	for s, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1:5", "[::ffff:192.0.2.1]:5": "192.0.2.1:5", "[2001:db8::1%tcp]:5": "[2001:db8::1]:5",
		"[fe80::1%eth0]:5": "[fe80::1%eth0]:5", "[::ffff:192.0.2.1%tcp]:5": "192.0.2.1:5",
	} {
		if got := plain(at(s)); got != at(want) {
			t.Errorf("%s is %v, want %s", s, got, want)
		}
	}
}

// TestNoGarbage: nothing is allocated for a datagram, in either direction.
func TestNoGarbage(t *testing.T) {
	p := &counter{}
	c := standingConn(t, p, false)
	run := []punch.Datagram{{Addr: peerA, Data: make([]byte, 46*1400), Segment: 1400}}
	in := frames(0x4000, false, longText, longText, "end")
	work := make([]byte, len(in))
	if n := testing.AllocsPerRun(100, func() {
		if err := c.Send(run); err != nil {
			t.Fatal(err)
		}
		copy(work, in)
		p.in[0] = punch.Datagram{Addr: server, Data: work, Segment: 1004}
		if ds, err := c.Receive(); err != nil || len(ds) != 1 || len(ds[0].Data) != 2003 || ds[0].Segment != 1000 {
			t.Fatal(len(ds), err)
		}
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// A counter is a socket that forgets what is sent, and receives the same again and again.
type counter struct {
	in   [1]punch.Datagram
	sent int
}

func (k *counter) Send(ds []punch.Datagram) error     { k.sent += len(ds); return nil }
func (k *counter) Receive() ([]punch.Datagram, error) { return k.in[:], nil }
func (k *counter) LocalAddr() netip.AddrPort          { return at("203.0.113.1:5000") }
func (k *counter) Close() error                       { return nil }

// BenchmarkSend is what a run costs before the kernel, and BenchmarkReceive behind it.
func BenchmarkSend(b *testing.B) {
	c := standingConn(b, &counter{}, false)
	run := []punch.Datagram{{Addr: peerA, Data: make([]byte, 46*1400), Segment: 1400}}
	b.SetBytes(46 * 1400)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Send(run); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceive copies what is received, since it is changed in place.
func BenchmarkReceive(b *testing.B) {
	p := &counter{}
	c := standingConn(b, p, false)
	var in []byte
	for range 46 {
		in = appendChannel(in, 0x4000, make([]byte, 1400), false)
	}
	work := make([]byte, len(in))
	b.SetBytes(46 * 1400)
	b.ReportAllocs()
	for b.Loop() {
		copy(work, in)
		p.in[0] = punch.Datagram{Addr: server, Data: work, Segment: 1404}
		if _, err := c.Receive(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIndications is what goes to a peer without a channel, or comes from it.
func BenchmarkIndications(b *testing.B) {
	p := &counter{}
	c := standingConn(b, p, false)
	if err := c.Send([]punch.Datagram{{Addr: host(9), Data: []byte("x")}}); err != nil {
		b.Fatal(err)
	}
	in := dataFrom(host(9), longText)
	out := []punch.Datagram{{Addr: host(9), Data: []byte(longText)}}
	b.ReportAllocs()
	for b.Loop() {
		p.in[0] = punch.Datagram{Addr: server, Data: in}
		if _, err := c.Receive(); err != nil {
			b.Fatal(err)
		}
		if err := c.Send(out); err != nil {
			b.Fatal(err)
		}
	}
}
