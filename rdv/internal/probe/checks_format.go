package probe

// formatChecks are about what is a message at all.
var formatChecks = []Check{
	{
		Name:  "10 bytes",
		Says:  "A datagram that is shorter than a message is dropped.",
		Steps: []Step{says(A, "00 0000 v1 000000"), strange(A)},
	}, {
		Name:  "one byte",
		Says:  "A datagram of one byte is dropped.",
		Steps: []Step{says(A, "01"), strange(A)},
	}, {
		Name:  "empty datagram",
		Says:  "A datagram without payload is dropped.",
		Steps: []Step{says(A, ""), strange(A)},
	}, {
		Name:     "12 bytes",
		Says:     "A HELLO with one byte more is none.",
		Steps:    []Step{says(A, hello("v1")+" 00"), strange(A)},
		Original: []Step{says(A, hello("v1")+" 00", to(A, ok)), pings(A)},
		Covers:   []Point{TooLong},
	}, {
		Name:     "511 bytes",
		Says:     "A PING of 511 bytes is none.",
		Steps:    []Step{registers(A, "v1"), says(A, "01 00*510"), pings(A)},
		Original: []Step{registers(A, "v1"), says(A, "01 00*510", to(A, pong)), pings(A)},
		Covers:   []Point{TooLong},
	}, {
		Name:     "two messages in one datagram",
		Says:     "Two messages in one datagram are none.",
		Steps:    []Step{says(A, hello("v1")+ping), strange(A)},
		Original: []Step{says(A, hello("v1")+ping, to(A, ok)), pings(A)},
		Covers:   []Point{TooLong},
	}, {
		Name:     "1400 bytes of no protocol",
		Says:     "A large datagram of no protocol is dropped.",
		Steps:    []Step{says(A, "ff*1400")},
		Original: []Step{says(A, "ff*1400", to(A, reconnect))},
		Covers:   []Point{TooLong, NotForServers},
	}, {
		Name:  "PING with fields",
		Says:  "PING has no fields: what is there is ignored, and PONG's are zero.",
		Steps: []Step{registers(A, "v1"), says(A, "01 1234 0a0b0c0d 01020304", to(A, pong))},
	}, {
		Name: "ASK with more fields",
		Says: "Port and ip2 of an ASK are ignored.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, "02 ffff v2 ffffffff", to(A, ans("@B", "v2")), to(B, fwd("@A", "v1"))),
			says(A, "02 ffff v9 ffffffff", to(A, rej("v9"))),
		},
	}, {
		Name: "BYE of somebody else",
		Says: "The address in a BYE is ignored: the endpoint counts.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, "0b 0000 v2 00000000"),
			strange(A), pings(B),
		},
	}, {
		Name: "CLOSE with more fields",
		Says: "Port and ip2 of a CLOSE are ignored.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			introduced(A, "v1", B, "v2"),
			says(A, "0d ffff v2 ffffffff"),
			pings(A), pings(B),
		},
	},
}

// notForServers are the messages that servers and peers send, by number.
var notForServers = []struct{ name, data string }{
	{"PONG", pong},
	{"OK", ok},
	{"NOK", nok},
	{"FWD", "06 1234 7f000001 v2"},
	{"ANS", "07 1234 7f000001 v2"},
	{"REJ", rej("v2")},
	{"PUNCH", "09 0000 v1 00000000"},
	{"KEEPALIVE", "0a 0000 00000000 00000000"},
	{"RECONNECT", reconnect},
}

// undefined are types that no message has. Those that could begin a datagram of
// another protocol of the port are left out.
var undefined = []string{"0e", "13", "1a", "3f", "50", "80", "ff"}

const noFields = " 0000 00000000 00000000"

// strangerChecks are about endpoints that are not registered.
func strangerChecks() []Check {
	var checks []Check
	for _, m := range []struct{ name, data string }{
		{"PING", ping}, {"ASK", ask("v2")}, {"CLOSE", closing("v2")}, {"BYE", bye},
	} {
		checks = append(checks, Check{
			Name:  m.name + " from an unknown endpoint",
			Says:  "A client that is not known is told to say HELLO.",
			Steps: []Step{says(A, m.data, to(A, reconnect)), says(A, m.data, to(A, reconnect))},
		})
	}
	for _, m := range notForServers {
		checks = append(checks, Check{
			Name:     m.name + " from an unknown endpoint",
			Says:     "Who says what clients do not say is no client, and is told nothing.",
			Steps:    []Step{says(A, m.data), strange(A)},
			Original: []Step{says(A, m.data, to(A, reconnect)), strange(A)},
			Covers:   []Point{NotForServers},
		})
	}
	all := Check{
		Name:   "undefined types from an unknown endpoint",
		Says:   "Types from 14 on are dropped.",
		Covers: []Point{NotForServers},
	}
	for _, typ := range undefined {
		all.Steps = append(all.Steps, says(A, typ+noFields))
		all.Original = append(all.Original, says(A, typ+noFields, to(A, reconnect)))
	}
	return append(checks, all)
}

// ignoredChecks are about what registered clients have no business to say.
func ignoredChecks() []Check {
	var checks []Check
	for _, m := range notForServers {
		checks = append(checks, Check{
			Name:  m.name + " from a client",
			Says:  "What servers and peers say is ignored when a client says it.",
			Steps: []Step{registers(A, "v1"), registers(B, "v2"), says(A, m.data), pings(A), pings(B)},
		})
	}
	all := Check{
		Name:  "undefined types from a client",
		Says:  "Types from 14 on are ignored.",
		Steps: []Step{registers(A, "v1")},
	}
	for _, typ := range undefined {
		all.Steps = append(all.Steps, says(A, typ+noFields))
	}
	all.Steps = append(all.Steps, pings(A))
	return append(checks, all)
}
