package probe

// A Point is something that our server does differently from the original, on
// purpose, or a defect of the original that it does not have.
type Point string

// The differences.
const (
	HelloFresh    Point = "HELLO again, same endpoint and VPN address, still fresh: OK, local address replaced"
	HelloHijack   Point = "HELLO from a timed-out endpoint for another VPN address that somebody live holds: NOK"
	HelloStale    Point = "HELLO again, same endpoint and VPN address, timed out: OK, new local address"
	Contested     Point = "HELLO for a VPN address of another endpoint that looks alive: it is asked whether it is"
	NotForServers Point = "messages that are not for a server, from an unknown endpoint: silence"
	AskSilent     Point = "ASK for a client that has been silent for 5 to 10 s: answered, entry kept"
	TooLong       Point = "a datagram of more than 11 bytes: dropped"
	Clock         Point = "time is that of a monotonic clock"
	Spoofed       Point = "spoofed registration: cannot be prevented in messages of 11 bytes"
)

// The defects.
const (
	DR1 Point = "D-R1: nobody is authenticated; spoofed BYE, HELLO and ASK work"
	DR2 Point = "D-R2: one spoofed datagram makes two servers answer each other without end"
	DR3 Point = "D-R3: a live client's VPN address can be taken by way of a timed-out endpoint"
	DR4 Point = "D-R4: one lost PING and one ASK remove a client"
	DR5 Point = "D-R5: a lost OK makes a start fail"
	DR6 Point = "D-R6: a stale local address is kept, long datagrams are accepted, sessions never expire"
)

// Points returns all of them.
func Points() []Point {
	return []Point{
		HelloFresh, HelloHijack, HelloStale, Contested, NotForServers, AskSilent, TooLong, Clock, Spoofed,
		DR1, DR2, DR3, DR4, DR5, DR6,
	}
}
