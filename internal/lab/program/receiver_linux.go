package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"campagnol/internal/lab/clock"

	"golang.org/x/sys/unix"
)

// ReceiverOptions say how a receiver begins.
type ReceiverOptions struct {
	Port    uint16
	Control string // the file of its socket; see Args
}

// Args returns the arguments of a binary that plays the receiver.
func (o ReceiverOptions) Args() ([]string, error) { return args("receive", o) }

// maxReceptions is how many datagrams a receiver remembers.
const maxReceptions = 1 << 20

// A receiver gets datagrams of groups, over IPv4 and IPv6.
type receiver struct {
	conns [2]*net.UDPConn // of IPv4 and IPv6

	mu  sync.Mutex // protects the following
	got []Reception
}

// receive is the program.
func receive(ctx context.Context, o ReceiverOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &receiver{}
	common := []option{{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1}, {unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer}}
	// Without the last option of each, a socket gets what any program of the
	// machine has joined.
	for i, f := range []struct {
		addr    netip.Addr
		options []option
	}{
		{netip.IPv4Unspecified(), []option{{unix.IPPROTO_IP, unix.IP_PKTINFO, 1}, {unix.IPPROTO_IP, ipMulticastAll, 0}}},
		{netip.IPv6Unspecified(), []option{{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1}, {unix.IPPROTO_IPV6, ipv6MulticastAll, 0}}},
	} {
		c, err := listen(netip.AddrPortFrom(f.addr, o.Port), "", append(f.options, common...)...)
		if err != nil {
			return err
		}
		defer c.Close()
		r.conns[i] = c
	}
	var group sync.WaitGroup
	errs := make([]error, len(r.conns)+1)
	for i, c := range r.conns {
		group.Go(func() {
			defer cancel()
			errs[i] = r.read(ctx, c)
		})
	}
	group.Go(func() {
		defer cancel()
		errs[len(r.conns)] = serve(ctx, o.Control, r.handle)
	})
	<-ctx.Done()
	for _, c := range r.conns {
		c.SetReadDeadline(time.Unix(1, 0))
	}
	group.Wait()
	return errors.Join(errs...)
}

// read takes datagrams until the context ends.
func (r *receiver) read(ctx context.Context, c *net.UDPConn) error {
	b, oob := make([]byte, 1<<16), make([]byte, 256)
	for {
		n, oobn, _, src, err := c.ReadMsgUDPAddrPort(b, oob)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("program: receive: %w", err)
		}
		payload, err := ParsePayload(b[:n])
		if err != nil {
			continue // of somebody else
		}
		info := parseInfo(oob[:oobn])
		r.mu.Lock()
		if len(r.got) < maxReceptions {
			r.got = append(r.got, Reception{info.at, src.Addr().Unmap().WithZone(""), info.dst, payload})
		}
		r.mu.Unlock()
	}
}

// handle does what the receiver is told.
func (r *receiver) handle(q request) response {
	at := clock.Now()
	if q.Do == "report" {
		r.mu.Lock()
		defer r.mu.Unlock()
		return response{At: at, Got: r.got[min(max(q.From, 0), len(r.got)):]}
	}
	if _, ok := verbs[q.Do]; !ok {
		return failed(at, errors.New("a receiver does not know what that is"))
	}
	c := r.conns[0]
	if q.Group.Is6() {
		c = r.conns[1]
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return failed(at, err)
	}
	return failed(at, control(raw, func(fd int) error { return q.apply(fd, q.Do) }))
}

// A Receiver is the remote control of a receiver. It is safe for concurrent
// use.
type Receiver struct {
	c *Control

	mu  sync.Mutex // protects the following
	got []Reception
}

// NewReceiver returns the remote control of a receiver that was started with
// that file for its socket, as soon as it can be used.
func NewReceiver(ctx context.Context, control string) (*Receiver, error) {
	c, err := newControl(ctx, control)
	return &Receiver{c: c}, err
}

// Join asks for a group: from any source, or also from one more source. It
// returns when the receiver was about to do so, which is before the first
// report can be on its way.
func (r *Receiver) Join(ctx context.Context, m Membership) (clock.Instant, error) {
	return r.tell(ctx, "join", m)
}

// Leave takes a Join back.
func (r *Receiver) Leave(ctx context.Context, m Membership) (clock.Instant, error) {
	return r.tell(ctx, "leave", m)
}

// Block refuses a source of a group that was joined for any source.
func (r *Receiver) Block(ctx context.Context, m Membership) (clock.Instant, error) {
	return r.tell(ctx, "block", m)
}

// Unblock takes a Block back.
func (r *Receiver) Unblock(ctx context.Context, m Membership) (clock.Instant, error) {
	return r.tell(ctx, "unblock", m)
}

func (r *Receiver) tell(ctx context.Context, what string, m Membership) (clock.Instant, error) {
	response, err := r.c.do(ctx, request{Do: what, Membership: m})
	return response.At, err
}

// Got returns everything that was received so far.
func (r *Receiver) Got(ctx context.Context) ([]Reception, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	response, err := r.c.do(ctx, request{Do: "report", From: len(r.got)})
	if err != nil {
		return nil, err
	}
	r.got = append(r.got, response.Got...)
	return r.got[:len(r.got):len(r.got)], nil
}

// AwaitReception waits for a datagram that matches, and returns the first one.
func (r *Receiver) AwaitReception(ctx context.Context, match func(Reception) bool) (Reception, error) {
	for {
		got, err := r.Got(ctx)
		if err != nil {
			return Reception{}, err
		}
		for _, g := range got {
			if match(g) {
				return g, nil
			}
		}
		select {
		case <-ctx.Done():
			return Reception{}, fmt.Errorf("program: no such datagram among %d: %w", len(got), context.Cause(ctx))
		case <-time.After(controlPause):
		}
	}
}
