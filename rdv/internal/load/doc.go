// Package load puts the load of many clients on a rendezvous server, over real
// UDP, and measures how it bears it: what is lost, how long answers take, and
// what the server's process costs.
//
// A [Fleet] is N clients of Campagnol 0.3.5 as a machine without clock and
// network. Each says HELLO until it is registered, PINGs every 3 s, spread
// evenly, and some of them ASK for each other, at random:
//
//	register                serve                          drain
//	HELLO, 256 at a time ──▶ PING, ASK and what follows ──▶ wait for answers
//	until all are OK         for a given time               on their way
//
// [Run] puts a fleet on the network. All of it shares one socket that is bound
// to 0.0.0.0: every address of 127.0.0.0/8 is the host's own, so that each client
// can have an address of its own, which the socket sends from (IP_PKTINFO) and
// hears at. 100,000 clients are 100,000 addresses in 127.64.0.0/10; they
// need no privileges and no set-up, and share their system calls.
//
// [StartServer] runs the real program, if need be pinned to one processor, and
// reads from /proc what it uses. On the loopback interface, whoever sends a
// datagram also does the work of receiving it, up to the other one's queue.
// Since each PING has its PONG, what the server does for the fleet's reception
// makes up for what the fleet does for the server's.
//
// Latencies are measured from before the system call that sends to after the one
// that receives: they include the fleet's own delays and are upper bounds.
//
// [RunAuth] does the same with clients that have a channel: each knocks, performs a
// real DTLS handshake, registers, PINGs in clear and asks over the channel. It can
// send a flood of forged datagrams at the same time.
//
// Fleet and results work anywhere, network and processes on Linux only.
package load
