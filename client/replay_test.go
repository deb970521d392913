package client

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Where the machines of the golden vectors are.
var (
	replayRDV = netip.MustParseAddrPort("203.0.113.10:57888")
	sideA     = side{"10.9.0.1", netip.MustParseAddrPort("203.0.113.21:49380"), netip.MustParseAddrPort("192.168.1.2:49380")}
	sideB     = side{"10.9.0.2", netip.MustParseAddrPort("203.0.113.22:39538"), netip.MustParseAddrPort("192.168.2.2:39538")}
)

// What the programs say to each other, as it was captured from Campagnol 0.3.5.
const (
	helloA    = "00c0e40a090001c0a80102"
	helloB    = "009a720a090002c0a80202"
	pingMsg   = "0100000000000000000000"
	askB      = "0200000a09000200000000"
	askNobody = "0200000a09004d00000000"
	pongMsg   = "0300000000000000000000"
	okMsg     = "0400000000000000000000"
	nokMsg    = "0500000000000000000000"
	fwdA      = "06c0e4cb0071150a090001" // A is at 203.0.113.21:49380
	fwdB      = "069a72cb0071160a090002"
	ansB      = "079a72cb0071160a090002"
	rejNobody = "0800000a09004d00000000"
	punchA    = "0900000a09000100000000"
	punchB    = "0900000a09000200000000"
	keepMsg   = "0a00000000000000000000"
	byeA      = "0b00000a09000100000000"
	reconnect = "0c00000000000000000000"
	closeA    = "0d00000a09000100000000"
	closeB    = "0d00000a09000200000000"

	unknownAlert = "15feff000100000000000300020250" // the answer to unknownData: in clear, with its numbers
)

// unknownData is application data of a session that the receiver does not have.
var unknownData = "17feff00010000000000030080" + strings.Repeat("5a", 0x80)

// The punches of ours: those of the original with a mark in ip2, which the
// original does not read. The last byte says whether the sender has asked for the
// path (1) and whether it has heard the peer (2).
const (
	oursA      = "0900000a090001434701"
	oursB      = "0900000a090002434701"
	asked      = "01"
	askedHeard = "03"
	heard      = "02"
)

// What a DTLS datagram begins with: content type, version, epoch, sequence
// number. The rest is random or encrypted.
const (
	handshakeAny = "16fefd0000*"
	finishedAny  = "14fefd0000*" // ChangeCipherSpec and Finished
	dataAny      = "17fefd0001*"
	alertAny     = "15fefd0001*"
)

const sec, ms = time.Second, time.Millisecond

// volleys are when ours punches after an introduction: the original does it every
// 200 ms for 2 s. In each of its intervals ours does it at least once, so that an
// original hears us whenever it begins to listen.
var volleys = []time.Duration{
	0, 20 * ms, 60 * ms, 140 * ms, 300 * ms, 500 * ms, 700 * ms,
	900 * ms, 1100 * ms, 1300 * ms, 1500 * ms, 1700 * ms, 1900 * ms,
}

// registered is the usual start of A: HELLO, OK.
var registered = join(sends(0, replayRDV, helloA), gets(10*ms, replayRDV, okMsg))

// pings is what a registered client and its RDV say every 3 s from the given time
// on.
func pings(at time.Duration, count int) []moment {
	return join(
		every(3*sec, count, at, func(at time.Duration) moment { return sends(at, replayRDV, pingMsg) }),
		every(3*sec, count, at+10*ms, func(at time.Duration) moment { return gets(at, replayRDV, pongMsg) }))
}

// packetForB makes A's host send a packet to B.
func packetForB(r *replay) { r.node.send(netip.MustParseAddr(sideB.vpn), "data") }

// punches returns what A sends when it was introduced to B at the given time and B
// is heard that much later, until the time of the last volley that is wanted.
func punches(at time.Duration, hearing time.Duration, until time.Duration) []moment {
	var script []moment
	for _, v := range volleys {
		mark := asked
		if v > hearing {
			mark = askedHeard
		}
		if v <= until {
			script = append(script, sends(at+v, sideB.public, oursA+mark))
		}
	}
	return script
}

// opened is how A opens a session to B at 1 s, who is an original; the packet that
// caused it goes over it at once. The original would punch on, ours stops, since
// an open session needs no more of it.
var opened = join(
	does(1000*ms, packetForB),
	sends(1000*ms, replayRDV, askB),
	gets(1010*ms, replayRDV, ansB),
	punches(1010*ms, 5*ms, 0),
	does(1014*ms, func(r *replay) { r.peer.shake(true) }),
	gets(1015*ms, sideB.public, punchB),
	sends(1015*ms, sideB.public, oursA+askedHeard),
	sends(1015*ms, sideB.public, handshakeAny), // ClientHello
	sends(1015*ms, sideB.public, handshakeAny), // Certificate to Finished
	sends(1015*ms, sideB.public, dataAny),
)

// crossed is how A and B ask for each other at the same time: A is told where B
// is, and that B asks.
var crossed = join(
	registered,
	does(1000*ms, packetForB),
	sends(1000*ms, replayRDV, askB),
	gets(1010*ms, replayRDV, ansB),
	gets(1012*ms, replayRDV, fwdB),
	punches(1010*ms, 5*ms, 0),
)

// introducedToB is how B, which has registered, is told that A asks.
var introducedToB = join(
	sends(0, replayRDV, helloB),
	gets(10*ms, replayRDV, okMsg),
	gets(1010*ms, replayRDV, fwdA),
	sends(1010*ms, sideA.public, oursB+"00"),
)

// tenPunches: the peer punches as an original does, but begins to listen to DTLS
// only after 2 s, as one that has missed its wake-up. Ours punches all the time.
var tenPunches = join(
	registered,
	does(1000*ms, packetForB),
	sends(1000*ms, replayRDV, askB),
	gets(1010*ms, replayRDV, ansB),
	every(200*ms, 10, 1015*ms, func(at time.Duration) moment { return gets(at, sideB.public, punchB) }),
	punches(1010*ms, 5*ms, 2*sec),
	// Each of an original's is answered, beside the volleys: who does not mark
	// its punches may not have heard us.
	every(200*ms, 10, 1015*ms, func(at time.Duration) moment { return sends(at, sideB.public, oursA+askedHeard) }),
	sends(1015*ms, sideB.public, handshakeAny), // ClientHello
	// Repeated sooner than by the original, whose first wait is a second.
	sends(1415*ms, sideB.public, handshakeAny),
	sends(2215*ms, sideB.public, handshakeAny),
	does(3*sec, func(r *replay) { r.peer.shake(true) }),
	pings(3010*ms, 1),
	sends(3815*ms, sideB.public, handshakeAny),
	sends(3815*ms, sideB.public, handshakeAny),
	sends(3815*ms, sideB.public, dataAny),
)

// inVain: nobody is where the RDV says. The original gives up after 3 s; ours
// takes 5, and has the RDV tell the peer again meanwhile, whose first word may
// have been lost.
var inVain = join(
	registered,
	does(1000*ms, packetForB),
	sends(1000*ms, replayRDV, askB),
	gets(1012*ms, replayRDV, ansB),
	punches(1012*ms, time.Hour, 2*sec),
	every(500*ms, 6, 3412*ms, func(at time.Duration) moment { return sends(at, sideB.public, oursA+asked) }),
	every(500*ms, 9, 1512*ms, func(at time.Duration) moment { return sends(at, replayRDV, askB) }),
	pings(3010*ms, 2),
	sends(6012*ms, replayRDV, closeB),
)

// clientReplays are the scripts of TestReplayClient, by the name of what they are
// about.
var clientReplays = []struct {
	name   string
	us     side
	end    time.Duration // of the script
	script []moment
}{
	{"registration with a lost OK", sideA, 9 * sec, join(
		sends(0, replayRDV, helloA), // OK is lost
		// Ours does not wait 2 s for the first answer: any RDV is nearer.
		sendsFrom(1*sec, 2*sec, replayRDV, helloA),
		gets(2010*ms, replayRDV, okMsg), // of our RDV
		pings(5010*ms, 2),
	)},
	{"registration with a lost OK, at an original RDV", sideA, 11 * sec, join(
		sends(0, replayRDV, helloA),                // OK is lost
		sendsFrom(1*sec, 2*sec, replayRDV, helloA), // as above
		gets(2010*ms, replayRDV, nokMsg),           // it knows us, and refuses
		sends(3010*ms, replayRDV, helloA),
		gets(3020*ms, replayRDV, nokMsg),
		sends(4020*ms, replayRDV, helloA),
		gets(4030*ms, replayRDV, nokMsg),
		sends(5030*ms, replayRDV, byeA), // undoes the registration; the original exits here
		sends(7030*ms, replayRDV, helloA),
		gets(7040*ms, replayRDV, okMsg),
		pings(10040*ms, 1),
	)},
	{"nobody answers", sideA, 8900 * ms, join(
		sends(0, replayRDV, helloA),
		sendsFrom(1*sec, 2*sec, replayRDV, helloA), // as above, and so all the rest
		sendsFrom(3*sec, 4*sec, replayRDV, helloA),
		sendsFrom(5*sec, 6*sec, replayRDV, helloA),
		sendsFrom(7*sec, 8*sec, replayRDV, byeA),
	)},
	{"NOK", sideA, 6 * sec, join( // the entry of the last run is still fresh
		sends(0, replayRDV, helloA),
		gets(10*ms, replayRDV, nokMsg),
		sends(1010*ms, replayRDV, helloA),
		gets(1020*ms, replayRDV, nokMsg),
		sends(2020*ms, replayRDV, helloA),
		gets(2030*ms, replayRDV, okMsg),
		pings(5030*ms, 1),
	)},
	{"PING and PONG", sideA, 17 * sec, join(
		registered,
		pings(3010*ms, 2),
		sends(9010*ms, replayRDV, pingMsg), // PONG is lost
		pings(12010*ms, 2),
	)},
	{"RECONNECT after an RDV restart", sideA, 11 * sec, join(
		registered,
		pings(3010*ms, 1),
		sends(6010*ms, replayRDV, pingMsg),
		gets(6020*ms, replayRDV, reconnect),
		sends(6020*ms, replayRDV, helloA),
		gets(6030*ms, replayRDV, okMsg),
		pings(9030*ms, 1),
	)},
	{"RECONNECT to a session", sideA, 5900 * ms, join( // it stays
		registered, opened,
		sends(3010*ms, replayRDV, pingMsg),
		gets(3020*ms, replayRDV, reconnect),
		sends(3020*ms, replayRDV, helloA),
		gets(3030*ms, replayRDV, okMsg),
		does(4*sec, packetForB),
		sends(4*sec, sideB.public, dataAny),
	)},
	{"ASK and REJ", sideA, 2900 * ms, join(
		registered,
		does(1*sec, func(r *replay) { r.node.send(netip.MustParseAddr("10.9.0.77"), "anybody?") }),
		sends(1*sec, replayRDV, askNobody),
		gets(1010*ms, replayRDV, rejNobody),
	)},
	{"ASK and ANS", sideA, 2900 * ms, join(registered, opened)},
	{"ASK without an answer", sideA, 5 * sec, join(
		registered,
		does(1*sec, packetForB),
		sends(1*sec, replayRDV, askB),
		// The original asks once and gives up after 3 s. A lost datagram
		// must not cost that much: ours asks again meanwhile.
		every(500*ms, 4, 1500*ms, func(at time.Duration) moment { return sends(at, replayRDV, askB) }),
		sends(3010*ms, replayRDV, pingMsg),
		sends(3500*ms, replayRDV, askB),
	)},
	{"FWD", sideB, 2900 * ms, join(
		introducedToB,
		gets(1015*ms, sideA.public, punchA),
		sends(1015*ms, sideA.public, oursB+heard),
		sends(1030*ms, sideA.public, oursB+heard), // punching goes on
		does(1050*ms, func(r *replay) { r.peer.shake(false) }),
		sends(1050*ms, sideA.public, handshakeAny), // ServerHello to ServerHelloDone
		sends(1050*ms, sideA.public, finishedAny),
	)},
	{"FWD, the ClientHello overtakes the PUNCH", sideB, 2900 * ms, join(
		introducedToB,
		// The original drops it, and has it again after a second.
		does(1015*ms, func(r *replay) { r.peer.shake(false) }),
		sends(1015*ms, sideA.public, handshakeAny),
		sends(1015*ms, sideA.public, finishedAny),
		gets(1020*ms, sideA.public, punchA),
	)},
	{"ten PUNCHes over 2 s", sideA, 5900 * ms, tenPunches},
	{"PUNCHes in vain, CLOSE", sideA, 8900 * ms, inVain},
	{"keepalive", sideA, 35 * sec, join(
		registered, opened, pings(3010*ms, 11),
		// The original looks at its clock once a second, and sends when 10 s
		// are over: after 11. Ours may be 100 ms early, to do it for many
		// peers at once.
		sendsFrom(10915*ms, 12015*ms, sideB.public, keepMsg),
		sendsFrom(20815*ms, 23015*ms, sideB.public, keepMsg),
		sendsFrom(30715*ms, 34015*ms, sideB.public, keepMsg),
		gets(15*sec, sideB.public, keepMsg), // is not answered, and changes nothing
	)},
	{"CLOSE of an idle session", sideA, 125 * sec, join(
		registered, opened, pings(3010*ms, 41),
		every(10*sec, 11, 11015*ms, func(at time.Duration) moment { return sendsFrom(at-200*ms, at, sideB.public, keepMsg) }),
		// The original looks at its clock once a second.
		sendsFrom(116015*ms, 117015*ms, replayRDV, closeB),
		sendsFrom(116015*ms, 117015*ms, sideB.public, alertAny),
	)},
	{"close_notify of the peer", sideA, 5 * sec, join( // needs neither an alert nor CLOSE
		registered, opened, pings(3010*ms, 1),
		does(2*sec, func(r *replay) { r.peer.close() }),
		does(4*sec, packetForB),
		sends(4*sec, replayRDV, askB), // it is gone
		gets(4010*ms, replayRDV, "0800000a09000200000000"),
	)},
	{"unknown application data", sideA, 8 * sec, join( // the original answers it, without an effect
		registered, pings(3010*ms, 2),
		gets(1*sec, sideB.public, unknownData),
	)},
	{"the original's answer to unknown application data", sideA, 5900 * ms, join( // has no effect
		registered, opened, pings(3010*ms, 1),
		gets(4*sec, sideB.public, unknownAlert),
		does(5*sec, packetForB),
		sends(5*sec, sideB.public, dataAny), // the session is still there
	)},
	{"BYE", sideA, 10 * sec, join(
		registered, opened,
		does(2*sec, func(r *replay) { r.node.stop() }),
		sends(2*sec, replayRDV, byeA), // before the peers
		sends(2*sec, sideB.public, alertAny),
	)},
	{"glare with an original", sideA, 2900 * ms, join(
		crossed,
		gets(1015*ms, sideB.public, punchB),
		sends(1015*ms, sideB.public, oursA+askedHeard),
		// No ClientHello of ours: that of an original, which it always sends,
		// would be answered by its end.
		does(1020*ms, func(r *replay) { r.peer.shake(false) }),
		sends(1020*ms, sideB.public, handshakeAny),
		sends(1020*ms, sideB.public, finishedAny),
		sends(1020*ms, sideB.public, dataAny),
	)},
	{"glare with an original, FWD comes first", sideA, 2900 * ms, join(
		registered,
		does(1000*ms, packetForB),
		sends(1000*ms, replayRDV, askB),
		gets(1008*ms, replayRDV, fwdB),
		gets(1010*ms, replayRDV, ansB),
		sends(1008*ms, sideB.public, oursA+asked),
		gets(1015*ms, sideB.public, punchB),
		sends(1015*ms, sideB.public, oursA+askedHeard),
		does(1020*ms, func(r *replay) { r.peer.shake(false) }),
		sends(1020*ms, sideB.public, handshakeAny),
		sends(1020*ms, sideB.public, finishedAny),
		sends(1020*ms, sideB.public, dataAny),
	)},
	{"glare with an original that has given up", sideA, 2900 * ms, join(
		crossed,
		does(1014*ms, func(r *replay) { r.peer.shake(true) }),
		gets(1015*ms, sideB.public, punchB),
		sends(1015*ms, sideB.public, oursA+askedHeard),
		punches(1010*ms, 5*ms, 1500*ms)[1:],
		sends(2515*ms, sideB.public, handshakeAny), // 1.5 s after the path is open
		sends(2515*ms, sideB.public, handshakeAny),
		sends(2515*ms, sideB.public, dataAny),
	)},
	{"glare with one of ours, with a higher address", sideA, 2900 * ms, join(
		crossed,
		does(1014*ms, func(r *replay) { r.peer.shake(true) }),
		gets(1015*ms, sideB.public, oursB+asked),
		sends(1015*ms, sideB.public, oursA+askedHeard),
		sends(1015*ms, sideB.public, handshakeAny), // at once
		sends(1015*ms, sideB.public, handshakeAny),
		sends(1015*ms, sideB.public, dataAny),
	)},
}

// TestReplayClient plays sessions to the client in which the RDV and the peer say
// what Campagnol 0.3.5 says, when it says it. They are composed, not captured:
// the datagrams are captured ones, the times are those that were measured or read
// of the original's timers. Everything that the client sends is compared.
//
// Where ours is quicker than the original, the script says sendsFrom, with the
// reason at the line.
func TestReplayClient(t *testing.T) {
	for _, c := range clientReplays {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				them := sideB
				if c.us == sideB {
					them = sideA
				}
				r := newReplay(t, c.us, them, nil)
				r.play(c.script, c.end)
				r.check(c.script)
			})
		})
	}
}
