// Package device is the virtual network interface: a TUN device of the kernel,
// its configuration (address, MTU, route), and a twin in memory for tests.
//
// A [Device] is one of the two seams at which the program touches the outside;
// the other is punch.Conn.
package device

// A Packet is what a Device carries: an IP packet, without link header.
type Packet struct {
	Data []byte
}

// A Device exchanges packets with the operating system.
type Device interface {
	// Read waits for packets that the operating system sends into the VPN and
	// returns at least one. The caller borrows them: they are valid, and may
	// be changed in place, until the next Read. After Close it returns
	// os.ErrClosed. Only one goroutine may call Read.
	Read() ([]Packet, error)

	// Write hands packets to the operating system, in order. It does not keep
	// them, and may change them. It is safe for concurrent use. A packet that
	// the operating system refuses does not hold up those after it; Write
	// returns the first such error, and os.ErrClosed after Close.
	Write(ps []Packet) error

	// Name returns the name of the interface.
	Name() string

	// Close removes the interface and unblocks Read.
	Close() error
}
