// Package interop holds sessions of our handshake and record layer with other
// implementations of DTLS: OpenSSL, which is what the original is built on, and
// GnuTLS, each in both roles. The programs are those that come with the
// libraries; a path in this process stands between them and us and can lose,
// multiply, delay and reorder what passes.
//
// It has only tests.
package interop

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// An end is our end of a session with a process.
type end struct {
	t    *testing.T
	path *path
	hs   *handshake.Handshake

	mu      sync.Mutex
	session *tunnel.Session
	closed  *tunnel.Event
	data    [][]byte
	arrived chan struct{} // something of the above changed
}

func newEnd(t *testing.T, p *path, cfg handshake.Config) *end {
	t.Helper()
	e := &end{t: t, path: p, arrived: make(chan struct{}, 1)}
	hs, err := handshake.New(cfg, p.send)
	if err != nil {
		t.Fatal(err)
	}
	e.hs = hs
	go p.run(e.deliver)
	return e
}

// deliver takes a datagram of the process's.
func (e *end) deliver(b []byte) {
	e.mu.Lock()
	e.receive(b)
	e.mu.Unlock()
	select {
	case e.arrived <- struct{}{}:
	default:
	}
}

// receive does what a client does with a datagram. e.mu is held.
func (e *end) receive(b []byte) {
	if e.session == nil {
		e.hs.Handle(b)
		return
	}
	for rest := b; len(rest) > 0; {
		h, rec, r, err := record.Split(rest)
		if err != nil {
			return
		}
		rest = r
		payload, control, d := e.session.Receive(1, h, rec, new(record.Scratch))
		switch {
		case d == tunnel.DropNotIP: // lines are none
			e.data = append(e.data, bytes.Clone(rec))
		case control:
			out, ev := e.session.Handle(time.Now(), h.Type, payload, nil)
			for _, b := range out {
				e.path.send(b)
			}
			if ev.Closed {
				e.closed = &ev
			}
		}
	}
}

// open runs the handshake and takes the session over.
func (e *end) open() *handshake.Result {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	r, err := e.hs.Run(ctx)
	if err != nil {
		e.t.Fatal(err)
	}
	if r.ConnectionID != nil {
		e.t.Errorf("connection ID %x was agreed on", *r.ConnectionID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session = tunnel.NewSession(time.Now(), netip.MustParseAddr("10.9.0.2"), r)
	for _, rec := range e.hs.Early() {
		e.receive(rec)
	}
	return r
}

// until waits for a condition on the end's state.
func (e *end) until(what string, ok func() bool) {
	e.t.Helper()
	timeout := time.After(patience)
	for {
		e.mu.Lock()
		done := ok()
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-e.arrived:
		case <-timeout:
			e.t.Fatalf("no %s", what)
		}
	}
}

// hears waits for a line of the process's. Receive opens records in place, so
// that the line stands in the record; a session refuses what is not IP.
func (e *end) hears(line string) {
	e.t.Helper()
	e.until("line "+line, func() bool {
		for _, b := range e.data {
			if bytes.Contains(b, []byte(line)) {
				return true
			}
		}
		return false
	})
}

// say sends a line to the process.
func (e *end) say(line string) {
	e.t.Helper()
	rec, d := e.session.Seal(1, nil, []byte(line+"\n"), new(record.Scratch))
	if d != tunnel.Kept {
		e.t.Fatal(d)
	}
	e.path.send(rec)
}

// close sends our close_notify.
func (e *end) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.session.CloseNotify(nil) {
		e.path.send(b)
	}
}

// isClosed waits until the process has closed the session.
func (e *end) isClosed() {
	e.t.Helper()
	e.until("close_notify", func() bool { return e.closed != nil })
	if e.closed.Reason != nil {
		e.t.Errorf("closed because %v", e.closed.Reason)
	}
}

// wants accepts a chain that begins with the certificates of id and no other.
func wants(id identity) func([][]byte) error {
	return func(chain [][]byte) error {
		for i, der := range id.cert.Certificate {
			// A root need not be sent (RFC 5246 section 7.4.2).
			if last := len(id.cert.Certificate) - 1; i > 0 && i == last && len(chain) == last {
				break
			}
			if i >= len(chain) || !bytes.Equal(chain[i], der) {
				return fmt.Errorf("not the chain that the other end was given, from certificate %d on (of %d)", i, len(chain))
			}
		}
		return nil
	}
}
