package probe

// helloChecks are about registration by those who are not silent.
var helloChecks = []Check{
	{
		Name:  "HELLO",
		Says:  "HELLO registers an endpoint with a VPN address, and is answered with OK.",
		Steps: []Step{registers(A, "v1"), pings(A)},
	}, {
		Name:  "HELLO with a local address",
		Says:  "A local address changes nothing about the answer.",
		Steps: []Step{says(A, helloAt("v1", local1), to(A, ok)), pings(A)},
	}, {
		Name: "VPN address 0.0.0.0",
		Says: "Any VPN address can be registered, even 0.0.0.0.",
		Steps: []Step{
			registers(B, "v2"),
			says(B, ask("00000000"), to(B, rej("00000000"))),
			registers(A, "00000000"),
			introduced(B, "v2", A, "00000000"),
		},
	}, {
		Name:  "VPN address 255.255.255.255",
		Says:  "Any VPN address can be registered, even 255.255.255.255.",
		Steps: []Step{registers(A, "ffffffff"), registers(B, "v2"), introduced(B, "v2", A, "ffffffff")},
	}, {
		Name:     "HELLO again",
		Says:     "A client that says HELLO again is registered still, and is told so.",
		Steps:    []Step{registers(A, "v1"), registers(A, "v1"), pings(A)},
		Original: []Step{registers(A, "v1"), says(A, hello("v1"), to(A, nok)), pings(A)},
		Covers:   []Point{HelloFresh},
	}, {
		Name: "HELLO again, with another local address",
		Says: "The local address of the latest HELLO counts.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, helloAt("v2", local2), to(A2, ok)),
			says(A, helloAt("v1", local3), to(A, ok)),
			says(A2, ask("v1"), to(A2, ans(local3, "v1")), to(A, fwd(local2, "v2"))),
		},
		Original: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, helloAt("v2", local2), to(A2, ok)),
			says(A, helloAt("v1", local3), to(A, nok)),
			says(A2, ask("v1"), to(A2, ans(local1, "v1")), to(A, fwd(local2, "v2"))),
		},
		Covers: []Point{HelloFresh},
	}, {
		Name: "HELLO again, without local address",
		Says: "A later HELLO without local address takes the earlier one back.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, helloAt("v2", local2), to(A2, ok)),
			registers(A, "v1"),
			introduced(A2, "v2", A, "v1"),
		},
		Original: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, helloAt("v2", local2), to(A2, ok)),
			says(A, hello("v1"), to(A, nok)),
			says(A2, ask("v1"), to(A2, ans(local1, "v1")), to(A, fwd(local2, "v2"))),
		},
		Covers: []Point{HelloFresh},
	}, {
		Name: "HELLO for a second VPN address",
		Says: "A live client cannot change its VPN address; it keeps the one that it has.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, hello("v3"), to(A, nok)),
			introduced(B, "v2", A, "v1"),
			says(B, ask("v3"), to(B, rej("v3"))),
		},
	}, {
		Name: "HELLO for another's VPN address, by a client",
		Says: "A live client cannot take the VPN address of another.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, hello("v2"), to(A, nok)),
			introduced(A, "v1", B, "v2"),
		},
	},
}

// staleChecks are about registrations of those who have been silent for more
// than 5 s.
var staleChecks = []Check{
	{
		Name: "stale client, same VPN address",
		Says: "A client that comes back after a silence has the local address that it says now.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			at(stale, says(A, helloAt("v1", local3), to(A, ok))),
			at(stale, says(A2, helloAt("v2", local2), to(A2, ok))),
			at(stale, says(A2, ask("v1"), to(A2, ans(local3, "v1")), to(A, fwd(local2, "v2")))),
		},
		Original: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			at(stale, says(A, helloAt("v1", local3), to(A, ok))),
			at(stale, says(A2, helloAt("v2", local2), to(A2, ok))),
			at(stale, says(A2, ask("v1"), to(A2, ans(local1, "v1")), to(A, fwd(local2, "v2")))),
		},
		Covers: []Point{HelloStale, DR6},
	}, {
		Name: "stale client, free VPN address",
		Says: "A client may change its VPN address after a silence; it is not found by the old one.",
		Steps: []Step{
			registers(A, "v1"),
			at(notYetStale, says(A, hello("v3"), to(A, nok))),
			at(stale, registers(A, "v3")),
			at(stale, registers(B, "v2")),
			at(stale, says(B, ask("v1"), to(B, rej("v1")))),
			at(stale, introduced(B, "v2", A, "v3")),
		},
	}, {
		Name: "stale client, VPN address of a live one",
		Says: "A VPN address that a live client holds is nobody else's.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(B)),
			at(stale, says(A, hello("v2"), to(B, reconnect), to(A, nok))),
			at(stale, registers(B, "v2")),
			at(stale, registers(C, "v3")),
			at(stale, introduced(C, "v3", B, "v2")),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(B)),
			at(stale, registers(A, "v2")), // which of them is found is left to chance
		},
		Covers: []Point{HelloHijack},
	}, {
		Name: "stale client, VPN address of a stale one",
		Says: "The VPN address of a client that is silent goes to whoever asks for it, and the silent one is forgotten.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(stale, registers(A, "v2")),
			at(stale, strange(B)),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(stale, registers(A, "v2")),
			at(stale, pings(B)), // two clients have one address
		},
		Covers: []Point{DR3},
	}, {
		Name: "new client, VPN address of a stale one",
		Says: "The VPN address of a client that is silent goes to a newcomer, and the silent one is forgotten.",
		Steps: []Step{
			registers(A, "v1"),
			at(stale, registers(B, "v1")),
			at(stale, strange(A)),
			at(stale, registers(C, "v3")),
			at(stale, introduced(C, "v3", B, "v1")),
		},
	}, {
		Name: "a refused HELLO is no sign of life",
		Says: "A HELLO that is refused keeps nobody from going stale.",
		Steps: []Step{
			registers(A, "v1"),
			at(notYetStale, says(A, hello("v3"), to(A, nok))),
			at(stale, registers(B, "v1")),
		},
	}, {
		Name: "HELLO again is a sign of life",
		Says: "A HELLO that is accepted again counts like a PING.",
		Steps: []Step{
			registers(A, "v1"),
			at(notYetStale, registers(A, "v1")),
			at(8, says(B, hello("v1"), to(A, reconnect), to(B, nok))),
		},
		Original: []Step{
			registers(A, "v1"),
			at(notYetStale, says(A, hello("v1"), to(A, nok))),
			at(8, registers(B, "v1")),
		},
		Covers: []Point{HelloFresh},
	},
}
