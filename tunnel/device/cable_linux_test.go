package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/tunnel/segment"
)

// patience is how long a test waits for what takes milliseconds.
const patience = 30 * time.Second

// A station is a host with a device.
type station struct {
	*lab.Host
	dev      *Kernel
	ip4, ip6 netip.Addr
}

// A cable carries packets between the devices of two hosts, cut into what fits the
// MTU and joined again, as a tunnel does.
type cable struct {
	t    testing.TB
	a, b *station
	tags int // of VLANs, in each frame

	// watch sees each packet on its way, if it is set, which happens before there
	// are any. It is called by several goroutines.
	watch func(from *station, p []byte)

	wg      sync.WaitGroup
	mu      sync.Mutex
	largest int // packet that was read, in bytes
	joined  int // large packets that were written
}

// lay makes two hosts and lays a cable between them. Their addresses are 10.9.0.1
// and 10.9.0.2, and fd09::1 and fd09::2.
func lay(t testing.TB, cfg Config, set func(c *cable)) *cable {
	t.Helper()
	testenv.Root(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	a, b, err := l.AddPair("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{
		t: t,
		a: &station{Host: a, ip4: vpnAddr, ip6: netip.MustParseAddr("fd09::1")},
		b: &station{Host: b, ip4: peer, ip6: netip.MustParseAddr("fd09::2")},
	}
	for _, s := range []*station{c.a, c.b} {
		if err := s.Do(func() error { return s.open(cfg) }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.dev.Close() })
		// An address that the kernel still asks for cannot be bound.
		in6 := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(s.ip6, 64)), Flags: unix.IFA_F_NODAD}
		if err := s.dev.nl.AddrAdd(s.dev.ref(), in6); err != nil {
			t.Fatal(err)
		}
	}
	if set != nil {
		set(c)
	}
	c.carry(c.a, c.b)
	c.carry(c.b, c.a)
	t.Cleanup(func() {
		c.a.dev.Close()
		c.b.dev.Close()
		c.wg.Wait()
	})
	c.await(c.a, c.b.ip6)
	c.await(c.b, c.a.ip6)
	return c
}

// await waits until an address answers: the kernel takes an IPv6 address for its own
// a while after it was added.
func (c *cable) await(from *station, to netip.Addr) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if _, err := from.PingUntil(ctx, to, 100*time.Millisecond); err != nil {
		c.t.Fatal(err)
	}
}

// open opens the device of a station.
func (s *station) open(cfg Config) (err error) {
	if s.dev, err = Open(cfg); err != nil {
		return err
	}
	err = s.dev.Configure(Settings{Addr: s.ip4, Network: usual.Network, MTU: usual.MTU})
	if err != nil {
		s.dev.Close()
	}
	return err
}

// carry moves packets in one direction until a device is closed: from each queue of
// a device to the one of the same number of the other.
func (c *cable) carry(from, to *station) {
	in := append([]Queue{from.dev}, from.dev.More()...)
	out := append([]Queue{to.dev}, to.dev.More()...)
	for i := range in {
		s := &strand{
			cable: c, from: from, in: in[i], out: out[i%len(out)],
			large: to.dev.Offloads().Large,
			cut:   segment.Cutter{Link: from.dev.Link()},
			join:  segment.Joiner{Link: to.dev.Link(), UDP: to.dev.Offloads().UDP},
			limit: usual.MTU,
			arena: make([]byte, 0, 1<<20),
		}
		if from.dev.Link() == segment.Ethernet {
			s.limit += minFrame + 4*c.tags
		}
		c.wg.Go(func() {
			if err := s.run(); !errors.Is(err, os.ErrClosed) {
				c.t.Errorf("the cable is broken: %v", err)
			}
		})
	}
}

// A strand is one queue in one direction.
type strand struct {
	*cable
	from  *station
	in    Queue
	out   Queue
	large bool // out takes large packets
	limit int  // what fits, in bytes
	cut   segment.Cutter
	join  segment.Joiner
	small []Packet // for a device that takes no large ones
	arena []byte   // what is on its way
}

func (s *strand) run() error {
	for {
		ps, err := s.in.Read()
		if err != nil {
			return err
		}
		for i := range ps {
			if err := s.packet(&ps[i]); err != nil {
				return err
			}
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// packet sends a packet, or the segments of a large one.
func (s *strand) packet(p *Packet) error {
	s.note(len(p.Data), 0)
	if p.GSO.Kind == segment.None {
		return s.send(p.Data)
	}
	if err := s.cut.Begin(p.Data, p.GSO); err != nil {
		return fmt.Errorf("cut %d bytes, %+v, % x…: %w", len(p.Data), p.GSO, p.Data[:min(64, len(p.Data))], err)
	}
	for b := s.cut.Next(); b != nil; b = s.cut.Next() {
		if err := s.send(b); err != nil {
			return err
		}
	}
	return nil
}

// send copies a packet to the other side, as sealing and opening it does.
func (s *strand) send(b []byte) error {
	if len(b) > s.limit {
		return fmt.Errorf("%d bytes on the cable, of which %d fit", len(b), s.limit)
	}
	if len(s.arena)+len(b) > cap(s.arena) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	start := len(s.arena)
	s.arena = append(s.arena, b...)
	b = s.arena[start:len(s.arena):len(s.arena)]
	if s.watch != nil {
		s.watch(s.from, b)
	}
	if s.large {
		s.join.Add(b)
	} else {
		s.small = append(s.small, Packet{Data: b})
	}
	return nil
}

// flush writes what has arrived.
func (s *strand) flush() error {
	out := s.small
	if s.large {
		out = s.join.Flush()
	}
	for i := range out {
		if out[i].GSO.Kind != segment.None {
			s.note(0, 1)
		}
	}
	err := s.out.Write(out)
	s.arena, s.small = s.arena[:0], s.small[:0]
	return err
}

func (c *cable) note(size, joined int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.largest = max(c.largest, size)
	c.joined += joined
}

// sizes returns the size of the largest packet that was read, and how many large
// ones were written.
func (c *cable) sizes() (largest, joined int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.largest, c.joined
}

// wantNoErrors checks that neither device has lost or refused anything, and that
// the hosts have found no wrong checksum in what they got.
func (c *cable) wantNoErrors() {
	c.t.Helper()
	for _, s := range []*station{c.a, c.b} {
		if st := s.dev.Stats(); st.Malformed+st.Refused+st.Down != 0 {
			c.t.Errorf("%s: stats %+v", s.Name(), st)
		}
		for name, n := range s.counters(c.t) {
			if n != 0 {
				c.t.Errorf("%s: %s is %d, want 0", s.Name(), name, n)
			}
		}
	}
}

// tcp opens a connection from one station to another.
func (c *cable) tcp(from, to *station, addr netip.Addr) (client, server *net.TCPConn) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	l, err := to.ListenTCP(netip.AddrPortFrom(addr, 0))
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close()
	l.SetDeadline(time.Now().Add(patience))
	if client, err = from.DialTCP(ctx, l.Addr().(*net.TCPAddr).AddrPort()); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { client.Close() })
	if server, err = l.AcceptTCP(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { server.Close() })
	for _, conn := range []net.Conn{client, server} {
		conn.SetDeadline(time.Now().Add(patience))
	}
	return client, server
}
