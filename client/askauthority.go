package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"campagnol/rdv/channel"
)

// Errors of [Client.AskAuthority]. What the RDV refuses is a [*RefusedError]; its
// Reason is Unreachable if there is no authority, and Busy if it has too much to do.
var (
	ErrNoChannel = errors.New("client: there is no authenticated channel to the RDV server")
	ErrNoAnswer  = errors.New("client: the RDV server does not answer the request to the VPN's authority")
	ErrTooMany   = errors.New("client: too many requests to the VPN's authority at a time")
)

// maxAsking bounds the requests to the authority that wait for their answer.
const maxAsking = 16

// An authorityAnswer is what AskAuthority waits for.
type authorityAnswer struct {
	data []byte
	err  error
}

// AskAuthority passes a request on to the VPN's authority, by the authenticated
// channel and the RDV, and returns its answer. Neither request nor answer is looked
// at here, and the RDV may have made the answer up. The request may reach the
// authority twice, even if there is an error.
func (c *Client) AskAuthority(ctx context.Context, request []byte) ([]byte, error) {
	if n := len(request); n == 0 || n > channel.MaxData {
		return nil, fmt.Errorf("client: a request to the VPN's authority has 1 to %d bytes, not %d", channel.MaxData, n)
	}
	done := make(chan authorityAnswer, 1)
	if err := c.do(ctx, func(now time.Time) { c.askAuthority(now, request, done) }); err != nil {
		return nil, err
	}
	select {
	case a := <-done:
		return a.data, a.err
	case <-c.done:
		return nil, ErrStopped
	case <-ctx.Done():
		// Without ctx, which has ended; control always has time.
		_ = c.do(context.WithoutCancel(ctx), func(time.Time) { c.askNoLonger(done) })
		return nil, ctx.Err()
	}
}

func (c *Client) askAuthority(now time.Time, question []byte, done chan<- authorityAnswer) {
	switch {
	case !c.server.stands():
		done <- authorityAnswer{err: ErrNoChannel}
		return
	case len(c.asking) >= maxAsking:
		done <- authorityAnswer{err: ErrTooMany}
		return
	}
	r := &request{msg: channel.Message{Type: channel.Apply, Data: question}}
	out := c.server.send(now, r, nil)
	if c.asking == nil {
		c.asking = map[uint32]chan<- authorityAnswer{}
	}
	c.asking[r.msg.ID] = done
	c.perform(now, out)
}

// answerAsking hands on the authority's answer, or why there is none.
func (c *Client) answerAsking(id uint32, data []byte, err error) {
	if done := c.asking[id]; done != nil {
		done <- authorityAnswer{data, err}
		delete(c.asking, id)
	}
}

// askNoLonger forgets a request for whose answer nobody waits.
func (c *Client) askNoLonger(done chan<- authorityAnswer) {
	for id, d := range c.asking {
		if d == done {
			delete(c.asking, id)
			c.server.forget(id)
		}
	}
}

// askNobody ends all requests: the channel will be another.
func (c *Client) askNobody() {
	for id := range c.asking {
		c.answerAsking(id, nil, ErrNoChannel)
	}
}
