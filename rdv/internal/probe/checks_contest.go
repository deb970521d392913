package probe

// contestChecks are about two endpoints that want one VPN address, while the
// one that has it is not stale. Ours asks that one whether it is there; the
// original refuses the other until it is stale.
var contestChecks = []Check{
	{
		Name: "HELLO for another's VPN address, by a newcomer",
		Says: "The newcomer is refused, and not registered; the holder is told to RECONNECT.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			strange(B),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			strange(B),
		},
		Covers: []Point{Contested},
	}, {
		Name: "the holder is alive",
		Says: "A holder that says HELLO when told to RECONNECT keeps its VPN address.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			registers(A, "v1"),
			at(yielded, says(B, hello("v1"), to(B, nok))),
			at(yielded, registers(C, "v3")),
			at(yielded, introduced(C, "v3", A, "v1")),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			says(A, hello("v1"), to(A, nok)),
			at(yielded, says(B, hello("v1"), to(B, nok))),
			at(yielded, registers(C, "v3")),
			at(yielded, introduced(C, "v3", A, "v1")),
		},
		Covers: []Point{Contested},
	}, {
		Name: "the holder is gone",
		Says: "A holder that is silent for a second when told to RECONNECT has lost its VPN address to the next HELLO.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			at(notYetYielded, says(B, hello("v1"), to(B, nok))),
			at(yielded, registers(B, "v1")),
			at(yielded, strange(A)),
			at(yielded, says(A, hello("v1"), to(A, nok))), // B was not asked: the last time is 1.5 s ago
			at(yielded, pings(B)),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			at(notYetYielded, says(B, hello("v1"), to(B, nok))),
			at(yielded, says(B, hello("v1"), to(B, nok))),
			at(yielded, pings(A)),
		},
		Covers: []Point{Contested},
	}, {
		Name: "the holder says something else",
		Says: "Any message of the holder shows that it is alive.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			says(A, ask("v9"), to(A, rej("v9"))),
			at(yielded, says(B, hello("v1"), to(B, nok))),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			says(A, ask("v9"), to(A, rej("v9"))),
			at(yielded, says(B, hello("v1"), to(B, nok))),
		},
		Covers: []Point{Contested},
	}, {
		Name: "nobody comes back",
		Says: "A holder that was asked, and PINGs before anybody says HELLO again, keeps its VPN address.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			at(yielded, pings(A)),
			at(3, says(B, hello("v1"), to(B, nok))),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			at(yielded, pings(A)),
			at(3, says(B, hello("v1"), to(B, nok))),
		},
		Covers: []Point{Contested},
	}, {
		Name: "an obstinate newcomer",
		Says: "The holder of a VPN address is told to RECONNECT once in 5 s at most.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			registers(A, "v1"),
			at(2, says(B, hello("v1"), to(B, nok))),
			at(4, pings(A)),
			at(notYetStale, says(B, hello("v1"), to(B, nok))),
			at(5.5, says(B, hello("v1"), to(A, reconnect), to(B, nok))),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			at(2, says(B, hello("v1"), to(B, nok))),
			at(4, pings(A)),
			at(notYetStale, says(B, hello("v1"), to(B, nok))),
			at(5.5, says(B, hello("v1"), to(B, nok))),
		},
		Covers: []Point{Contested},
	}, {
		Name: "two newcomers",
		Says: "It makes no difference who asks for the VPN address.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			says(C, hello("v1"), to(C, nok)),
			at(yielded, registers(C, "v1")),
			at(yielded, says(B, hello("v1"), to(B, nok))),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			says(C, hello("v1"), to(C, nok)),
			at(yielded, says(C, hello("v1"), to(C, nok))),
			at(yielded, says(B, hello("v1"), to(B, nok))),
		},
		Covers: []Point{Contested},
	}, {
		Name: "the holder says BYE",
		Says: "A VPN address is free at once when its holder says BYE.",
		Steps: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(A, reconnect), to(B, nok)),
			says(A, bye),
			registers(B, "v1"),
		},
		Original: []Step{
			registers(A, "v1"),
			says(B, hello("v1"), to(B, nok)),
			says(A, bye),
			registers(B, "v1"),
		},
		Covers: []Point{Contested},
	}, {
		Name: "a NAT gives a client another port",
		Says: "A client whose NAT has changed its endpoint is registered again within seconds.",
		Steps: []Step{
			registers(A, "v1"),
			strange(A2),
			says(A2, hello("v1"), to(A, reconnect), to(A2, nok)), // the old mapping is gone: nobody hears it
			at(yielded, registers(A2, "v1")),
			at(yielded, pings(A2)),
		},
		Original: []Step{
			registers(A, "v1"),
			strange(A2),
			says(A2, hello("v1"), to(A2, nok)),
			at(yielded, says(A2, hello("v1"), to(A2, nok))),
			at(notYetStale, says(A2, hello("v1"), to(A2, nok))),
			at(stale, registers(A2, "v1")),
			at(stale, pings(A2)),
		},
		Covers: []Point{Contested},
	},
}
