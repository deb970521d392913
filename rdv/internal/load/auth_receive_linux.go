package load

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// handle takes a datagram from the server.
func (r *authRunner) handle(ctx context.Context, in authIn) {
	c := r.client(in.to, clientAddr(0))
	if c == nil {
		return // for those whom the flood has forged
	}
	switch wire.KindOf(in.data) {
	case wire.KindGate:
		r.gate(ctx, in, c)
	case wire.KindDTLS:
		if c.phase == shaking {
			c.hs.Handle(in.data)
		} else if c.result != nil {
			r.opened(in, c)
		}
	case wire.KindRendezvous:
		switch m, _ := wire.Parse(in.data); m.Type {
		case wire.Pong:
			if !c.pinged.IsZero() {
				r.result.Pong.add(in.at.Sub(c.pinged))
				c.pinged = time.Time{}
			}
		default:
			r.result.Reconnects++
		}
	}
}

// gate takes a gate message.
func (r *authRunner) gate(ctx context.Context, in authIn, c *authClient) {
	m, err := wire.ParseGate(in.data)
	switch {
	case err != nil:
		r.result.Unexpected++
	case m.Type == wire.Cookie && c.phase == knocking:
		c.cookie = m.Cookie
		r.shake(ctx, c)
		c.next = in.at.Add(time.Hour)
		heap.Fix(&r.due, c.index)
	case m.Type == wire.Wait && c.phase == shaking && m.Cookie == c.cookie:
		r.result.Waits++
		r.again(in.at, c, time.Duration(m.Millis)*time.Millisecond)
	}
}

// shake begins a handshake.
func (r *authRunner) shake(ctx context.Context, c *authClient) {
	cookie, at := c.cookie, clientAddr(c.number)
	hs, err := handshake.New(handshake.Config{Certificate: r.cfg.Certificate, Protocols: []string{channel.Protocol}, Timeout: 5 * time.Second},
		func(b []byte) {
			b = wire.GateMessage{Type: wire.Admit, Cookie: cookie, Data: b}.Append(nil)
			_ = r.conn.Send([]punch.Datagram{{Addr: r.cfg.Server, Local: at, Data: b}}) // it is repeated
		})
	if err != nil {
		panic("load: " + err.Error()) // of our own certificate
	}
	c.phase, c.hs = shaking, hs
	ctx, c.cancel = context.WithCancel(ctx)
	r.helpers.Go(func() {
		result, err := hs.Run(ctx)
		if err != nil {
			result = nil
		}
		select {
		case r.ended <- authEnd{c, hs, result}:
		case <-ctx.Done():
		}
	})
}

// handshakeEnded takes the end of a handshake.
func (r *authRunner) handshakeEnded(now time.Time, e authEnd) {
	c := e.client
	if c.hs != e.hs {
		return
	}
	if e.result == nil {
		r.result.Failed++
		r.again(now, c, failedWait)
		return
	}
	c.cancel()
	c.phase, c.result, c.hs, c.cancel = joining, e.result, nil, nil
	r.register(now, c)
	heap.Fix(&r.due, c.index)
}

func (r *authRunner) register(now time.Time, c *authClient) {
	r.say(c, channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{vpnAddr(c.number)}, Software: "load"})
	c.next = now.Add(registerWait)
}

// say queues a message over a channel.
func (r *authRunner) say(c *authClient, m channel.Message) {
	b, err := c.result.Seal.Seal(nil, m.Append(nil), record.ApplicationData, &r.tmp)
	if err == nil {
		r.send(c, b)
	}
}

func (r *authRunner) send(c *authClient, b []byte) {
	r.out = append(r.out, punch.Datagram{Addr: r.cfg.Server, Local: clientAddr(c.number), Data: b})
}

// opened takes a record of the server.
func (r *authRunner) opened(in authIn, c *authClient) {
	h, rec, _, err := record.Split(in.data)
	if err != nil || h.Type != record.ApplicationData {
		return
	}
	payload, err := c.result.Open.Open(h, rec, &r.tmp)
	if err != nil {
		r.result.Unexpected++
		return
	}
	m, err := channel.Parse(payload)
	switch {
	case err != nil:
		r.result.Unexpected++
	case m.Type == channel.Registered:
		if c.phase == joining {
			r.settle(c)
			c.phase = member
			c.next = in.at.Add(time.Duration(r.rand.Int64N(int64(r.cfg.Interval))))
			heap.Fix(&r.due, c.index)
			r.members++
		}
	case m.Type == channel.Peer:
		if !c.asked.IsZero() {
			r.result.Peer.add(in.at.Sub(c.asked))
		}
	case m.Type == channel.Notice:
		r.noticed(in.at, c, m)
	case m.Type == channel.Chunk:
		r.chunk(in.at, c, m)
	case m.Type == channel.Introduce:
		r.say(c, channel.Message{Type: channel.Done, ID: m.ID})
		r.introduced(in, c, m)
	default:
		r.result.Unexpected++
	}
}

// introduced notes an INTRODUCE to c.
func (r *authRunner) introduced(in authIn, c *authClient, m channel.Message) {
	var asker *authClient
	if len(m.VPN) == 1 {
		asker = r.client(m.VPN[0], vpnAddr(0))
	}
	switch {
	case asker == nil || int(asker.peer) != c.number:
		r.result.Unexpected++
	case !asker.introduced:
		asker.introduced = true
		r.result.Introduce.add(in.at.Sub(asker.asked))
	}
}

// ask has a client ask for another one.
func (r *authRunner) ask(now time.Time) {
	c := &r.clients[r.rand.IntN(len(r.clients))]
	if !c.asked.IsZero() && now.Sub(c.asked) < askWait {
		return
	}
	peer := r.rand.IntN(len(r.clients) - 1)
	if peer >= c.number {
		peer++
	}
	c.asked, c.peer, c.introduced = now, int32(peer), false
	r.result.Asks++
	r.say(c, channel.Message{Type: channel.Ask, ID: uint32(r.result.Asks) + 1, VPN: []netip.Addr{vpnAddr(peer)}})
}

// flush sends what is queued.
func (r *authRunner) flush() error {
	if len(r.out) == 0 {
		return nil
	}
	err := r.conn.Send(r.out)
	r.out = r.out[:0]
	if err != nil && !errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}
