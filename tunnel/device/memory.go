package device

import (
	"bytes"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"campagnol/tunnel/segment"
)

// memoryQueue is how many packets wait on each side of a Memory.
const memoryQueue = 256

// A Memory is a Device whose operating system is a test: what [Memory.Inject]
// gives is read, what is written comes out of [Memory.Delivered]. It behaves
// like the kernel's TUN or TAP, including refusals, and can be used in a bubble of
// testing/synctest, where it must be made. All methods but Read are safe for
// concurrent use.
type Memory struct {
	name string
	link segment.Link
	hw   net.HardwareAddr
	in   chan []byte // to Read
	out  chan []byte // from Write
	buf  []Packet    // borrowed by the caller of Read

	down   atomic.Bool
	gone   latch
	closed latch

	read, reads, written, refused, lost atomic.Uint64
	dropIn, dropOut                     atomic.Uint64
}

// A latch is a channel that is closed once, however often it is asked to.
type latch struct {
	once sync.Once
	ch   chan struct{}
}

func (l *latch) set() { l.once.Do(func() { close(l.ch) }) }

func (l *latch) isSet() bool {
	select {
	case <-l.ch:
		return true
	default:
		return false
	}
}

// NewMemory returns a device of IP packets of the given name, which is up.
func NewMemory(name string) *Memory {
	return &Memory{
		name:   name,
		in:     make(chan []byte, memoryQueue),
		out:    make(chan []byte, memoryQueue),
		gone:   latch{ch: make(chan struct{})},
		closed: latch{ch: make(chan struct{})},
	}
}

// NewMemoryEthernet returns a device of Ethernet frames, likewise. Nobody answers for
// its hardware address: that is up to who plays the operating system.
func NewMemoryEthernet(name string, a net.HardwareAddr) *Memory {
	m := NewMemory(name)
	m.link, m.hw = segment.Ethernet, bytes.Clone(a)
	return m
}

// Inject plays the operating system that sends p into the VPN. It copies p. It
// returns false if the packet is dropped: 256 wait already, or the interface
// is down, gone or closed.
func (m *Memory) Inject(p []byte) bool {
	if m.down.Load() || m.gone.isSet() || m.closed.isSet() {
		m.dropIn.Add(1)
		return false
	}
	select {
	case m.in <- bytes.Clone(p):
		return true
	default:
		m.dropIn.Add(1)
		return false
	}
}

// More returns that there are no queues beyond the first.
func (m *Memory) More() []Queue { return nil }

// Delivered returns the channel of the packets that reached the operating
// system. The receiver owns them. Packets are dropped while 256 wait. It is
// never closed.
func (m *Memory) Delivered() <-chan []byte { return m.out }

// Dropped returns how many packets were dropped because Read, and because the
// reader of Delivered, was too slow.
func (m *Memory) Dropped() (in, out uint64) { return m.dropIn.Load(), m.dropOut.Load() }

// SetUp plays somebody who switches the interface on or off.
func (m *Memory) SetUp(up bool) { m.down.Store(!up) }

// Remove plays somebody who deletes the interface.
func (m *Memory) Remove() { m.gone.set() }

// Read waits for injected packets; see [Device].
func (m *Memory) Read() ([]Packet, error) {
	// Close and Remove win over packets that still wait.
	if err := m.ended(); err != nil {
		return nil, err
	}
	m.buf = m.buf[:0]
	select {
	case p := <-m.in:
		m.buf = append(m.buf, Packet{Data: p})
	case <-m.closed.ch:
		return nil, os.ErrClosed
	case <-m.gone.ch:
		return nil, m.ended()
	}
	for len(m.buf) < maxPackets {
		select {
		case p := <-m.in:
			m.buf = append(m.buf, Packet{Data: p})
			continue
		default:
		}
		break
	}
	m.read.Add(uint64(len(m.buf)))
	m.reads.Add(1)
	return m.buf, nil
}

// ended returns why m is of no use any more, or nil.
func (m *Memory) ended() error {
	switch {
	case m.closed.isSet():
		return os.ErrClosed
	case m.gone.isSet():
		return ErrGone
	}
	return nil
}

// Write delivers ps; see [Device].
func (m *Memory) Write(ps []Packet) error {
	err := m.ended()
	if err == nil && m.down.Load() {
		err = ErrDown
	}
	if err != nil {
		m.lost.Add(uint64(len(ps)))
		return err
	}
	var first error
	for _, p := range ps {
		if !valid(m.link, p.Data) {
			m.refused.Add(1)
			first = ErrRefused
			continue
		}
		m.written.Add(1)
		select {
		case m.out <- bytes.Clone(p.Data):
		default:
			m.dropOut.Add(1)
		}
	}
	return first
}

// Offloads returns that there are none.
func (m *Memory) Offloads() Offloads { return Offloads{} }

// Link returns what m carries.
func (m *Memory) Link() segment.Link { return m.link }

// HardwareAddr returns the address given to NewMemoryEthernet; see [Kernel].
func (m *Memory) HardwareAddr() (net.HardwareAddr, error) {
	if m.link != segment.Ethernet {
		return nil, errNoHardwareAddr
	}
	return bytes.Clone(m.hw), nil
}

// Name returns the name given to NewMemory.
func (m *Memory) Name() string { return m.name }

// Stats returns what went through the device.
func (m *Memory) Stats() Stats {
	return Stats{
		Read:    m.read.Load(),
		Reads:   m.reads.Load(),
		Written: m.written.Load(),
		Refused: m.refused.Load(),
		Down:    m.lost.Load(),
	}
}

// Close unblocks Read.
func (m *Memory) Close() error {
	m.closed.set()
	return nil
}
