// Package probe asks a rendezvous server from outside whether it does what the
// protocol says: datagrams go in, and the exact bytes, or the silence, that
// come back are compared with a table.
//
// A [Check] is one sentence of the protocol and an exchange that shows it, in
// the words of the wire:
//
//	after  from  sends                            comes back
//	0 s    A     00 0000 v1 00000000   HELLO      A  04 0000 00000000 00000000  OK
//	0 s    B     00 0000 v2 00000000   HELLO      B  04 0000 00000000 00000000  OK
//	0 s    A     02 0000 v2 00000000   ASK        A  07 @B v2                   ANS
//	                                              B  06 @A v1                   FWD
//
// A, B and C are hosts with addresses of their own; A2 is a second socket on A.
// v1 to v9 are VPN addresses, which every check has for itself, so that all
// checks can run on one server at the same time. @A is the endpoint of A as
// messages have it: port, address.
//
// [Checks] are those of the protocol of Campagnol 0.3.5 as this project's server
// speaks it. Where the original answers differently, a check has a second
// exchange, which shows that, and names the [Point] that it is about.
//
// A [Prober] runs checks. Silence is not waited for: a bystander, which is
// never registered, sends a PING after each step. When its RECONNECT is there,
// the server has dealt with what was sent before.
//
// The tests of this package run all checks against the program that is built
// from this tree, and against any other server:
//
//	go test ./rdv/internal/probe -run TestServer -rdv 192.0.2.1:57888 -hosts 192.0.2.7,192.0.2.8,192.0.2.9
//	go test ./rdv/internal/probe -run TestServer -rdv 127.0.0.1:57888 -original
//
// The server must let any number of clients register (campagnol_rdv -m 0). The
// few checks of a full table need a second one, which lets two (-m 2).
package probe
