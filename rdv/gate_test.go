package rdv

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
)

var (
	gateStart = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	here      = netip.MustParseAddr("192.0.2.1")
	elsewhere = netip.MustParseAddr("192.0.2.2")
	epV6      = netip.MustParseAddrPort("[2001:db8::7]:4000")
)

func TestCookieIsOneEndpoints(t *testing.T) {
	g := newGate(gateStart)
	cookie := g.cookie(gateStart, epA, here)
	changed := cookie
	changed[15] ^= 1
	for _, c := range []struct {
		name   string
		cookie [wire.CookieSize]byte
		from   netip.AddrPort
		local  netip.Addr
		want   bool
	}{
		{"its own", cookie, epA, here, true},
		{"another port", cookie, epA2, here, false},
		{"another address", cookie, epB, here, false},
		{"another address of ours", cookie, epA, elsewhere, false},
		{"our address unknown", cookie, epA, netip.Addr{}, false},
		{"a bit is wrong", changed, epA, here, false},
		{"zeros", [wire.CookieSize]byte{}, epA, here, false},
		{"the other secret, which does not exist", [wire.CookieSize]byte{1}, epA, here, false},
		{"IPv6", g.cookie(gateStart, epV6, here), epV6, here, true},
		{"our address unknown, both times", g.cookie(gateStart, epA, netip.Addr{}), epA, netip.Addr{}, true},
	} {
		if got := g.admits(gateStart, c.cookie, c.from, c.local); got != c.want {
			t.Errorf("%s: admitted %v, want %v", c.name, got, c.want)
		}
	}
	if other := newGate(gateStart).cookie(gateStart, epA, here); other == cookie {
		t.Error("two servers make the same cookie")
	}
}

// TestCookieAge: a cookie is good for one minute at least and two at most.
func TestCookieAge(t *testing.T) {
	for _, made := range []time.Duration{0, 30 * sec, 59 * sec, 60 * sec, 119 * sec, 10 * time.Minute} {
		for _, age := range []time.Duration{0, 59 * sec, 60 * sec, 120 * sec, 121 * sec, 180 * sec, time.Hour} {
			g := newGate(gateStart)
			c := g.cookie(gateStart.Add(made), epA, here)
			got := g.admits(gateStart.Add(made+age), c, epA, here)
			if age <= cookieLife && !got {
				t.Errorf("made at %v, not good after %v", made, age)
			}
			if age >= 2*cookieLife && got {
				t.Errorf("made at %v, still good after %v", made, age)
			}
		}
	}
}

// TestCookieClock: a clock that is set back does no harm.
func TestCookieClock(t *testing.T) {
	g := newGate(gateStart)
	c := g.cookie(gateStart.Add(5*time.Minute), epA, here)
	if !g.admits(gateStart.Add(-time.Hour), c, epA, here) {
		t.Error("the cookie is not good when the clock is set back")
	}
}

func TestGateAllocatesNothing(t *testing.T) {
	g := newGate(gateStart)
	c := g.cookie(gateStart, epA, here)
	if n := testing.AllocsPerRun(100, func() {
		if !g.admits(gateStart, c, epA, here) || g.cookie(gateStart, epA, here) != c {
			t.Error("the cookie has changed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestGateAnswers has what is answered before there is a handshake. No answer is
// larger than what it answers.
func TestGateAnswers(t *testing.T) {
	trust := newShelf(t).base
	knock := wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil)
	for _, c := range []struct {
		name  string
		trust *Trust
		bytes []byte
		want  wire.Gate // 0: nothing
	}{
		{"KNOCK", trust, knock, wire.Cookie},
		{"KNOCK of a later version", trust, wire.GateMessage{Type: wire.Knock, Version: 9}.Append(nil), wire.Cookie},
		{"long KNOCK", trust, append(knock[:len(knock):len(knock)], 1, 2, 3), wire.Cookie},
		{"short KNOCK", trust, knock[:wire.KnockSize-1], 0},
		{"KNOCK without a certificate here", nil, knock, wire.Closed},
		{"short KNOCK without a certificate here", nil, knock[:10], 0},
		{"ADMIT with a wrong cookie", trust, wire.GateMessage{Type: wire.Admit, Data: make([]byte, 100)}.Append(nil), 0},
		{"ADMIT that is too long", trust, wire.GateMessage{Type: wire.Admit, Data: make([]byte, maxAdmit)}.Append(nil), 0},
		{"ADMIT without a certificate here", nil, wire.GateMessage{Type: wire.Admit, Data: make([]byte, 100)}.Append(nil), 0},
		{"COOKIE", trust, wire.GateMessage{Type: wire.Cookie}.Append(nil), 0},
		{"WAIT", trust, wire.GateMessage{Type: wire.Wait}.Append(nil), 0},
		{"CLOSED", trust, wire.GateMessage{Type: wire.Closed}.Append(nil), 0},
		{"unknown", trust, append([]byte{wire.GateByte, 99}, make([]byte, 80)...), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(Config{Mode: Mixed, Trust: c.trust, Conn: newMemConn()})
			s.receivers[0].gate = newGate(gateStart)
			if s.receivers[0].receiveGate(gateStart, punch.Datagram{Addr: epA, Local: here}, c.bytes) {
				t.Error("admitted")
			}
			if c.want == 0 {
				if len(s.receivers[0].gateOut) > 0 {
					t.Fatalf("answered with %x", s.receivers[0].gateOut[0].Data)
				}
				return
			}
			if len(s.receivers[0].gateOut) != 1 {
				t.Fatalf("%d answers", len(s.receivers[0].gateOut))
			}
			d := s.receivers[0].gateOut[0]
			m, err := wire.ParseGate(d.Data)
			if err != nil || m.Type != c.want || d.Addr != epA || d.Local != here {
				t.Errorf("answer %+v to %v from %v, %v", m, d.Addr, d.Local, err)
			}
			if len(d.Data) > len(c.bytes) {
				t.Errorf("%d bytes are answered with %d", len(c.bytes), len(d.Data))
			}
			if c.want == wire.Cookie && !s.receivers[0].gate.admits(gateStart, m.Cookie, epA, here) {
				t.Error("its own cookie does not count")
			}
		})
	}
}
