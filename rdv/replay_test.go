package rdv

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
)

// The datagrams of the golden vectors, as they were captured from Campagnol 0.3.5:
// A is 10.9.0.1 at epA (192.168.1.2 in its own network), B is 10.9.0.2 at epB.
const (
	hexHelloA    = "00c0e40a090001c0a80102"
	hexHelloB    = "009a720a090002c0a80202"
	hexHelloD    = "0000000a09000400000000" // use_local_addr = no
	hexOverrideD = "00115c0a090004c0a80103" // override_local_addr = 192.168.1.3 4444
	hexOK        = "0400000000000000000000"
	hexNOK       = "0500000000000000000000"
	hexPing      = "0100000000000000000000"
	hexPong      = "0300000000000000000000"
	hexAskA      = "0200000a09000100000000"
	hexAskB      = "0200000a09000200000000"
	hexAskD      = "0200000a09000400000000"
	hexAskNobody = "0200000a09004d00000000"
	hexAnsA      = "07c0e4cb0071150a090001"
	hexAnsB      = "079a72cb0071160a090002"
	hexFwdA      = "06c0e4cb0071150a090001"
	hexFwdB      = "069a72cb0071160a090002"
	hexRejNobody = "0800000a09004d00000000"
	hexPunchA    = "0900000a09000100000000"
	hexKeepAlive = "0a00000000000000000000"
	hexByeA      = "0b00000a09000100000000"
	hexByeB      = "0b00000a09000200000000"
	hexReconnect = "0c00000000000000000000"
	hexCloseA    = "0d00000a09000100000000"
	hexCloseB    = "0d00000a09000200000000"
)

// A turn is what a client says at a time after the start, and everything that the
// server sends then. It answers at once, in this order, and never speaks by
// itself.
type turn struct {
	at      time.Duration
	from    netip.AddrPort
	hex     string
	answers []told
}

// told is a datagram that the server sends.
type told struct {
	to  netip.AddrPort
	hex string
}

// on returns a turn.
func on(at time.Duration, from netip.AddrPort, hex string, answers ...told) turn {
	return turn{at, from, hex, answers}
}

// restart is the turn in which the server is ended and started again, with
// nothing of what it knew.
func restart(at time.Duration) turn { return turn{at: at} }

// pingsOf returns the PINGs that a client says every 3 s, with their answers.
func pingsOf(from netip.AddrPort, at time.Duration, count int) []turn {
	var ts []turn
	for i := range count {
		ts = append(ts, on(at+time.Duration(i)*3*time.Second, from, hexPing, told{from, hexPong}))
	}
	return ts
}

// both is how A and B register.
var both = []turn{
	on(0, epA, hexHelloA, told{epA, hexOK}),
	on(10*time.Millisecond, epB, hexHelloB, told{epB, hexOK}),
}

func script(parts ...[]turn) []turn {
	var ts []turn
	for _, p := range parts {
		ts = append(ts, p...)
	}
	return ts
}

const ms = time.Millisecond

// behindA is where D, who is behind the NAT of A, is seen.
var behindA = netip.MustParseAddrPort("203.0.113.21:50000")

// serverReplays are the scripts of TestReplayServer, by the name of what they are
// about.
var serverReplays = []struct {
	name  string
	turns []turn
}{
	{"registration with a lost OK", script([]turn{
		on(0, epA, hexHelloA, told{epA, hexOK}),      // which is lost
		on(2*sec, epA, hexHelloA, told{epA, hexOK}),  // the original: NOK, four times
		on(4*sec, epA, hexHelloA, told{epA, hexOK})}, // likewise
		pingsOf(epA, 7*sec, 3))},
	{"PING and PONG", script([]turn{on(0, epA, hexHelloA, told{epA, hexOK})},
		pingsOf(epA, 3*sec, 2), // one is lost; the client is silent for 6 s
		pingsOf(epA, 12*sec, 2))},
	{"ASK, ANS and FWD", script(both, []turn{
		on(1*sec, epA, hexAskB, told{epA, hexAnsB}, told{epB, hexFwdA}),
		on(1*sec+5*ms, epA, hexPunchA), // to the wrong place: not answered
		on(2*sec, epB, hexAskA, told{epB, hexAnsA}, told{epA, hexFwdB}),
		on(2*sec+1, epA, hexAskNobody, told{epA, hexRejNobody})})},
	{"ASK for a client whose PING was lost", script(both, // the original: REJ, and B is removed
		pingsOf(epA, 3*sec, 2), []turn{
			on(6500*ms, epA, hexAskB, told{epA, hexAnsB}, told{epB, hexFwdA}),
			on(7*sec, epB, hexPing, told{epB, hexPong}),
		})},
	{"two behind one NAT", []turn{
		on(0, epA, hexHelloA, told{epA, hexOK}),
		on(0, behindA, hexOverrideD, told{behindA, hexOK}),
		// 192.168.1.3 4444, and 192.168.1.2 49380
		on(1*sec, epA, hexAskD, told{epA, "07115cc0a801030a090004"}, told{behindA, "06c0e4c0a801020a090001"}),
	}},
	{"two behind one NAT, use_local_addr = no", []turn{
		on(0, epA, hexHelloA, told{epA, hexOK}),
		on(0, behindA, hexHelloD, told{behindA, hexOK}),
		on(1*sec, epA, hexAskD, told{epA, "07c350cb0071150a090004"}, told{behindA, hexFwdA}),
	}},
	{"ten PUNCHes and keepalives at the server", script(both, []turn{
		on(1*sec, epA, hexPunchA), on(1200*ms, epA, hexPunchA), on(1400*ms, epB, hexKeepAlive),
		on(1500*ms, epC, hexPunchA), on(1600*ms, epC, hexKeepAlive), // the original: RECONNECT to strangers
	})},
	{"CLOSE", script(both, []turn{
		on(1*sec, epA, hexAskB, told{epA, hexAnsB}, told{epB, hexFwdA}),
		on(2*sec, epA, hexCloseB),
		on(2*sec, epB, hexCloseA), // again, from the other side
		on(2500*ms, epA, hexAskB, told{epA, hexAnsB}, told{epB, hexFwdA}),
	})},
	{"BYE", script(both, []turn{
		on(1*sec, epA, hexByeA),
		on(2*sec, epB, hexAskA, told{epB, "0800000a09000100000000"}),
		on(3*sec, epA, hexPing, told{epA, hexReconnect}),
		on(3*sec, epA, hexHelloA, told{epA, hexOK}),
	})},
	{"BYE in another's name", script(both, []turn{ // the endpoint counts
		on(1*sec, epA, hexByeB),
		on(2*sec, epB, hexPing, told{epB, hexPong}),
		on(2*sec, epA, hexPing, told{epA, hexReconnect}),
	})},
	{"RECONNECT after an RDV restart", script(both, []turn{
		on(3*sec, epA, hexPing, told{epA, hexPong}),
		restart(5 * sec),
		on(6*sec, epA, hexPing, told{epA, hexReconnect}),
		on(6*sec+20*ms, epA, hexHelloA, told{epA, hexOK}),
		on(6*sec+40*ms, epA, hexAskB, told{epA, "0800000a09000200000000"}), // not yet
		on(7*sec, epB, hexPing, told{epB, hexReconnect}),
		on(7*sec+20*ms, epB, hexHelloB, told{epB, hexOK}),
		on(8*sec, epA, hexAskB, told{epA, hexAnsB}, told{epB, hexFwdA}),
	})},
	{"RECONNECT for whatever a stranger asks", []turn{
		on(0, epA, hexPing, told{epA, hexReconnect}),
		on(1*sec, epA, hexAskB, told{epA, hexReconnect}),
		on(2*sec, epA, hexCloseB, told{epA, hexReconnect}),
		on(3*sec, epA, hexByeA, told{epA, hexReconnect}),
		on(4*sec, epA, hexReconnect), on(4*sec, epA, hexOK), on(4*sec, epA, hexPong), // the original: RECONNECT
	}},
	{"glare", script(both, []turn{
		on(1*sec, epA, hexAskB, told{epA, hexAnsB}, told{epB, hexFwdA}),
		on(1*sec+1, epB, hexAskA, told{epB, hexAnsA}, told{epA, hexFwdB}),
	})},
	{"NOK, the VPN address is another's", script(both, []turn{
		// The holder is asked whether it is there; the original says NOK for 5 s.
		on(1*sec, epC, hexHelloA, told{epA, hexReconnect}, told{epC, hexNOK}),
		on(1*sec+20*ms, epA, hexHelloA, told{epA, hexOK}),
		on(2*sec, epC, hexHelloA, told{epC, hexNOK}),
		on(3*sec, epC, hexHelloA, told{epC, hexNOK}),
		on(4*sec, epC, hexHelloA, told{epC, hexNOK}),
		on(5*sec, epC, "0b00000a09000100000000", told{epC, hexReconnect}), // BYE of the refused one: A stays
		on(6*sec, epA, hexPing, told{epA, hexPong}),
	})},
	{"NOK, the client was killed and starts from another port", script(both, []turn{
		on(1*sec, epC, hexHelloA, told{epA, hexReconnect}, told{epC, hexNOK}), // epA is gone
		on(2*sec, epC, hexHelloA, told{epC, hexOK}),                           // the original: after 5 s
		on(3*sec, epB, hexAskA, told{epB, "070400cb0071170a090001"}, told{epC, hexFwdB}),
	})},
}

// TestReplayServer plays sessions to the server in which clients say what those of
// Campagnol 0.3.5 say, when they say it. They are composed, not captured: the
// datagrams are captured ones, the times are those of the original's timers. Where
// our server answers otherwise than the original, on purpose, the line says so.
func TestReplayServer(t *testing.T) {
	for _, c := range serverReplays {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { replay(t, c.turns) })
		})
	}
}

// replay plays turns to a server and compares everything that it sends, and when.
func replay(t *testing.T, turns []turn) {
	t.Helper()
	r := run(t, false, 0, 0)
	start := time.Now()
	for i, u := range turns {
		time.Sleep(u.at - time.Since(start))
		if sent := r.conn.take(); len(sent) > 0 {
			t.Errorf("before turn %d, at %v, the server sends %x to %v by itself", i, u.at, sent[0].Data, sent[0].Addr)
		}
		if u.hex == "" {
			r.end()
			r = run(t, false, 0, 0)
			continue
		}
		b, err := hex.DecodeString(u.hex)
		if err != nil {
			t.Fatal(err)
		}
		r.conn.in <- []punch.Datagram{{Addr: u.from, Data: b}}
		got := r.conn.take() // in the same instant: no time has passed
		for j := range max(len(got), len(u.answers)) {
			switch {
			case j >= len(got):
				t.Errorf("turn %d, %s from %v at %v: no %s to %v", i, u.hex, u.from, u.at, u.answers[j].hex, u.answers[j].to)
			case j >= len(u.answers):
				t.Errorf("turn %d, %s from %v at %v: sends %x to %v, which is not in the script", i, u.hex, u.from, u.at, got[j].Data, got[j].Addr)
			case told{got[j].Addr, hex.EncodeToString(got[j].Data)} != u.answers[j]:
				t.Errorf("turn %d, %s from %v at %v: sends %x to %v, want %s to %v",
					i, u.hex, u.from, u.at, got[j].Data, got[j].Addr, u.answers[j].hex, u.answers[j].to)
			}
		}
	}
	time.Sleep(time.Minute) // the clients expire, and nobody is told
	if sent := r.conn.take(); len(sent) > 0 {
		t.Errorf("after the last turn the server sends %x to %v by itself", sent[0].Data, sent[0].Addr)
	}
	r.end()
}
