//go:build !linux

package device

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/songgao/water"

	"campagnol/tunnel/segment"
)

const (
	maxPacket  = 1<<16 + 64 // the size of the largest packet, in a frame
	maxPackets = 64         // per Read, of a Memory
)

// A Kernel is a TUN or TAP device of the kernel. Read belongs to one goroutine; all
// other methods are safe for concurrent use.
type Kernel struct {
	ifce   *water.Interface
	link   segment.Link
	buf    []byte    // borrowed by the caller of Read
	out    [1]Packet // likewise
	closed atomic.Bool
	writes sync.Mutex // keeps one Write's packets together

	read, written, refused atomic.Uint64
}

// Open makes a device, where the library that we use can do it: of IP packets on
// macOS (utun), of IP packets or Ethernet frames on Windows (with the TAP driver of
// OpenVPN).
func Open(cfg Config) (*Kernel, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	what, kind, ok := "a TUN device", water.DeviceType(water.TUN), supportsTUN
	if cfg.Link == segment.Ethernet {
		what, kind, ok = "a TAP device, for Ethernet frames", water.TAP, supportsTAP
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("device: open %s: not possible on %s: %w", what, runtime.GOOS, errors.ErrUnsupported)
	case cfg.TxQueue > 0:
		return nil, fmt.Errorf("device: set the length of the queue: not possible on %s: %w", runtime.GOOS, errors.ErrUnsupported)
	case cfg.HardwareAddr != nil:
		return nil, fmt.Errorf("device: set the hardware address: not possible on %s: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	ifce, err := water.New(water.Config{DeviceType: kind, PlatformSpecificParams: params(cfg)})
	if err != nil {
		return nil, fmt.Errorf("device: open %s: %w", what, err)
	}
	return &Kernel{ifce: ifce, link: cfg.Link, buf: make([]byte, maxPacket)}, nil
}

// Configure is not possible here: the commands of the configuration file have
// to do it.
func (k *Kernel) Configure(s Settings, _ ...Settings) error {
	if err := s.normal().check(k.link); err != nil {
		return fmt.Errorf("device: configure %s: %w", k.Name(), err)
	}
	return fmt.Errorf("device: configure %s: not possible on %s: give `up` commands that set address, MTU and route: %w",
		k.Name(), runtime.GOOS, errors.ErrUnsupported)
}

// Read waits for a packet; see [Device].
func (k *Kernel) Read() ([]Packet, error) {
	for {
		n, err := k.ifce.Read(k.buf)
		switch {
		case k.closed.Load():
			return nil, os.ErrClosed
		case err != nil:
			return nil, fmt.Errorf("device: read: %w", err)
		case n <= 0:
			continue // less than a link header, which the library takes off
		}
		k.read.Add(1)
		k.out[0] = Packet{Data: k.buf[:n]}
		return k.out[:], nil
	}
}

// Write hands ps to the kernel; see [Device].
func (k *Kernel) Write(ps []Packet) error {
	k.writes.Lock()
	defer k.writes.Unlock()
	var first error
	for _, p := range ps {
		err := error(ErrRefused)
		if valid(k.link, p.Data) {
			_, err = k.ifce.Write(p.Data)
		}
		switch {
		case k.closed.Load():
			return os.ErrClosed
		case err != nil:
			k.refused.Add(1)
			first = ErrRefused
		default:
			k.written.Add(1)
		}
	}
	return first
}

// More returns that there are no queues beyond the first.
func (k *Kernel) More() []Queue { return nil }

// Offloads returns that there are none.
func (k *Kernel) Offloads() Offloads { return Offloads{} }

// Link returns what the device carries.
func (k *Kernel) Link() segment.Link { return k.link }

// HardwareAddr returns the address that the interface of an Ethernet device has
// now. An IP device has none: an error.
func (k *Kernel) HardwareAddr() (net.HardwareAddr, error) {
	if k.link != segment.Ethernet {
		return nil, errNoHardwareAddr
	}
	ifce, err := net.InterfaceByName(k.Name())
	if err != nil {
		return nil, fmt.Errorf("device: hardware address of %s: %w", k.Name(), err)
	}
	return ifce.HardwareAddr, nil
}

// Name returns the name of the interface.
func (k *Kernel) Name() string { return k.ifce.Name() }

// Stats returns what went through the device.
func (k *Kernel) Stats() Stats {
	n := k.read.Load()
	return Stats{Read: n, Reads: n, Written: k.written.Load(), Refused: k.refused.Load()}
}

// Close removes the interface and unblocks Read.
func (k *Kernel) Close() error {
	if k.closed.Swap(true) {
		return nil
	}
	return k.ifce.Close()
}
