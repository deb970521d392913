package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/internal/lab/clock"

	"golang.org/x/sys/unix"
)

// Meet pings and watches the virtual interface meanwhile.
func (w *kernelWorld) Meet(ctx context.Context, from, to int) (m Meeting, err error) {
	watch, err := w.peers[from].Interface(tapName).Watch(WatchOptions{})
	if err != nil {
		return m, err
	}
	defer watch.Close()
	if m.Ping, err = w.peers[from].Ping(ctx, vpnAddr(to), PingOptions{Count: 10, Interval: 25 * time.Millisecond, Patience: arpPatience}); err != nil {
		return m, err
	}
	within, cancel := context.WithTimeoutCause(ctx, arpPatience, fmt.Errorf("%v have passed", arpPatience))
	defer cancel()
	question, err := watch.Await(within, 0, func(s Sighting) bool { return s.Outgoing && isARP(s.Raw, arpRequest, vpnAddr(to)) })
	if err != nil {
		return m, err
	}
	answer, err := watch.Await(within, question.At, func(s Sighting) bool { return !s.Outgoing && isARP(s.Raw, arpReply, vpnAddr(to)) })
	if err != nil {
		return m, err
	}
	m.ARP, m.MAC = answer.At.Sub(question.At), net.HardwareAddr(answer.Raw[22:28]).String()
	return m, nil
}

// Of ARP (RFC 826): what a packet asks or tells.
const (
	arpRequest = 1
	arpReply   = 2
)

// isARP reports whether a frame is a question for an address, or an answer about it.
func isARP(b []byte, op uint16, addr netip.Addr) bool {
	const head, length = 14, 14 + 28
	if len(b) < length || binary.BigEndian.Uint16(b[12:]) != unix.ETH_P_ARP || binary.BigEndian.Uint16(b[head+6:]) != op {
		return false
	}
	at := head + 24 // the address that is asked for
	if op == arpReply {
		at = head + 14 // that of the sender
	}
	return netip.AddrFrom4([4]byte(b[at:])) == addr
}

// Ask runs the client's program.
func (w *kernelWorld) Ask(ctx context.Context, peer int, command string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, w.o.Client, command, "--json", "--socket", controlSocket(w.stateDir(peer))).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(failed.Stderr)))
	}
	return out, err
}

func (w *kernelWorld) Stream(ctx context.Context, from, member, other int, meanwhile func(context.Context) error) (r StreamResult, err error) {
	s, err := w.newStreamPlay(from, member, other)
	if err != nil {
		return r, err
	}
	defer s.close()
	// Who has just come gets everything, until it has told what it wants.
	if _, err := s.awaitQuiet(ctx, prunePatience, clock.Now()); err != nil {
		return r, err
	}
	if r.Before, err = s.count(ctx); err != nil {
		return r, err
	}
	joined, err := s.membership(unix.IP_ADD_MEMBERSHIP)
	if err != nil {
		return r, err
	}
	within, cancel := context.WithTimeoutCause(ctx, firstPatience, fmt.Errorf("%v have passed", firstPatience))
	defer cancel()
	select {
	case at := <-s.first:
		r.First = at.Sub(joined)
	case <-within.Done():
		return r, fmt.Errorf("lab: %s has joined %v and gets nothing: %w", nameOf(member), streamGroup, context.Cause(within))
	}
	if r.During, err = s.count(ctx); err != nil {
		return r, err
	}
	if err := meanwhile(ctx); err != nil {
		return r, err
	}
	left, err := s.membership(unix.IP_DROP_MEMBERSHIP)
	if err != nil {
		return r, err
	}
	last, err := s.awaitQuiet(ctx, prunePatience, left)
	r.Pruned = max(0, last.Sub(left))
	return r, err
}

// A streamPlay is a stream on its way. Its methods are called by one goroutine.
type streamPlay struct {
	in, out *net.UDPConn
	watch   *Watch // on the sender's way to the Internet
	ifindex int    // of the member's virtual interface

	member, other netip.Addr // where the datagrams of their tunnels go

	first          chan clock.Instant // when the first datagram was received
	sent, received atomic.Int64
	stop           context.CancelFunc
	loops          sync.WaitGroup
}

// newStreamPlay starts to send and to receive.
func (w *kernelWorld) newStreamPlay(from, member, other int) (s *streamPlay, err error) {
	s = &streamPlay{member: w.outer[member], other: w.outer[other], first: make(chan clock.Instant, 1), stop: func() {}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.watch, err = w.peers[from].Interface(w.peers[from].Link().near.name).Watch(WatchOptions{}); err != nil {
		return s, err
	}
	if s.in, err = w.peers[member].ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), streamPort)); err != nil {
		return s, err
	}
	if s.ifindex, err = w.peers[member].Interface(tapName).Index(); err != nil {
		return s, err
	}
	if s.out, err = w.peers[from].ListenUDP(netip.AddrPortFrom(vpnAddr(from), 0)); err != nil {
		return s, err
	}
	index, err := w.peers[from].Interface(tapName).Index()
	if err == nil {
		err = setMreqn(s.out, unix.IP_MULTICAST_IF, unix.IPMreqn{Ifindex: int32(index)})
	}
	if err != nil {
		return s, err
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.loops.Go(func() { s.send(ctx) })
	s.loops.Go(s.receive)
	return s, nil
}

// close ends the stream.
func (s *streamPlay) close() {
	s.stop()
	for _, c := range []*net.UDPConn{s.in, s.out} {
		if c != nil {
			c.Close()
		}
	}
	s.loops.Wait()
	if s.watch != nil {
		s.watch.Close()
	}
}

// send sends until the context ends.
func (s *streamPlay) send(ctx context.Context) {
	ticker := time.NewTicker(streamInterval)
	defer ticker.Stop()
	b := make([]byte, streamSize)
	for ctx.Err() == nil {
		if _, err := s.out.WriteToUDPAddrPort(b, netip.AddrPortFrom(streamGroup, streamPort)); err == nil {
			s.sent.Add(1)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// receive receives until the socket is closed.
func (s *streamPlay) receive() {
	b := make([]byte, streamSize)
	for {
		_, _, err := s.in.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && s.received.Add(1) == 1 {
			s.first <- clock.Now()
		}
	}
}

// membership joins or leaves the group, and returns when that was.
func (s *streamPlay) membership(option int) (clock.Instant, error) {
	at := clock.Now()
	return at, setMreqn(s.in, option, unix.IPMreqn{Multiaddr: streamGroup.As4(), Ifindex: int32(s.ifindex)})
}

// setMreqn sets an option of a socket that is about a group or an interface.
func setMreqn(c *net.UDPConn, option int, m unix.IPMreqn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt", unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, option, &m))
	})
	return errors.Join(err, failed)
}

// isRecord reports whether a frame on the sender's way to the Internet is a datagram of
// the tunnel to addr with one of the stream's in it.
func isRecord(s Sighting, addr netip.Addr) bool {
	return s.Outgoing && s.Frame.Protocol == unix.IPPROTO_UDP && s.Frame.DstIP == addr && len(s.Raw) > streamSize
}

// streamRecord is about the length of a record with a datagram of the stream in it,
// with all headers outside and inside, whatever the cipher.
const streamRecord = 14 + 20 + 8 + streamSize + 28 + 14 + 33

// records returns how many of the stream's datagrams are in a frame on the sender's way
// to the Internet: several, if the kernel is to cut it later (segmentation offload).
func records(s Sighting, addr netip.Addr) int {
	if !isRecord(s, addr) {
		return 0
	}
	const outside = 14 + 20 + 8
	return (len(s.Raw) - outside + (streamRecord-outside)/2) / (streamRecord - outside)
}

// count returns what happens in the next second.
func (s *streamPlay) count(ctx context.Context) (c StreamCount, err error) {
	from := clock.Now()
	sent, received := s.sent.Load(), s.received.Load()
	if err := wait(ctx, streamSpan); err != nil {
		return c, err
	}
	to := clock.Now()
	c.Sent, c.Received = int(s.sent.Load()-sent), int(s.received.Load()-received)
	if err := wait(ctx, watchDelay); err != nil {
		return c, err
	}
	for _, x := range s.watch.Seen() {
		if x.At >= from && x.At < to {
			c.ToMember += records(x, s.member)
			c.ToOther += records(x, s.other)
		}
	}
	return c, nil
}

// watchDelay is for the watch to have read what the kernel has seen.
const watchDelay = 100 * time.Millisecond

// awaitQuiet waits until nothing of the stream leaves the sender's host, and returns
// when the last datagram after since did; since, if none did.
func (s *streamPlay) awaitQuiet(ctx context.Context, patience time.Duration, since clock.Instant) (last clock.Instant, err error) {
	for end := clock.Now().Add(patience); ; {
		last = since
		for _, x := range slices.Backward(s.watch.Seen()) {
			if isRecord(x, s.member) || isRecord(x, s.other) {
				last = max(last, x.At)
				break
			}
		}
		switch now := clock.Now(); {
		case now.Sub(last) >= streamQuiet:
			return last, nil
		case now > end:
			return last, fmt.Errorf("lab: %v goes on to be sent to those who do not want it, %v after they have said so", streamGroup, patience)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return last, err
		}
	}
}

// wait waits for some time.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
