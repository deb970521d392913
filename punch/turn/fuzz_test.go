package turn

import (
	"bytes"
	"testing"
	"time"

	"campagnol/punch"

	"github.com/pion/stun/v4"
)

// FuzzReceive: whatever comes from the relay's address, what is handed over are parts
// of it, in order, and nothing breaks.
func FuzzReceive(f *testing.F) {
	f.Add(frames(0x4000, false, "abc", "def", "gh"), uint16(7))
	f.Add(frames(0x4000, true, "abc", "", "gh"), uint16(8))
	f.Add(dataFrom(peerA, "hello"), uint16(0))
	f.Add(append(dataFrom(host(3), "hello"), frames(0x4000, false, "abc")...), uint16(40))
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassErrorResponse), stun.CodeStaleNonce, stun.NewNonce("x")).Raw, uint16(0))
	f.Add([]byte("@\x00\xff\xff"), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, segment uint16) {
		if len(b) > 65507 {
			return
		}
		c := standingConn(t, newPair(), len(b)%2 == 1)
		ds := []punch.Datagram{{Addr: server, Data: bytes.Clone(b), Segment: int(segment)}}
		c.sort(time.Now(), ds)
		total, payloads := 0, 0
		for _, d := range c.in {
			total += len(d.Data)
			for p := range d.Segments {
				payloads++
				if len(p) > 0 && !bytes.Contains(b, p) {
					t.Fatalf("%x is handed over, of %x", p, b)
				}
			}
			if !d.Addr.IsValid() || d.Addr.Port() == 0 {
				t.Fatalf("from %v", d.Addr)
			}
		}
		if s := c.Stats(); total > len(b) || s.Received != uint64(payloads) {
			t.Fatalf("%d bytes, %d payloads, counted %+v", total, payloads, s)
		}
		if c.Err() != nil || len(c.m.routes) > 2 {
			t.Fatalf("%v, %d routes: of an answer to nobody", c.Err(), len(c.m.routes))
		}
	})
}

// FuzzMachine: whatever answers come, signed or not, and whatever is done in between,
// memory is bounded, times go on, and only what is signed makes an allocation.
func FuzzMachine(f *testing.F) {
	f.Add([]byte("\x1d\x02\x30\x00\x31\x32\x12\x51\x40\x41\xff\xff\x60\xf5\xf5\x21")) // allocates first
	f.Add([]byte("\x1d\x02\x30\x22\x20\x51\x20\x60\xf4\x29\x29\xf7\x13"))
	f.Add([]byte("\x00\x10\x00\x10\x30\x00\x31\x00\x40\xff\x50\x22\x61"))
	f.Add(bytes.Repeat([]byte("\x30\x41\x52\x00\x10"), 50))
	f.Fuzz(func(t *testing.T, moves []byte) {
		cfg := Config{Server: server, User: "alice", Password: password}
		m := newMachine(cfg.withDefaults())
		now := time.Unix(1_800_000_000, 0)
		m.cfg.epoch = now
		out := m.start(now, nil)
		var last stun.Message
		signed := false
		for i, x := range moves[:min(len(moves), 500)] {
			if len(out) > 0 && !decode(out[len(out)-1], &last) {
				t.Fatalf("it sends %x", out[len(out)-1])
			}
			out = nil
			n := int(x & 15)
			switch x >> 4 {
			case 0, 1, 2: // an answer to the last request
				b, good := answerOf(&last, int(x>>4), n, moves[i:])
				signed = signed || good
				out = m.handle(now, b, out)
			case 3:
				out, _ = m.reach2(now, n, false, out)
			case 4:
				out, _ = m.reach2(now, n, true, out)
			case 5:
				if m.state == standing {
					out, _ = m.open(now, host(n).Addr(), out)
				}
			case 6:
				m.observe(now, now)
			case 7:
				out = m.handle(now, moves[i:], out)
			default:
				now = now.Add(time.Duration(n*n*n) * time.Duration(x>>4) * 10 * time.Millisecond)
				out = m.advance(now, out)
				for k := 0; m.state != lost && !m.next().After(now); k++ {
					if k > 3 {
						t.Fatalf("at %v something is always due", now)
					}
					out = m.advance(now, out)
				}
			}
			check(t, m, signed)
		}
	})
}

// reach2 is reach for one of a few peers, if there is an allocation.
func (m *machine) reach2(now time.Time, n int, met bool, out [][]byte) ([][]byte, error) {
	if m.state != standing {
		return out, nil
	}
	return m.reach(now, host(n*7), met, out)
}

// answerOf makes an answer of one kind or another, and tells whether it is a signed
// success.
func answerOf(q *stun.Message, class, n int, rest []byte) ([]byte, bool) {
	set := []stun.Setter{stun.NewTransactionIDSetter(q.TransactionID)}
	success := class == 0
	if success {
		set = append(set, stun.NewType(q.Type.Method, stun.ClassSuccessResponse), relayedAt(relayed), lifetime(time.Duration(n)*time.Minute))
	} else {
		codes := []stun.ErrorCode{401, 438, 403, 437, 441, 486, 500, 508, 400, 300, 443, 420, 699, 401, 438, 0}
		set = append(set, stun.NewType(q.Type.Method, stun.ClassErrorResponse), stun.ErrorCodeAttribute{Code: codes[n]},
			stun.NewRealm(realm), stun.NewNonce(string(rest[:min(len(rest), 20)])))
	}
	if class != 2 && n%2 == 0 {
		set = append(set, goodKey)
	}
	m, err := stun.Build(set...)
	if err != nil {
		return nil, false
	}
	return m.Raw, success && n%2 == 0
}

// check checks what holds of a machine at any time.
func check(t *testing.T, m *machine, signed bool) {
	t.Helper()
	if m.state == standing && !signed {
		t.Fatal("an allocation that nobody has signed")
	}
	if (m.state == lost) != (m.err != nil) {
		t.Fatalf("state %d, %v", m.state, m.err)
	}
	if len(m.routes) > maxRoutes || len(m.fading) > maxRoutes || len(m.perms) > maxPermissions || len(m.pending) > maxRoutes+maxPermissions+3 {
		t.Fatalf("%d routes, %d fading, %d permissions, %d pending", len(m.routes), len(m.fading), len(m.perms), len(m.pending))
	}
	if m.state != lost && m.next().IsZero() {
		t.Fatal("nothing is ever due")
	}
	m.table()
}

// FuzzParseData: a Data indication is read, or not, and never beyond its end.
func FuzzParseData(f *testing.F) {
	f.Add(dataFrom(peerA, "hello"))
	f.Add(dataFrom(at("[2001:db8::1]:5"), ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		peer, data, ok := parseData(b)
		if !ok {
			return
		}
		again, same, ok := parseData(dataFrom(peer, string(data)))
		if !ok || again != peer || !bytes.Equal(same, data) {
			t.Errorf("%v %x, and again %v %x", peer, data, again, same)
		}
	})
}

// FuzzParseURI: what is read is written as what is read again.
func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"turn:relay.example.org", "turns:192.0.2.1:443", "turn:[2001:db8::1]:5?transport=tcp", "turns:x?transport=tcp", "turn:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		again, err := ParseURI(u.String())
		if err != nil || again != u {
			t.Errorf("%q: %+v, written %q, and again %+v, %v", s, u, u, again, err)
		}
	})
}
