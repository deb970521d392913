// Package lab is a laboratory on the real kernel: network namespaces joined by
// veth pairs, a bridge that plays the Internet, NATs made of nftables rules,
// the programs of the project as real processes inside them, and a traffic
// generator that sends from one namespace to another. Everything is done
// through system calls and netlink; no tool of the shell is needed.
//
//	lab     namespaces                        addresses
//	─────────────────────────────────────────────────────────────────────
//	        internet   bridge "inet"          203.0.113.1, probes .2 and .3
//	          │ │ └── rdv     eth0            203.0.113.10
//	          │ └──── nat1    wan             203.0.113.11
//	          │         └ lan ── peer1  eth0  192.168.1.2
//	          └────── nat2    wan             203.0.113.12
//	                    └ lan ── peer2  eth0  192.168.2.2
//
// A [Lab] is made by [New]; [Lab.AddHost] and [Lab.AddNAT] fill it, and
// [Lab.Close] removes all of it. Nothing of a lab is visible outside its own
// namespaces except their names in /run/netns, a file in /run/campagnol-lab
// and a folder for logs; a lab whose program was killed is found by these and
// removed by the next. Any number of labs may run beside each other.
//
// For experiments with Ethernet there are nodes without a place on the Internet
// ([Lab.AddNode]), cables between any two ([Lab.Join]), bridges with their
// multicast snooping ([Node.AddBridge]) and what they know ([Bridge.MDB]),
// sockets that see and send frames ([Interface.Watch]), and programs that send,
// receive and route multicast ([Node.StartSender] and those beside it). What
// should come of reports of membership is in package scenario; a kernel's
// bridge is one [scenario.Fabric] to try it on ([Lab.NewBridgeFabric]), and any
// set of interfaces another ([NewPortFabric]).
//
// The network breaks when it is told to: one cable drops, loses or counts what matches
// ([Link.Drop] and those beside it), a host or a NAT loses all UDP ([Node.LoseUDP]), two
// nodes do not reach each other any more ([Separate]). A [Sequence] says what became of
// each datagram meanwhile, and [Inspect] what somebody has seen who has no keys.
//
// [Demo] is the demonstration behind the command "campagnol lab": it brings up
// a rendezvous server and clients behind NATs and shows that they find each
// other. Its steps act on an interface, so that they are tested without
// privileges; end-to-end tests and benchmarks use the Lab itself.
//
// The kernel's part exists on Linux only. Elsewhere the package compiles, and
// what needs the kernel returns [ErrUnsupported].
package lab
