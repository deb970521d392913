// Bench measures Campagnol beside other tunnels that are written in Go:
// wireguard-go, and Nebula with two kinds of settings. Anybody can repeat it who
// has Linux, root, Go and, the first time, the Go module proxy:
//
//	go run ./internal/bench
//
// # What it measures
//
// Two hosts in network namespaces of a laboratory (internal/lab), joined by one
// cable, are given a tunnel by one tool after the other:
//
//	    namespace a                                   namespace b
//	┌──────────────────┐                          ┌──────────────────┐
//	│ sender, pings    │                          │ receiver         │
//	│   │ 10.9.0.1     │                          │     10.9.0.2 │   │
//	│ TUN of the tool  │                          │ TUN of the tool  │
//	│   │              │                          │              │   │
//	│ daemon ── eth0 ──┼─── veth pair, MTU 1500 ──┼── eth0 ── daemon │
//	└──────────────────┘                          └──────────────────┘
//
// All of it shares the processors of one machine, as it has to if the machine is
// to tell how much work a tunnel is. With no tunnel at all, traffic goes from eth0
// to eth0. The cable is one of three paths: as the kernel makes it, which passes
// large packets whole; with everything cut to the MTU before it crosses; and the
// same with the receiver joining again what arrives together.
//
// The figures are in [figures], the paths in [paths], what is demanded of
// Campagnol in [gates].
//
// # How
//
//	round 1:  path veth:     direct  ours  wireguard-go  nebula  nebula-tuned
//	          path packets:  direct  ours  …
//	round 2:  path veth:     ours  wireguard-go  nebula  nebula-tuned  direct
//	          …
//
// A machine is faster in one minute than in the next, so that only what was
// measured side by side compares: every round has a session of every tool on
// every path, who begins changes, and ratios are taken round by round before
// their median is. A session has a laboratory of its own, in which the daemons
// are started once; it takes its steps (cold, ping, tcp1, …) one after the other.
//
// Traffic comes from threads of this program, which use the kernel's sockets
// directly. TCP uses cubic at both ends, whatever the machine's default is: one
// that paces says little about a tunnel. Rates of UDP are searched for: see
// [search] and [pacer].
//
// Other programs on the machine are noticed by what no process of ours, no thread
// of the kernel, and no idling has used of the processors: see [reading]. A step
// waits for them to finish, within bounds, and is repeated when they have
// disturbed it. A value that stays doubtful is kept, and counted in the report.
//
// # What comes of it
//
// A [report] has all values of all rounds. It is written as JSON, and shown as
// text, as Markdown and as a chart; all of these can also be made of the JSON
// file later (-from).
//
// # What it leaves out
//
// More than two hosts; a network with loss, delay or less capacity than the
// machine; IPv6; real network cards; the kernel's own WireGuard and other tunnels
// that are not programs; how long it takes to find a peer behind a NAT. Latency
// beside a flood is that of a machine whose processors are all busy.
package main
