package probe

// lifeChecks are about how long a client stays registered.
var lifeChecks = []Check{
	{
		Name:  "PING",
		Says:  "PING is answered with PONG.",
		Steps: []Step{registers(A, "v1"), pings(A), pings(A)},
	}, {
		Name: "PING is a sign of life",
		Says: "A client that PINGs stays registered.",
		Steps: []Step{
			registers(A, "v1"),
			at(notYetStale, pings(A)),
			at(9, pings(A)),
			at(13.5, pings(A)),
		},
	}, {
		Name: "PING makes a stale client fresh",
		Says: "A client that PINGs after a silence holds its VPN address again.",
		Steps: []Step{
			registers(A, "v1"),
			at(stale, pings(A)),
			at(8, says(B, hello("v1"), to(A, reconnect), to(B, nok))),
		},
		Original: []Step{
			registers(A, "v1"),
			at(stale, pings(A)),
			at(8, says(B, hello("v1"), to(B, nok))),
		},
		Covers: []Point{Contested},
	}, {
		Name:  "silence of less than 10 s",
		Says:  "A silent client is known for 10 s.",
		Steps: []Step{registers(A, "v1"), at(notYetGone, pings(A))},
	}, {
		Name:     "silence of more than 10 s",
		Says:     "A client that is silent for longer than 10 s is forgotten.",
		Steps:    []Step{registers(A, "v1"), at(gone, strange(A))},
		Original: []Step{registers(A, "v1"), at(goneInTheirs, strange(A))},
	}, {
		Name: "ASK is no sign of life",
		Says: "A client that does not PING is forgotten although it ASKs.",
		Steps: []Step{
			registers(A, "v1"),
			at(notYetStale, says(A, ask("v9"), to(A, rej("v9")))),
			at(9, says(A, ask("v9"), to(A, rej("v9")))),
			at(gone, strange(A)),
		},
		Original: []Step{
			registers(A, "v1"),
			at(notYetStale, says(A, ask("v9"), to(A, rej("v9")))),
			at(9, says(A, ask("v9"), to(A, rej("v9")))),
			at(goneInTheirs, strange(A)),
		},
	}, {
		Name:     "CLOSE is no sign of life",
		Says:     "A client that does not PING is forgotten although it says CLOSE.",
		Steps:    []Step{registers(A, "v1"), at(9, says(A, closing("v9"))), at(gone, strange(A))},
		Original: []Step{registers(A, "v1"), at(9, says(A, closing("v9"))), at(goneInTheirs, strange(A))},
	}, {
		Name:     "KEEPALIVE is no sign of life",
		Says:     "What is ignored is no sign of life.",
		Steps:    []Step{registers(A, "v1"), at(9, says(A, "0a"+noFields)), at(gone, strange(A))},
		Original: []Step{registers(A, "v1"), at(9, says(A, "0a"+noFields)), at(goneInTheirs, strange(A))},
	}, {
		Name:  "BYE",
		Says:  "BYE unregisters the sender, and is not answered.",
		Steps: []Step{registers(A, "v1"), says(A, bye), strange(A)},
	}, {
		Name:  "BYE twice",
		Says:  "Who has said BYE is unknown.",
		Steps: []Step{registers(A, "v1"), says(A, bye), says(A, bye, to(A, reconnect))},
	}, {
		Name:  "BYE frees the VPN address",
		Says:  "A VPN address is free at once when its holder says BYE.",
		Steps: []Step{registers(A, "v1"), says(A, bye), registers(B, "v1"), pings(B), strange(A)},
	}, {
		Name: "BYE, and HELLO with another VPN address",
		Says: "Who has said BYE may come back as somebody else at once.",
		Steps: []Step{
			registers(A, "v1"), says(A, bye), registers(A, "v3"),
			registers(B, "v2"), introduced(B, "v2", A, "v3"),
			says(B, ask("v1"), to(B, rej("v1"))),
		},
	},
}

// limitedChecks are about a server that lets two clients register.
var limitedChecks = []Check{
	{
		Name:    "full table",
		Says:    "If the table is full, a newcomer is refused, until somebody has left.",
		Limited: true,
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(C, hello("v3"), to(C, nok)),
			strange(C),
			says(A, bye),
			registers(C, "v3"),
		},
	}, {
		Name:    "full table, HELLO again",
		Says:    "A client that is in a full table needs no other place when it says HELLO again.",
		Limited: true,
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			registers(A, "v1"), registers(B, "v2"),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, hello("v1"), to(A, nok)), says(B, hello("v2"), to(B, nok)),
		},
		Covers: []Point{HelloFresh},
	}, {
		Name:    "full table, silent client",
		Says:    "The place of a client that is silent for more than 10 s is free.",
		Limited: true,
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(5, pings(A)),
			at(9, says(C, hello("v3"), to(C, nok))),
			at(10, pings(A)),
			at(11.5, registers(C, "v3")),
			at(11.5, pings(A)),
			at(11.5, strange(B)),
		},
	}, {
		Name:    "full table, stale client with another VPN address",
		Says:    "A client in a full table may change its VPN address after a silence.",
		Limited: true,
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(stale, registers(A, "v3")),
			at(stale, introduced(A, "v3", B, "v2")),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(B)),
			at(stale, registers(A, "v3")),
			at(stale, introduced(A, "v3", B, "v2")),
		},
	},
}
