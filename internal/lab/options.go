package lab

import (
	"log/slog"
	"net/netip"
)

// internet4 is the Internet of a lab: documentation addresses (RFC 5737), which
// exist inside its namespaces only.
var internet4 = netip.MustParsePrefix("203.0.113.0/24")

// internet6 is the Internet of a lab with IPv6 (RFC 3849).
var internet6 = netip.MustParsePrefix("2001:db8::/64")

// Options say what [New] makes. The zero value is a lab with IPv4 only.
type Options struct {
	// IPv6 gives the Internet and everybody on it global IPv6 addresses.
	// Behind NATs addresses are global too, and the NAT is a stateful
	// firewall: it lets in what belongs to a flow from inside. (Link-local
	// addresses exist in any case, as on any Linux.)
	IPv6 bool

	// Env is added to the environment of every process in the lab, each as
	// NAME=value.
	Env []string

	// Log tells what the lab does. nil discards it.
	Log *slog.Logger
}

// Traffic is what went through an interface. A packet that the kernel handed
// over in one piece to be cut later (segmentation offload) counts once.
type Traffic struct {
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64
}

// Sub returns what was added to t since an earlier reading.
func (t Traffic) Sub(earlier Traffic) Traffic {
	return Traffic{
		RxPackets: t.RxPackets - earlier.RxPackets,
		TxPackets: t.TxPackets - earlier.TxPackets,
		RxBytes:   t.RxBytes - earlier.RxBytes,
		TxBytes:   t.TxBytes - earlier.TxBytes,
	}
}

// Packets returns the packets of both directions.
func (t Traffic) Packets() uint64 { return t.RxPackets + t.TxPackets }

// Bytes returns the bytes of both directions, link headers included.
func (t Traffic) Bytes() uint64 { return t.RxBytes + t.TxBytes }

// Swept is what [Sweep] found: names of labs.
type Swept struct {
	Removed []string // leftovers that are gone now
	Kept    []string // kept on purpose, and left alone
	Running []string // their programs run
}
