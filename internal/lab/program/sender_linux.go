package program

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"campagnol/internal/lab/clock"

	"golang.org/x/sys/unix"
)

// SenderOptions say what a sender sends. All groups are of one family.
type SenderOptions struct {
	Interface string
	Source    netip.Addr   // zero is the interface's own choice
	Groups    []netip.Addr // groups, or other destinations
	Port      uint16
	Rate      float64 // datagrams per second to each of the groups
	TTL       int     // zero is 1
	Size      int     // of each datagram; no less than PayloadSize
	Control   string  // the file of its socket; see Args
}

// Args returns the arguments of a binary that plays the sender.
func (o SenderOptions) Args() ([]string, error) { return args("send", o) }

// A sender sends datagrams.
type sender struct {
	o    SenderOptions
	conn *net.UDPConn

	mu     sync.Mutex // protects the following
	sent   Sent
	paused bool
}

// send is the program.
func send(ctx context.Context, o SenderOptions) error {
	if len(o.Groups) == 0 || o.Rate <= 0 {
		return errors.New("program: a sender needs groups and a rate")
	}
	conn, err := sendSocket(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &sender{o: o, conn: conn, sent: Sent{Run: rand.Uint32()}}
	var group sync.WaitGroup
	var served error
	group.Go(func() {
		defer cancel()
		served = serve(ctx, o.Control, s.handle)
	})
	s.run(ctx)
	group.Wait()
	return served
}

// sendSocket makes the socket of a sender.
func sendSocket(o SenderOptions) (*net.UDPConn, error) {
	ifi, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	ttl := max(o.TTL, 1)
	options := []option{
		{unix.SOL_SOCKET, unix.SO_BROADCAST, 1},
		{unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, ttl}, {unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0},
	}
	source := o.Source
	if o.Groups[0].Is6() {
		options = []option{
			{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, ttl}, {unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0},
			{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, ifi.Index},
		}
		if !source.IsValid() {
			source = netip.IPv6Unspecified()
		}
		if source.IsLinkLocalUnicast() {
			source = source.WithZone(o.Interface)
		}
	} else if !source.IsValid() {
		source = netip.IPv4Unspecified()
	}
	// Bound to the device, a datagram leaves there whatever the routes say.
	return listen(netip.AddrPortFrom(source, 0), o.Interface, options...)
}

// run sends until the context ends. A sender that could not run for a while
// does not make up for it.
func (s *sender) run(ctx context.Context) {
	interval := time.Duration(float64(time.Second) / s.o.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	b := make([]byte, max(s.o.Size, PayloadSize))
	for next := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		if next.Add(maxBehind).Before(now) {
			next = now
		}
		for ; !next.After(now); next = next.Add(interval) {
			s.sendOne(b)
		}
		timer.Reset(time.Until(next))
	}
}

// maxBehind is how late a sender may be before it gives up what it is late
// with.
const maxBehind = 100 * time.Millisecond

// sendOne sends a datagram to each of the groups.
func (s *sender) sendOne(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused {
		return
	}
	for _, g := range s.o.Groups {
		p := Payload{s.sent.Run, s.sent.Count, clock.Now()}
		p.Append(b[:0])
		if s.sent.First == 0 {
			s.sent.First = p.Sent
		}
		s.sent.Last = p.Sent
		if _, err := s.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(g, s.o.Port)); err != nil {
			s.sent.Failed++
		}
	}
	s.sent.Count++
}

// handle does what the sender is told.
func (s *sender) handle(q request) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch q.Do {
	case "report":
	case "pause":
		s.paused = true
	case "resume":
		s.paused = false
	default:
		return failed(clock.Now(), errors.New("a sender does not know what that is"))
	}
	return response{At: clock.Now(), Sent: s.sent}
}

// A Sender is the remote control of a sender. It is safe for concurrent use.
type Sender struct{ c *Control }

// NewSender returns the remote control of a sender that was started with that
// file for its socket, as soon as it can be used.
func NewSender(ctx context.Context, control string) (*Sender, error) {
	c, err := newControl(ctx, control)
	return &Sender{c}, err
}

// Sent returns what was sent so far.
func (s *Sender) Sent(ctx context.Context) (Sent, error) {
	r, err := s.c.do(ctx, request{Do: "report"})
	return r.Sent, err
}

// Pause stops sending until Resume, and returns what was sent up to it.
func (s *Sender) Pause(ctx context.Context) (Sent, error) {
	r, err := s.c.do(ctx, request{Do: "pause"})
	return r.Sent, err
}

// Resume goes on sending.
func (s *Sender) Resume(ctx context.Context) error {
	_, err := s.c.do(ctx, request{Do: "resume"})
	return err
}
