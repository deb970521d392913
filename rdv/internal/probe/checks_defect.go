package probe

// defectChecks are the defects of the original, each as it is found: as an
// attack, or as bad luck.
var defectChecks = []Check{
	{
		// What cannot be prevented.
		Name: "D-R1 anybody registers any free VPN address",
		Says: "A VPN address that nobody holds goes to whoever says HELLO first; its owner has to wait.",
		Steps: []Step{
			registers(B, "v1"),
			says(A, hello("v1"), to(B, reconnect), to(A, nok)),
			registers(B, "v1"),
			at(yielded, says(A, hello("v1"), to(A, nok))),
		},
		Original: []Step{
			registers(B, "v1"),
			says(A, hello("v1"), to(A, nok)),
			at(yielded, says(A, hello("v1"), to(A, nok))),
		},
		Covers: []Point{DR1, Spoofed},
	}, {
		// What holds all the same.
		Name: "D-R1 a live client keeps its VPN address",
		Says: "As long as a client answers, nobody else gets its VPN address, from wherever he says HELLO.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			registers(A, "v1"),
			at(yielded, says(C, hello("v1"), to(C, nok))),
			at(3, pings(A)),
			at(3, registers(C, "v3")),
			at(3, introduced(C, "v3", A, "v1")),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			at(yielded, says(C, hello("v1"), to(C, nok))),
			at(3, pings(A)),
			at(3, registers(C, "v3")),
			at(3, introduced(C, "v3", A, "v1")),
		},
		Covers: []Point{DR1, Spoofed},
	}, {
		// A forged datagram is, to the server, one of the client itself.
		Name: "D-R1 a forged BYE",
		Says: "A client that a forged BYE has unregistered is told so when it PINGs next, and comes back.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, bye),
			says(B, ask("v1"), to(B, rej("v1"))),
			at(3, strange(A)),
			at(3, registers(A, "v1")),
			at(3, introduced(B, "v2", A, "v1")),
		},
		Covers: []Point{DR1, Spoofed},
	}, {
		Name: "D-R1 a forged HELLO",
		Says: "A forged HELLO with another VPN address changes nothing about a live client.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, hello("v3"), to(A, nok)),
			introduced(B, "v2", A, "v1"), pings(A),
		},
		Covers: []Point{DR1, Spoofed},
	},
	serversCheck(),
	{
		Name: "D-R3 hijack by way of a timed-out endpoint",
		Says: "Whoever lets a registration time out gets nothing by it that a live client holds.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"), // attacker, victim
			at(3, pings(B)),
			at(6, pings(B)),
			at(stale, says(A, hello("v2"), to(B, reconnect), to(A, nok))),
			at(stale, registers(B, "v2")),
			at(stale, says(A, bye)),
			at(stale, registers(C, "v3")),
			at(stale, introduced(C, "v3", B, "v2")),
			at(stale, says(A2, hello("v2"), to(A2, nok))), // nor from elsewhere
			at(9, pings(B)),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(3, pings(B)),
			at(6, pings(B)),
			at(stale, registers(A, "v2")),
			at(stale, says(A, bye)),
			at(stale, registers(C, "v3")),
			at(stale, says(C, ask("v2"), to(C, rej("v2")))),
			at(stale, registers(A2, "v2")),
		},
		Covers: []Point{DR3, HelloHijack},
	}, {
		Name: "D-R4 one lost PING",
		Says: "A client of which one PING was lost, is introduced to who asks for it just then, and stays registered.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(3, pings(A)), // that of B is lost
			at(6, pings(A)),
			at(stale, introduced(A, "v1", B, "v2")), // the next of B is late
			at(stale, pings(B)),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(3, pings(A)),
			at(6, pings(A)),
			at(stale, says(A, ask("v2"), to(A, rej("v2")))),
			at(stale, strange(B)),
		},
		Covers: []Point{DR4, AskSilent},
	}, {
		Name: "D-R5 a lost OK",
		Says: "A client that has not heard the OK, and repeats its HELLO every 2 s, hears it the next time.",
		Steps: []Step{
			registers(A, "v1"),
			at(2, registers(A, "v1")),
			at(4, registers(A, "v1")),
			at(6, registers(A, "v1")),
		},
		Original: []Step{
			registers(A, "v1"),
			at(2, says(A, hello("v1"), to(A, nok))),
			at(4, says(A, hello("v1"), to(A, nok))),
		},
		Covers: []Point{DR5, HelloFresh},
	}, {
		Name: "D-R6 a stale local address",
		Says: "A client that has moved to another local network is not looked for in the old one.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, helloAt("v2", local2), to(A2, ok)),
			at(notYetStale, pings(A)),
			at(stale, says(A2, helloAt("v2", local3), to(A2, ok))),
			at(stale, says(A, ask("v2"), to(A, ans(local3, "v2")), to(A2, fwd(local1, "v1")))),
		},
		Original: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, helloAt("v2", local2), to(A2, ok)),
			at(notYetStale, pings(A)),
			at(stale, says(A2, helloAt("v2", local3), to(A2, ok))),
			at(stale, says(A, ask("v2"), to(A, ans(local2, "v2")), to(A2, fwd(local1, "v1")))),
		},
		Covers: []Point{DR6, HelloStale},
	}, {
		Name: "D-R6 long datagrams",
		Says: "A message with anything behind it is none, whoever sends it.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, ask("v2")+" 00"), says(A, bye+" 00*20"), says(A, ping+" 00*1389"),
			pings(A),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, ask("v2")+" 00", to(A, ans("@B", "v2")), to(B, fwd("@A", "v1"))),
			says(A, ping+" 00*1389", to(A, pong)),
			says(A, bye+" 00*20"),
			strange(A),
		},
		Covers: []Point{DR6, TooLong},
	},
}

// serversCheck has everything that another server could say.
func serversCheck() Check {
	c := Check{
		Name:   "D-R2 what servers say to each other",
		Says:   "Nothing that a server sends makes another server answer.",
		Covers: []Point{DR2},
	}
	for _, m := range notForServers {
		c.Steps = append(c.Steps, says(A, m.data))
		c.Original = append(c.Original, says(A, m.data, to(A, reconnect)))
	}
	return c
}
