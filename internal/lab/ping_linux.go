package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Ping sends ICMP echo requests from inside the namespace and waits for the
// answers. That requests are lost is not an error; that none could be sent is.
func (n *Node) Ping(ctx context.Context, to netip.Addr, o PingOptions) (PingResult, error) {
	o = o.withDefaults()
	p := &pinger{to: to.Unmap(), id: rand.Uint32N(1 << 16), options: o}
	p.result = PingResult{To: p.to, RTT: make([]time.Duration, o.Count)}
	for i := range p.result.RTT {
		p.result.RTT[i] = Lost
	}
	p.sent = make([]time.Time, o.Count)
	p.allAnswered = make(chan struct{})
	if err := n.Do(p.listen); err != nil {
		return p.result, n.wrap("ping", err)
	}
	if err := p.run(ctx); err != nil {
		return p.result, n.wrap(fmt.Sprintf("ping %v", to), err)
	}
	return p.result, nil
}

// A pinger is one series of echo requests. Its receiver is a goroutine of its
// own, so that the time of an answer does not depend on the sender.
type pinger struct {
	to          netip.Addr
	id          uint32 // 16 bits
	options     PingOptions
	conn        *net.IPConn
	allAnswered chan struct{} // closed when there is nothing to wait for

	mu       sync.Mutex // protects the following
	sent     []time.Time
	answered int
	result   PingResult
}

// pingBuffer is the receive buffer of a pinger, in bytes: answers to a thousand
// requests in a burst must not get lost in the one place that is not tested.
const pingBuffer = 4 << 20

// listen makes the raw socket.
func (p *pinger) listen() (err error) {
	network := "ip4:icmp"
	if p.to.Is6() {
		network = "ip6:ipv6-icmp"
	}
	if p.conn, err = net.ListenIP(network, nil); err != nil {
		return err
	}
	if err := forceReadBuffer(p.conn, pingBuffer); err != nil {
		return errors.Join(err, p.conn.Close())
	}
	return nil
}

// forceReadBuffer sets the size of a socket's receive buffer, beyond the limit
// for programs without privileges.
func forceReadBuffer(c syscall.Conn, size int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
	})
	return errors.Join(err, failed)
}

// run sends and receives until all is answered, patience ends or ctx does.
func (p *pinger) run(ctx context.Context) error {
	received := make(chan struct{})
	go func() {
		defer close(received)
		p.receive()
	}()
	err := p.send(ctx)
	if err == nil {
		patience := time.NewTimer(p.options.Patience)
		select {
		case <-p.allAnswered:
		case <-patience.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
		patience.Stop()
	}
	p.conn.Close() // ends receive
	<-received
	return err
}

// send sends all requests.
func (p *pinger) send(ctx context.Context) error {
	ticker := time.NewTicker(p.options.Interval)
	defer ticker.Stop()
	to := &net.IPAddr{IP: p.to.AsSlice()}
	for seq := range p.options.Count {
		b, err := p.request(seq)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.sent[seq] = time.Now()
		if seq == 0 {
			p.result.Start = p.sent[0]
		}
		p.mu.Unlock()
		// A full queue loses the request, as any router would.
		if _, err := p.conn.WriteTo(b, to); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		if seq == p.options.Count-1 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// request returns an echo request. Its payload is the number again: the field
// of the header has only 16 bits.
func (p *pinger) request(seq int) ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho}
	if p.to.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel fills in the checksum
	}
	data := make([]byte, max(p.options.Size, echoNumber))
	binary.BigEndian.PutUint32(data, uint32(seq))
	m.Body = &icmp.Echo{ID: int(p.id), Seq: seq & 0xffff, Data: data}
	return m.Marshal(nil)
}

// echoNumber is the length of the number at the beginning of the payload.
const echoNumber = 4

// receive notes answers until the socket is closed.
func (p *pinger) receive() {
	b := make([]byte, 64<<10)
	for {
		n, from, err := p.conn.ReadFromIP(b)
		now := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error about an earlier packet
		}
		if addr, ok := netip.AddrFromSlice(from.IP); !ok || addr.Unmap() != p.to {
			continue
		}
		if seq, ok := parseEchoReply(b[:n], p.to.Is6(), p.id); ok {
			p.note(seq, now)
		}
	}
}

// note records the answer to a request.
func (p *pinger) note(seq uint32, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int64(seq) >= int64(len(p.sent)) || p.sent[seq].IsZero() {
		return
	}
	if p.result.RTT[seq] != Lost {
		p.result.Duplicates++
		return
	}
	p.result.RTT[seq] = now.Sub(p.sent[seq])
	if p.answered == 0 {
		p.result.Answer = now
	}
	if p.answered++; p.answered == len(p.sent) {
		close(p.allAnswered)
	}
}

// parseEchoReply returns the number in the payload of an echo reply with the
// given identifier. It accepts any input.
func parseEchoReply(b []byte, v6 bool, id uint32) (seq uint32, ok bool) {
	protocol, reply := unix.IPPROTO_ICMP, icmp.Type(ipv4.ICMPTypeEchoReply)
	if v6 {
		protocol, reply = unix.IPPROTO_ICMPV6, ipv6.ICMPTypeEchoReply
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil || m.Type != reply {
		return 0, false
	}
	echo, ok := m.Body.(*icmp.Echo)
	if !ok || uint32(echo.ID) != id || len(echo.Data) < echoNumber {
		return 0, false
	}
	return binary.BigEndian.Uint32(echo.Data), true
}

// PingUntil repeats single echo requests until one is answered, and returns how
// long that took. It returns os.ErrDeadlineExceeded when the context ends
// first.
func (n *Node) PingUntil(ctx context.Context, to netip.Addr, interval time.Duration) (time.Duration, error) {
	start := time.Now()
	for ctx.Err() == nil {
		r, err := n.Ping(ctx, to, PingOptions{Count: 1, Patience: interval})
		switch {
		case err == nil && r.Received() == 1:
			return time.Since(start), nil
		case err != nil && ctx.Err() == nil:
			return 0, err
		}
	}
	return 0, n.wrap(fmt.Sprintf("ping %v", to), os.ErrDeadlineExceeded)
}
