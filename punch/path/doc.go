// Package path keeps a live session on a path that works, and on the best that there is.
//
// A [Keeper] is a machine without I/O for one session: its owner tells it what comes and
// what is sent, and does what it says. It never reads a clock, starts a goroutine or
// takes a lock.
//
// # What proves a path
//
// Addresses are heard of from the rendezvous server, from the peer, and from anybody who
// can write an address on a datagram; none of that proves anything. A path is proven by
// the response to a challenge inside the session, with a number that was sent over that
// very path (return routability, RFC 9000 section 8.2). The session is never sent anywhere
// else.
//
// A path is a [punch.Endpoint]: an address of the peer, and the socket of ours that sees
// it there. The same address by two sockets is two paths, of which one may lead through a
// relay.
//
// # States
//
//	        quiet                     patience
//	SURE ────────────► IN DOUBT ────────────────► DARK ──lostAfter──► LOST
//	 ▲  ▲                 │                        │ │                 │
//	 │  └──the path answers or, if only silence ───┘ │                 │
//	 │         was the reason, anything is heard     │                 │
//	 └────────────another path answers: Move─────────┴─────────────────┘
//
// SURE: the path carries datagrams, or nothing is sent. IN DOUBT: something was sent and
// nothing heard, or what the peer sends comes from elsewhere; the path is challenged.
// DARK: it has not answered; all others are challenged, and the rendezvous server is
// asked to introduce the two ends anew. LOST: that has brought nothing, either; the owner
// makes a new session beside this one, which is still looked for.
//
// While the path is sure and used, the others are challenged now and then. One that is
// better by more than a little takes over. A path through a relay is the worst of all that
// work, and the first to be asked when the path is dark (relay.go).
package path
