package probe

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// TestVerdict has the words in which a wrong answer is reported.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []Step
		want  string
	}{
		{"another answer", []Step{says(A, hello("v1"), to(A, nok))},
			"probe: step 1, 0s: A sends HELLO (00 0000 0a000101 00000000): " +
				"A receives OK (04 0000 00000000 00000000), want NOK (05 0000 00000000 00000000)"},
		{"silence", []Step{registers(A, "v1"), says(A, bye, to(A, ok))},
			"probe: step 2, 0s: A sends BYE (0b 0000 00000000 00000000): A receives silence, want OK (04 0000 00000000 00000000)"},
		{"no silence", []Step{says(A, ping)},
			"probe: step 1, 0s: A sends PING (01 0000 00000000 00000000): A receives RECONNECT (0c 0000 00000000 00000000), want silence"},
		{"too much", []Step{registers(A, "v1"), registers(B, "v2"), at(7, says(A, ask("v2"), to(A, ans("@B", "v2"))))},
			"probe: step 3, 7s: A sends ASK (02 0000 0a000102 00000000): " +
				"B receives FWD (06 c001 cb007115 0a000101), want silence"},
		{"wrong order", []Step{registers(A, "v1"), says(A, ask("v1"), to(A, fwd("@A", "v1")), to(A, ans("@A", "v1")))},
			"want FWD (06 c001 cb007115 0a000101), ANS (07 c001 cb007115 0a000101)"},
		{"not a datagram", []Step{says(A, "0x")}, `probe: step 1, 0s: probe: datagram "0x": "0x" is neither a name nor hexadecimal`},
		{"not an answer", []Step{says(A, ping, to(A, "@C"))}, `there is no endpoint "C"`},
	} {
		err := simulate(t, ours, false, Check{Name: c.name, Steps: c.steps})
		if err == nil || !strings.Contains(portless(err.Error()), portless(c.want)) {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
}

// portless takes the ports of A out of a text: they are random.
func portless(s string) string {
	for {
		i := strings.Index(s, " cb007115")
		if i < 0 {
			return s
		}
		s = s[:i-len("c001")] + s[i+len(" cb007115"):]
	}
}

// TestNoServer probes where nobody answers.
func TestNoServer(t *testing.T) {
	mute := func(*testing.T, punch.Conn, int) {}
	err := simulate(t, mute, false, find(t, "PING"))
	if err == nil || !strings.Contains(err.Error(), "198.51.100.1:57888 does not answer a PING within 2s") {
		t.Errorf("%v, want that the server does not answer", err)
	}
}

// TestTooFewHosts has fewer addresses than a check needs.
func TestTooFewHosts(t *testing.T) {
	p := &Prober{Hosts: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	err := p.Run(t.Context(), find(t, "ASK"))
	if err == nil || !strings.Contains(err.Error(), `"ASK" needs 2 addresses`) {
		t.Errorf("%v, want that there are too few addresses", err)
	}
}

// TestNoSocket has a machine that is short of sockets.
func TestNoSocket(t *testing.T) {
	short := errors.New("no more sockets")
	p := &Prober{
		Hosts:  []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Listen: func(netip.AddrPort) (punch.Conn, error) { return nil, short },
	}
	if err := p.Run(t.Context(), find(t, "PING")); !errors.Is(err, short) {
		t.Errorf("%v, want %v", err, short)
	}
}

// TestInterrupted ends a check in the middle: nothing is left of it, not even
// the registration.
func TestInterrupted(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 4600 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			host := n.Internet().Host("203.0.113.21", "203.0.113.22", "203.0.113.23")
			p := &Prober{Server: serverAddr, Hosts: host.Addrs(), Grace: time.Millisecond}
			p.Listen = func(at netip.AddrPort) (punch.Conn, error) { return host.Listen(at) }
			server := rdv.New(rdv.Config{Conn: n.Internet().Listen(serverAddr.String())})
			serving, end := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- server.Run(serving) }()
			ctx, stop := context.WithTimeout(t.Context(), after)
			defer stop()
			if err := p.Run(ctx, find(t, "PING is a sign of life")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %v: %v, want that it was interrupted", after, err)
			}
			synctest.Wait()
			time.Sleep(time.Second) // what is on its way arrives
			if st := server.Stats(); st.Clients != 0 || st.Received == 0 {
				t.Errorf("after %v: %+v, want no client registered", after, st)
			}
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			n.Close()
		})
	}
}

// TestForeigners checks that what others send is not taken for the server's.
func TestForeigners(t *testing.T) {
	liar := func(t *testing.T, conn punch.Conn, limit int) {
		host := conn.(*simnet.Conn).Host()
		other, err := host.Listen(netip.AddrPortFrom(serverAddr.Addr(), 0))
		if err != nil {
			t.Error(err)
			return
		}
		defer other.Close()
		// Each answer is also sent from another port.
		ours(t, warped{Conn: conn, out: func(d punch.Datagram) []punch.Datagram {
			if err := other.Send([]punch.Datagram{d}); err != nil {
				t.Error(err)
			}
			return []punch.Datagram{d}
		}}, limit)
	}
	if err := simulate(t, liar, false, find(t, "ASK")); err != nil {
		t.Error(err)
	}
	// A server that answers from there only cannot be heard behind a NAT.
	deaf := func(t *testing.T, conn punch.Conn, limit int) {
		other := conn.(*simnet.Conn).Host()
		from, err := other.Listen(netip.AddrPortFrom(serverAddr.Addr(), 0))
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		ours(t, warped{Conn: conn, out: func(d punch.Datagram) []punch.Datagram {
			if err := from.Send([]punch.Datagram{d}); err != nil {
				t.Error(err)
			}
			return nil
		}}, limit)
	}
	if err := simulate(t, deaf, false, find(t, "ASK")); err == nil {
		t.Error("answers from another port are taken for the server's")
	}
}
