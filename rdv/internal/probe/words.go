package probe

import "time"

// Messages without fields.
const (
	ping      = "01 0000 00000000 00000000"
	pong      = "03 0000 00000000 00000000"
	ok        = "04 0000 00000000 00000000"
	nok       = "05 0000 00000000 00000000"
	bye       = "0b 0000 00000000 00000000"
	reconnect = "0c 0000 00000000 00000000"
)

// Local addresses: port and address.
const (
	local1 = "c0e4 c0a80102" // 192.168.1.2:49380
	local2 = "b4ac c0a80103" // 192.168.1.3:46252
	local3 = "0457 c0a80109" // 192.168.1.9:1111
)

// The times of steps lie well before or after what they depend on: a client is
// stale after 5 s of silence, in the original after 5 to 6, since it counts
// whole seconds; and forgotten after 10 s, in the original at the next cleaning
// after 11, which comes every 5 s at least.
const (
	notYetStale   = 4.5
	stale         = 6.5
	notYetGone    = 9.5
	gone          = 10.5
	goneInTheirs  = 18
	notYetYielded = 0.5 // after a probe
	yielded       = 1.5
)

func hello(vpn string) string     { return "00 0000 " + vpn + " 00000000" }
func ask(vpn string) string       { return "02 0000 " + vpn + " 00000000" }
func closing(vpn string) string   { return "0d 0000 " + vpn + " 00000000" }
func rej(vpn string) string       { return "08 0000 " + vpn + " 00000000" }
func ans(at, vpn string) string   { return "07 " + at + " " + vpn }
func fwd(at, vpn string) string   { return "06 " + at + " " + vpn }
func helloAt(v, at string) string { return "00 " + at[:4] + " " + v + " " + at[5:] }

// says returns a step at the beginning.
func says(from End, send string, want ...Reply) Step {
	return Step{From: from, Send: send, Want: want}
}

// at returns s with another time.
func at(seconds float64, s Step) Step {
	s.At = time.Duration(seconds*1000+0.5) * time.Millisecond
	return s
}

func to(e End, data string) Reply { return Reply{e, data} }

// registers has e register vpn.
func registers(e End, vpn string) Step { return says(e, hello(vpn), to(e, ok)) }

// pings has e PING, as a registered client, and strange as another.
func pings(e End) Step   { return says(e, ping, to(e, pong)) }
func strange(e End) Step { return says(e, ping, to(e, reconnect)) }

// introduced has asker, who is va, ask for asked, who is vb, and both hear of
// each other's endpoints.
func introduced(asker End, va string, asked End, vb string) Step {
	return says(asker, ask(vb),
		to(asker, ans("@"+string(asked), vb)),
		to(asked, fwd("@"+string(asker), va)))
}
