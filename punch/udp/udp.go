// Package udp is the kernel's UDP sockets as [punch.Conn]s.
//
// On Linux a [Conn] moves datagrams in batches (recvmmsg, sendmmsg), lets the
// kernel cut and join runs of equal datagrams (UDP_SEGMENT, UDP_GRO), never
// fragments, remembers at which address of the host a datagram arrived, carries
// the ECN field, and
// keeps what the network says about single destinations (ICMP) apart from the
// state of the socket. Each of these is used if the kernel has it;
// [Conn.Features] tells. Elsewhere, and with [ListenPortable], one call of the
// standard library moves one datagram.
//
// A socket serves the address family of its address, or with [Config.Dual] both.
// Both on one socket costs IPv4 one to three percent of what a datagram takes in the
// kernel (BenchmarkDual), and a peer that moves from one family to the other stays
// with its queue and its goroutine.
package udp

import (
	"log/slog"
	"net/netip"
	"strings"

	"campagnol/punch"
)

const (
	// defaultBuffer is the size that is asked for the socket's buffers. At
	// 5 Gbit/s, 4 MiB are 6 ms: what a receiver may be off the processor
	// without a loss.
	defaultBuffer = 4 << 20

	// defaultBatch is how many messages one system call moves at most. Where
	// nothing joins datagrams, 64 gain 10 % throughput over 8.
	defaultBatch = 64
	maxBatch     = 1024 // UIO_MAXIOV: the kernel takes no more

	// maxPayload is the largest UDP payload over IPv4.
	maxPayload = 65507
)

// Config says how to open a socket.
type Config struct {
	// Addr is the local address and decides the family. Its IP may be
	// unspecified (0.0.0.0 or ::), its port 0 for one that the kernel chooses.
	Addr netip.AddrPort

	// Dual makes a socket whose IP is :: serve IPv4, too. On a host without IPv6
	// it becomes one for 0.0.0.0, which [Features.IPv6] tells. With any other IP
	// it means nothing.
	Dual bool

	// Device is the interface to which the socket is bound; empty means all.
	// Only Linux can do it.
	Device string

	// RcvBuf and SndBuf are the sizes of the socket's buffers in bytes; 0
	// means 4 MiB. A smaller one than asked for is used if the kernel insists.
	RcvBuf, SndBuf int

	// Batch is how many messages one Receive returns at most; 0 means 64. A
	// socket takes about 64 KiB of address space for each, of which it uses
	// what traffic touches: sockets opened by the dozen want less.
	Batch int

	// Sockets is how many sockets share the address; 0 means one. Further ones
	// are for machines with many processors: the kernel hands what comes from
	// one address always to the same socket. Only Linux can do it.
	Sockets int

	// Log hears once about each feature that is missing; nil means nobody.
	Log *slog.Logger
}

// withDefaults returns cfg with its zero values replaced.
func (cfg Config) withDefaults() Config {
	if cfg.RcvBuf <= 0 {
		cfg.RcvBuf = defaultBuffer
	}
	if cfg.SndBuf <= 0 {
		cfg.SndBuf = defaultBuffer
	}
	if cfg.Batch <= 0 {
		cfg.Batch = defaultBatch
	}
	cfg.Batch = min(cfg.Batch, maxBatch)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Addr = netip.AddrPortFrom(cfg.Addr.Addr().Unmap(), cfg.Addr.Port())
	cfg.Dual = cfg.Dual && cfg.Addr.Addr() == netip.IPv6Unspecified()
	return cfg
}

// onlyIPv4 returns cfg for a host that cannot do what Dual asks for.
func (cfg Config) onlyIPv4() Config {
	cfg.Addr, cfg.Dual = netip.AddrPortFrom(netip.IPv4Unspecified(), cfg.Addr.Port()), false
	return cfg
}

// families are the address families that a socket serves.
type families struct{ ip4, ip6 bool }

// families returns those of cfg, which has its defaults.
func (cfg Config) families() families {
	is4 := cfg.Addr.Addr().Is4()
	return families{ip4: is4 || cfg.Dual, ip6: !is4}
}

// has reports whether a socket for f can send to a.
func (f families) has(a netip.Addr) bool {
	if a.Is4() {
		return f.ip4
	}
	return f.ip6 && a.IsValid()
}

// Features is what a socket makes use of. It can shrink while the socket is
// open: some of it shows only when it is used.
type Features struct {
	IPv4, IPv6 bool // the families of the addresses that it serves

	RecvBatch    bool // several messages per call (recvmmsg)
	SendBatch    bool // several messages per call (sendmmsg)
	GRO          bool // the kernel joins datagrams (UDP_GRO)
	GSO          bool // the kernel cuts datagrams (UDP_SEGMENT)
	PacketInfo   bool // Datagram.Local is filled in and obeyed
	ECN          bool // so is Datagram.ECN
	ErrorQueue   bool // Errors delivers what ICMP says
	DontFragment bool // datagrams leave with DF set, whatever the path's MTU

	RcvBuf, SndBuf int // bytes that the kernel granted; 0 is unknown
}

// Missing returns the names of the features that f lacks, with blanks between. The
// families are not among them: which of them are served is the user's choice.
func (f Features) Missing() string { return f.names(false) }

// String returns the names of the features that f has, with blanks between.
func (f Features) String() string { return f.names(true) }

func (f Features) names(want bool) string {
	var names []string
	for _, x := range []struct {
		name string
		has  bool
	}{
		{"recvmmsg", f.RecvBatch},
		{"sendmmsg", f.SendBatch},
		{"gro", f.GRO},
		{"gso", f.GSO},
		{"pktinfo", f.PacketInfo},
		{"ecn", f.ECN},
		{"errqueue", f.ErrorQueue},
		{"df", f.DontFragment},
	} {
		if x.has == want {
			names = append(names, x.name)
		}
	}
	return strings.Join(names, " ")
}

// add adds what went through another socket.
func (s *Stats) add(o Stats) {
	s.Received += o.Received
	s.Reads += o.Reads
	s.Joined += o.Joined
	s.Truncated += o.Truncated
	s.Sent += o.Sent
	s.Writes += o.Writes
	s.Cut += o.Cut
	s.Unsent += o.Unsent
	s.Rerouted += o.Rerouted
	s.PathErrors += o.PathErrors
	s.PathDropped += o.PathDropped
	s.KernelDropped += o.KernelDropped
}

// Stats counts what went through a socket since it was opened.
type Stats struct {
	Received  uint64 // datagrams, each payload of a joined message counted
	Reads     uint64 // calls of Receive that returned datagrams
	Joined    uint64 // messages that held several datagrams (UDP_GRO)
	Truncated uint64 // messages dropped because they did not fit the buffer

	Sent     uint64 // datagrams, each payload of a segmented message counted
	Writes   uint64 // system calls that sent something
	Cut      uint64 // messages that held several datagrams (UDP_SEGMENT)
	Unsent   uint64 // messages that the kernel refused
	Rerouted uint64 // messages sent from another address than Datagram.Local

	PathErrors    uint64 // events for Errors
	PathDropped   uint64 // of these, lost because nobody read them
	KernelDropped uint64 // datagrams that the full receive buffer refused
}

// A PathError is what the network said about one destination.
type PathError = punch.PathError

var _ punch.Conn = (*Conn)(nil)
var _ punch.Conn = (*Portable)(nil)
