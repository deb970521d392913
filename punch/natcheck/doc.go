// Package natcheck finds out how what lies between a host and the Internet treats
// UDP, by asking STUN servers (RFC 8489) in the manner of RFC 5780. Its result is a
// [nat.Behaviour].
//
// A [Check] is a machine: its owner has the sockets, sends what it says, hands it
// what comes in, and tells it the time. Socket 0 is the primary one, over which
// peers are to be reached; what is learned about its public endpoints is about those.
// The others are fresh: nothing has been sent from them before. They show which ports
// the NAT takes, and whom it lets in, which the primary's past would spoil.
//
//	primary ──────▶ all servers                  which public endpoint do they see?
//	        first answer, or all, or enough time
//	primary ──────▶ server's other port          mapping: another endpoint there?
//	        ──────▶ server's other address
//	fresh 1 to n ─▶ server                       ports: how are they taken?
//	        answers, or enough time
//	fresh 1 ──────▶ server: CHANGE-REQUEST       filtering: is an answer let in that
//	                                             comes from elsewhere?
//	fresh n ◀─────▶ fresh n-1's endpoint         hairpin: does it come back?
//
// A check takes three round trips when everything is answered, and some twenty
// datagrams at most. What a NAT does not let in is sent again before it counts as
// filtered, so a check that finds a filter takes half a second more.
//
// # What can be told
//
// A server with two addresses and two ports tells all of it. With a single address,
// a mapping or a filter that depends on the address alone looks like one that does
// not depend on anything; the worse is reported, and that it is not exact. Several
// servers with an address each make up for it, for the mapping.
//
// An answer counts if it comes from the place that was asked, to the socket that has
// asked, with the transaction ID, of 96 random bits. Whoever sees the requests can
// forge answers. That costs us a worse path or a vain attempt, and nobody relies on it.
package natcheck
