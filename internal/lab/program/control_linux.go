package program

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"campagnol/internal/lab/clock"
)

// A request is what a program is told.
type request struct {
	Do string
	Membership
	From int // of a report: the receptions from this one on
}

// A response is what it answers.
type response struct {
	At     clock.Instant `json:",omitzero"` // when it was about to do it
	Error  string        `json:",omitzero"`
	Got    []Reception   `json:",omitempty"`
	Sent   Sent          `json:",omitzero"`
	Routes []Route       `json:",omitempty"`
}

// A handler does what a program is told. It is called by one goroutine at a
// time.
type handler func(request) response

// errPeer marks what the program answered.
var errPeer = errors.New("program")

// controlTries and controlPause say how long a program may take to begin.
const controlPause = 5 * time.Millisecond

// A Control tells a program what to do. It is safe for concurrent use.
type Control struct {
	path string
}

// newControl returns the way to the program that listens at path, as soon as
// it does.
func newControl(ctx context.Context, path string) (*Control, error) {
	c := &Control{path}
	for {
		_, err := c.do(ctx, request{Do: "hello"})
		if err == nil || errors.Is(err, errPeer) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("program: no answer at %s: %w", path, errors.Join(context.Cause(ctx), err))
		case <-time.After(controlPause):
		}
	}
}

// do sends a request and returns the response. The error of a response wraps
// errPeer.
func (c *Control) do(ctx context.Context, q request) (r response, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
	if err != nil {
		return r, fmt.Errorf("program: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if err = json.NewEncoder(conn).Encode(q); err == nil {
		err = json.NewDecoder(bufio.NewReader(conn)).Decode(&r)
	}
	if err != nil {
		return r, fmt.Errorf("program: %s: %w", q.Do, err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("%w: %s: %s", errPeer, q.Do, r.Error)
	}
	return r, nil
}

// serve answers requests at path, one after the other, until the context ends.
func serve(ctx context.Context, path string, h handler) error {
	ln, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("program: %w", err)
		}
		answer(conn, h)
	}
}

// answer answers the request of a connection. Whoever asks and does not say
// what is not waited for.
func answer(conn net.Conn, h handler) {
	defer conn.Close()
	var q request
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			json.NewEncoder(conn).Encode(response{Error: err.Error()})
		}
		return
	}
	r := response{}
	if q.Do != "hello" {
		r = h(q)
	}
	json.NewEncoder(conn).Encode(r)
}

// failed returns the response that reports an error, if any.
func failed(at clock.Instant, err error) response {
	if err != nil {
		return response{At: at, Error: err.Error()}
	}
	return response{At: at}
}

// A Membership is what a receiver wants.
type Membership struct {
	Interface string
	Group     netip.Addr
	Source    netip.Addr // only this one, or all but this one; zero is any

	// Old uses the socket options of one family (IP_ADD_MEMBERSHIP and those
	// beside it), as most programs do, and not those of RFC 3678.
	Old bool
}
