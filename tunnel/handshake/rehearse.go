package handshake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"campagnol/tunnel/record"
)

// rehearsalTimeout bounds a rehearsal. Nothing is lost on the way, and a slow
// router takes half a second for the arithmetic.
const rehearsalTimeout = 10 * time.Second

// Rehearse performs a handshake of cfg's certificate with itself, in memory, and
// lets each end open what the other has sealed. Its error says that no handshake
// can succeed, before anybody depends on one: this build does not fit its DTLS
// library, or not the kind of our key.
//
// It has a second use: the first handshake of a process takes several
// milliseconds longer than the next, since everything in it runs for the first
// time. After a rehearsal the first peer need not wait for that.
//
// Of cfg only Certificate, Suites, Protocols, ConnectionID and Log count.
func Rehearse(ctx context.Context, cfg Config) error {
	cfg = Config{
		Certificate: cfg.Certificate, Suites: cfg.Suites, Protocols: cfg.Protocols, ConnectionID: cfg.ConnectionID, Log: cfg.Log,
		Timeout: rehearsalTimeout,
		Verify:  isChain(cfg.Certificate.Certificate),
	}
	var client, server *Handshake
	client, err := New(cfg, func(b []byte) { server.Handle(b) })
	if err != nil {
		return err
	}
	cfg.Server = true
	if server, err = New(cfg, func(b []byte) { client.Handle(b) }); err != nil {
		client.conn.Close()
		return err
	}
	type end struct {
		result *Result
		err    error
	}
	served := make(chan end, 1)
	go func() {
		r, err := server.Run(ctx)
		served <- end{r, err}
	}()
	c, err := client.Run(ctx)
	s := <-served
	if err := errors.Join(err, s.err); err != nil {
		return fmt.Errorf("handshake with ourselves: %w", err)
	}
	if err := errors.Join(carries(c, s.result), carries(s.result, c)); err != nil {
		return fmt.Errorf("handshake with ourselves: %w", err)
	}
	return nil
}

// isChain returns a Verify that takes one chain only.
func isChain(want [][]byte) func([][]byte) error {
	return func(got [][]byte) error {
		if len(got) == 0 || !bytes.Equal(got[0], want[0]) {
			return errors.New("the certificate has changed on its way")
		}
		return nil
	}
}

// carries reports whether what one end seals is what the other opens.
func carries(from, to *Result) error {
	sent := []byte("rehearsal")
	var tmp record.Scratch
	b, err := from.Seal.Seal(nil, sent, record.ApplicationData, &tmp)
	if err != nil {
		return err
	}
	h, rec, _, err := record.Split(b)
	if err != nil {
		return err
	}
	got, err := to.Open.Open(h, rec, &tmp)
	if err == nil && !bytes.Equal(got, sent) {
		err = ErrTakeOver
	}
	return err
}
