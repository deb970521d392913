package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// An asking is a request to the authority that waits for its answer. It is passed on
// by one RDV, and by the next if the authority cannot be reached there.
type asking struct {
	question []byte
	done     chan<- authorityAnswer
	by       *rendezvous
	id       uint32 // there
	tried    []*rendezvous
}

// AskAuthority passes a request on to the VPN's authority, by the authenticated
// channel and an RDV, and returns its answer. Neither request nor answer is looked
// at here, and the RDV may have made the answer up. The request may reach the
// authority several times, even if there is an error.
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
	if len(c.asking) >= maxAsking && c.anyServer(func(r *rendezvous) bool { return r.server.stands() }) {
		done <- authorityAnswer{err: ErrTooMany}
		return
	}
	c.askNext(now, &asking{question: question, done: done}, ErrNoChannel)
}

// askNext makes the next RDV pass a request on. If there is none, that ends with the
// answer of the last.
func (c *Client) askNext(now time.Time, a *asking, last error) {
	for _, r := range c.servers.rdvs {
		if !r.server.stands() || slices.Contains(a.tried, r) {
			continue
		}
		q := &request{msg: channel.Message{Type: channel.Apply, Data: a.question}}
		out := r.server.send(now, q, nil)
		a.by, a.id, a.tried = r, q.msg.ID, append(a.tried, r)
		c.asking = append(c.asking, a)
		c.perform(now, r, out)
		return
	}
	a.done <- authorityAnswer{err: last}
}

// answerAsking takes the authority's answer, or why there is none, from an RDV.
func (c *Client) answerAsking(now time.Time, r *rendezvous, id uint32, data []byte, err error) {
	i := slices.IndexFunc(c.asking, func(a *asking) bool { return a.by == r && a.id == id })
	if i < 0 {
		return
	}
	a := c.asking[i]
	c.asking = slices.Delete(c.asking, i, i+1)
	if err != nil && mayKnowMore(err) {
		c.askNext(now, a, err)
		return
	}
	a.done <- authorityAnswer{data, err}
}

// mayKnowMore reports whether another RDV may have an answer where one has not: it
// does not reach the authority.
func mayKnowMore(err error) bool {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return true
	}
	switch refused.Reason {
	case channel.Unreachable, channel.Strangers, channel.Busy:
		return true
	}
	return false
}

// askNoLonger forgets a request for whose answer nobody waits.
func (c *Client) askNoLonger(done chan<- authorityAnswer) {
	c.asking = slices.DeleteFunc(c.asking, func(a *asking) bool {
		if a.done == done {
			a.by.server.forget(a.id)
		}
		return a.done == done
	})
}

// askOthers makes other RDVs pass on what was with one that we leave.
func (c *Client) askOthers(now time.Time, r *rendezvous) {
	for _, a := range slices.Clone(c.asking) {
		if a.by == r {
			c.answerAsking(now, r, a.id, nil, ErrNoChannel)
		}
	}
}
