// Package portmap asks the gateway of the local network to forward a UDP port to this
// host, so that peers reach it whatever kind of NAT or firewall the gateway is. Three
// protocols do that:
//
//	PCP      RFC 6887     ours: datagrams of 24 and 60 bytes
//	NAT-PMP  RFC 6886     github.com/jackpal/go-nat-pmp
//	UPnP     IGD 1 and 2  github.com/huin/goupnp, over HTTP connections of ours
//
// A [Mapper] finds the gateway, asks it in all three at once whether it speaks them,
// without any effect on it, and has the port forwarded by the first that works, in
// this order:
//
//	       a protocol answers          the port is forwarded
//	┌────────┐      ┌─────────────────────────┐ half of the time is over:
//	│ search │─────▶│ held                    │──┐ again, by the same protocol
//	└────────┘      │ now and then, or when   │◀─┘
//	 ▲  │ nothing:  │ the gateway announces   │
//	 │  │ later,    │ that it has restarted:  │
//	 │  ▼ rarely    │ does it still know?     │
//	┌────────┐      └─────────────────────────┘
//	│ wait   │◀──────────┘ refused, or time is over;
//	└────────┘             another gateway or address: at once
//
// What is to be done when is decided by a machine without I/O, type lease; how the
// gateway is asked, by a speaker for each protocol. With IPv6 nothing is translated,
// and a firewall is asked to let a port of ours in: by PCP only.
//
// Everybody in the local network may lie. So only the gateway's own address counts as
// a sender, PCP's answers have to repeat a nonce, descriptions of devices are fetched
// from nowhere but the gateway, sizes and times are bounded, and what comes out is an
// address that proves nothing: whoever answers there has to authenticate.
package portmap
