package probe

// askChecks are about introductions.
var askChecks = []Check{
	{
		Name:  "ASK",
		Says:  "The asker gets ANS with the asked's endpoint, the asked gets FWD with the asker's.",
		Steps: []Step{registers(A, "v1"), registers(B, "v2"), introduced(A, "v1", B, "v2")},
	}, {
		Name:  "ASK for an unknown address",
		Says:  "If nobody has the VPN address, the asker gets REJ with it.",
		Steps: []Step{registers(A, "v1"), says(A, ask("v2"), to(A, rej("v2")))},
	}, {
		Name: "ASK for oneself",
		Says: "Who asks for himself gets ANS, and FWD.",
		Steps: []Step{
			registers(A, "v1"),
			says(A, ask("v1"), to(A, ans("@A", "v1")), to(A, fwd("@A", "v1"))),
		},
	}, {
		Name: "ASK in both directions",
		Says: "The asked may ask for the asker in turn.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			introduced(A, "v1", B, "v2"), introduced(B, "v2", A, "v1"), introduced(A, "v1", B, "v2"),
		},
	}, {
		Name: "ASK again",
		Says: "The same ASK is answered each time.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			introduced(A, "v1", B, "v2"), introduced(A, "v1", B, "v2"),
		},
	}, {
		Name: "ASK concerns two",
		Says: "Nobody else hears of an introduction.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"), registers(C, "v3"),
			introduced(A, "v1", B, "v2"), introduced(C, "v3", B, "v2"), introduced(C, "v3", A, "v1"),
		},
	}, {
		Name: "ASK for one who has left",
		Says: "Who has said BYE is not found.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"), introduced(A, "v1", B, "v2"),
			says(B, bye),
			says(A, ask("v2"), to(A, rej("v2"))),
		},
	}, {
		Name: "ASK for one who has moved",
		Says: "The endpoint in ANS is that of the latest registration.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"), introduced(A, "v1", B, "v2"),
			says(B, bye),
			registers(C, "v2"),
			introduced(A, "v1", C, "v2"),
		},
	}, {
		Name: "ASK by a stale client",
		Says: "It does not matter how long the asker has been silent, as long as it is known.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(B)),
			at(stale, introduced(A, "v1", B, "v2")),
		},
	}, {
		Name: "ASK for a client silent for 6.5 s",
		Says: "A client that has been silent for 5 to 10 s is introduced, and stays registered.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(A)),
			at(stale, introduced(A, "v1", B, "v2")),
			at(stale, pings(B)),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(A)),
			at(stale, says(A, ask("v2"), to(A, rej("v2")))),
			at(stale, strange(B)),
		},
		Covers: []Point{AskSilent},
	}, {
		Name: "ASK for a client silent for 9.5 s",
		Says: "A client that has been silent for 5 to 10 s is introduced, and stays registered.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(A)),
			at(notYetGone, introduced(A, "v1", B, "v2")),
			at(notYetGone, pings(B)),
		},
		Original: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(A)),
			at(notYetGone, says(A, ask("v2"), to(A, rej("v2")))),
			at(notYetGone, strange(B)),
		},
		Covers: []Point{AskSilent},
	}, {
		Name: "ASK for a client silent for 10.5 s",
		Says: "A client that has been silent for more than 10 s is not found.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			at(notYetStale, pings(A)),
			at(gone, says(A, ask("v2"), to(A, rej("v2")))),
			at(gone, strange(B)),
		},
	},
}

// localChecks are about local addresses: two clients behind one NAT, which have
// the same public address, are introduced to each other by their local ones.
var localChecks = []Check{
	{
		Name: "one public address, both with local addresses",
		Says: "Clients of one public address get each other's local addresses.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, helloAt("v2", local2), to(A2, ok)),
			says(A, ask("v2"), to(A, ans(local2, "v2")), to(A2, fwd(local1, "v1"))),
			says(A2, ask("v1"), to(A2, ans(local1, "v1")), to(A, fwd(local2, "v2"))),
		},
	}, {
		Name: "one public address, the asked without local address",
		Says: "If one of them has no local address, both get public ones.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)), registers(A2, "v2"),
			introduced(A, "v1", A2, "v2"),
		},
	}, {
		Name: "one public address, the asker without local address",
		Says: "If one of them has no local address, both get public ones.",
		Steps: []Step{
			registers(A, "v1"), says(A2, helloAt("v2", local2), to(A2, ok)),
			introduced(A, "v1", A2, "v2"),
		},
	}, {
		Name:  "one public address, no local addresses",
		Says:  "Without local addresses, both get public ones.",
		Steps: []Step{registers(A, "v1"), registers(A2, "v2"), introduced(A, "v1", A2, "v2")},
	}, {
		Name: "two public addresses, both with local addresses",
		Says: "Clients of different public addresses get these, and no local ones.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)), says(B, helloAt("v2", local2), to(B, ok)),
			introduced(A, "v1", B, "v2"),
		},
	}, {
		Name: "local address without port",
		Says: "Port 0 in a HELLO says that there is no local address, whatever ip2 is.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, "00 0000 v2 c0a80103", to(A2, ok)),
			introduced(A, "v1", A2, "v2"),
		},
	}, {
		// No client of the original sends this: its local address is the
		// one that it is bound to.
		Name: "local port without address",
		Says: "The local address 0.0.0.0, which nobody can be reached at, is none.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, "00 b4ac v2 00000000", to(A2, ok)),
			introduced(A, "v1", A2, "v2"),
		},
		Original: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A2, "00 b4ac v2 00000000", to(A2, ok)),
			says(A, ask("v2"), to(A, ans("b4ac 00000000", "v2")), to(A2, fwd(local1, "v1"))),
		},
	}, {
		Name: "ASK for oneself with a local address",
		Says: "Who asks for himself is told his local address, if he has one.",
		Steps: []Step{
			says(A, helloAt("v1", local1), to(A, ok)),
			says(A, ask("v1"), to(A, ans(local1, "v1")), to(A, fwd(local1, "v1"))),
		},
	},
}

// closeChecks are about CLOSE, which changes the server's account of sessions,
// and nothing that it says.
var closeChecks = []Check{
	{
		Name: "CLOSE",
		Says: "CLOSE is not answered, and the other client does not hear of it.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"), introduced(A, "v1", B, "v2"),
			says(A, closing("v2")), pings(A), pings(B),
		},
	}, {
		Name: "CLOSE by the asked",
		Says: "Both clients of a session can close it.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"), introduced(A, "v1", B, "v2"),
			says(B, closing("v1")), says(A, closing("v2")), pings(A), pings(B),
		},
	}, {
		Name:  "CLOSE for an unknown address",
		Says:  "CLOSE is ignored if nobody has the VPN address.",
		Steps: []Step{registers(A, "v1"), says(A, closing("v2")), pings(A)},
	}, {
		Name: "CLOSE without session",
		Says: "CLOSE is ignored if there was no introduction.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"),
			says(A, closing("v2")), says(A, closing("v1")), pings(A), pings(B),
		},
	}, {
		Name: "ASK after CLOSE",
		Says: "Who has closed a session may ask again, and so may the other.",
		Steps: []Step{
			registers(A, "v1"), registers(B, "v2"), introduced(A, "v1", B, "v2"),
			says(A, closing("v2")), introduced(A, "v1", B, "v2"),
			says(B, closing("v1")), introduced(B, "v2", A, "v1"),
		},
	},
}
