package punch

import "net/netip"

// A PathError is what the network said about one destination. An ICMP message
// is easily forged: a PathError is a reason to probe, never proof.
type PathError struct {
	Addr netip.AddrPort // where the datagram went; port 0: this host, which refused it, does not tell
	Err  error          // a syscall.Errno such as ECONNREFUSED or EMSGSIZE
	From netip.Addr     // the router or host that says so; zero if it is this host

	// MTU comes with EMSGSIZE: the largest IP packet, in bytes, that passes;
	// 0 if it was not said.
	MTU int
}
