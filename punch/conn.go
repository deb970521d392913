package punch

import "net/netip"

// A Datagram is a UDP payload, or several of equal size that travel together,
// with the address it came from or goes to.
type Datagram struct {
	Addr netip.AddrPort
	Data []byte

	// Segment, when it is not 0, says that Data holds several payloads of
	// Segment bytes each, of which the last may be shorter: what UDP_SEGMENT
	// sends and UDP_GRO receives in one call. 0 means that Data is one payload.
	Segment int

	// Local is the address of this host that the datagram was sent to, and on
	// Send the one to send from, so that a socket bound to all addresses
	// answers from the address it was reached at. The zero Addr is "not known"
	// and "the kernel chooses"; so is, on Send, an address that the host has
	// lost meanwhile.
	Local netip.Addr

	// ECN is the ECN field of the IP header: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3
	// CE (RFC 3168 section 5). It is the same in all payloads. A Conn that
	// cannot read or write it leaves it at 0.
	ECN uint8
}

// Segments calls yield for each payload of d, in order.
func (d Datagram) Segments(yield func(payload []byte) bool) {
	if d.Segment <= 0 || len(d.Data) <= d.Segment {
		yield(d.Data)
		return
	}
	for b := d.Data; len(b) > 0; {
		n := min(d.Segment, len(b))
		if !yield(b[:n:n]) {
			return
		}
		b = b[n:]
	}
}

// A Conn sends and receives datagrams. The kernel's sockets (punch/udp) and the
// sockets of the simulated Internet (punch/simnet) are Conns. It is the only
// way by which control and data path touch the network.
type Conn interface {
	// Receive waits for datagrams and returns at least one. The caller
	// borrows them: they are valid, and may be changed in place, until the
	// next Receive. After Close it returns net.ErrClosed. Addresses are never
	// IPv4-mapped IPv6. Only one goroutine may call Receive.
	//
	// An error other than net.ErrClosed means that the socket is beyond
	// repair; what the network does to single datagrams is not an error.
	Receive() ([]Datagram, error)

	// Send sends ds in order. It does not keep them, nor change them. It is
	// safe for concurrent use. A datagram that cannot be sent does not hold
	// up those after it; Send returns the first such error. It may wait for
	// room in the socket's buffer.
	Send(ds []Datagram) error

	// LocalAddr returns the bound address; its IP may be unspecified.
	LocalAddr() netip.AddrPort

	// Close unblocks Receive.
	Close() error
}

// An Endpoint is where a peer is, and by which of our sockets it is reached. It can be
// compared.
type Endpoint struct {
	Addr netip.AddrPort // of the peer, as Conn sees it
	Conn Conn           // nil: the primary socket
}

// Relayed reports whether datagrams to e leave by a socket whose datagrams somebody else
// passes on. That the peer has an address at a relay does not count: e does not know.
func (e Endpoint) Relayed() bool {
	_, ok := e.Conn.(RelayConn)
	return ok
}

// Streamed reports whether datagrams to e leave over a connection by TCP, through nobody
// else.
func (e Endpoint) Streamed() bool {
	_, ok := e.Conn.(StreamConn)
	return ok && !e.Relayed()
}

// String returns the address and, if it is not the primary one, the socket's.
func (e Endpoint) String() string {
	switch c := e.Conn.(type) {
	case nil:
		return e.Addr.String()
	case RelayConn:
		return e.Addr.String() + " through " + c.Relay()
	case StreamConn: // whose addresses have a zone, and are those of IPv6
		return netip.AddrPortFrom(e.Addr.Addr().WithZone("").Unmap(), e.Addr.Port()).String() + " over " + c.Transport()
	default:
		return e.Addr.String() + " from " + c.LocalAddr().String()
	}
}

// A StreamConn is a Conn whose datagrams go over connections.
type StreamConn interface {
	Conn

	// Transport returns by which protocol: "tcp" or "tls".
	Transport() string
}

// A RelayConn is a Conn whose datagrams somebody else passes on.
type RelayConn interface {
	Conn

	// Relay returns who that is, for people.
	Relay() string
}
