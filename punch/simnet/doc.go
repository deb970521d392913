// Package simnet is an Internet in memory: hosts, private networks, NATs,
// firewalls, and links that delay, lose, repeat and reorder. Its sockets are
// punch.Conns. It is support for tests that run whole nodes in a
// testing/synctest bubble, where minutes of network time cost milliseconds.
//
//	n := simnet.New(1, simnet.Delay(20*time.Millisecond))
//	defer n.Close()
//	server := n.Internet().Listen("198.51.100.1:57888")
//	home := n.Internet().Behind("203.0.113.1", simnet.NAT{Filtering: simnet.AddressDependent})
//	client := home.Listen("192.168.1.2:5000")
//
// # Where things are
//
// Sites form a tree. The root is the Internet. A site made by [Site.Behind]
// reaches its parent through a NAT and has addresses of its own, which may be
// the same as another site's; one made by [Site.Routed] has addresses that its
// parent knows. Global IPv6 addresses are known everywhere, whatever the site.
// Both kinds of site may have a stateful firewall. A [Host] has addresses at
// one site at a time and may move.
//
// A datagram climbs from its host's site until the destination is known there,
// crosses that site's own medium, which is where nearly all of the delay is,
// and goes down again. On its way it crosses a [Link] at each host and each
// site's gate; these are perfect unless a test sets them.
//
// # A pure function of the seed
//
// What happens depends on the seed and on what the hosts do, and not on how
// goroutines are scheduled. The rules that make it so:
//
//   - One goroutine moves everything, in order of time. Every delay, loss and
//     port comes from a hash of the seed, the flow and a number in that flow;
//     there is no stream of random numbers that two goroutines could share.
//   - Datagrams that leave in the same instant are gathered, and set in motion
//     one nanosecond later (with the time at which they were sent), which is
//     when the bubble knows that no goroutine has anything left to do. The
//     datagrams of one flow are a burst: they travel together, in the order in
//     which they were sent.
//   - The bursts of an instant are put in an order that depends on flows and
//     kinds alone. Behind a NAT that hands out ports in turn, bursts that open
//     a flow keep the order in which their goroutine sent them, as the program
//     expects; between goroutines a hash of what they sent decides. So it does
//     not matter which of them was first.
//   - The lots of the datagrams in a burst are drawn by kind and by number
//     within the kind, so two goroutines that send different things on one flow
//     cannot exchange their luck. A burst enters the trace as a set.
//   - At most one burst reaches a host in one instant; the next is a nanosecond
//     later. Every delay has at least 10 µs of jitter, so that arrivals do
//     not coincide with the timers of hosts, which are round.
//   - Nothing depends on the length or the content of a datagram but its
//     [Kind]: signatures and randoms differ from run to run. The MTU is the
//     exception, as it must be.
//
// What remains in the hands of the hosts: two goroutines of a node that race
// for one socket race here as they do on a kernel's. A change of the network
// ([Site.SetPublic], [Host.SetLinks] and so on) is in force for everything that
// is sent in the instant of the change, also before it; a host that has just
// moved is the exception, because what it sent has left.
//
// # For tests
//
// [Net.Drop] loses chosen datagrams, [Net.Observe] sees all of them, [Net.Trace]
// tells whether two runs were the same, and [Net.Dump] shows what happened.
// [Grid] is every NAT there may be, and [Host.Classify] measures one from
// inside. Arrival times carry the jitter of at least 10 µs: compare them
// rounded.
//
// All methods are safe for concurrent use. Those that build and change the
// network panic when a test asks for something impossible, such as an address
// that is taken.
package simnet
