// Package hard finds a path through a NAT that takes another public port for each
// remote endpoint: a hard one, also called symmetric. What a server sees of a client
// behind it is not what a peer sees, so that ordinary punching ends at a closed port
// wherever the other side's NAT or firewall is particular about ports, too.
//
// One side has such a NAT, the other has not. What helps is to have many ports open
// at one side and to try many from the other:
//
//	hard side, Open                         other side, Guess
//	socket 0 ──► port 40211 ─┐
//	socket 1 ──► port 11873 ─┼── punches ──► its one public endpoint
//	   …             …       │
//	socket n ──► port 53090 ─┘
//	                 port 11873 ◄── punches ── to ports that may be open
//
// Each socket's punch makes a mapping that lets the other side in. With random ports,
// 256 sockets and 1400 guesses miss each other in 0.4 % of all cases: (1 - 1400/64512)^256.
// It does not matter who is first: a punch that comes before the mapping is there opens
// the guesser's filter for the one that the mapping is made by. Where ports are handed
// out in turn, the sockets have neighbouring ones, and guesses that are further apart
// than neighbours, but not than all sockets together, find them wherever they are.
//
// Between two hard NATs there is nothing to be done: both would have to guess. And
// where it is not known of both sides what they have, nothing is tried.
//
// [Make] says what a side does, an [Attempt] is a machine without I/O that does it
// within a [Budget], and a [Ration] bounds what all attempts of a client cost: they are
// noise to NATs and firewalls on the way, and whoever lies about NATs must not be able
// to make a client knock at somebody's door for ever. None of them reads a clock, starts
// a goroutine or takes a lock.
package hard
