package rdv

import (
	"context"
	"time"

	"campagnol/pki"
)

// An Online knows what the responders of certificates say (OCSP). It is safe for
// concurrent use.
type Online interface {
	// Inquire asks the responder of a client's certificate, and may wait.
	Inquire(ctx context.Context, peer *pki.Peer)

	// Check says why a client is not accepted, by what is known. It never waits.
	Check(now time.Time, peer *pki.Peer) error
}

// onlineInterval is recheckInterval for a trust that asks responders: what they say
// changes, and is known to have changed when it is asked for.
const onlineInterval = 5 * time.Minute

// WithOnline returns a trust that accepts only clients that o accepts, too; nil
// accepts all.
func (t *Trust) WithOnline(o Online) *Trust {
	next := *t
	next.online = o
	return &next
}

// inquire asks about a client's certificates. It may wait, and is not for the
// control goroutine.
func (t *Trust) inquire(ctx context.Context, chain [][]byte) {
	if t == nil || t.online == nil {
		return
	}
	peer, err := t.policy.Verify(time.Now(), chain, pki.Client)
	if err == nil { // or else verify refuses it anyway
		t.online.Inquire(ctx, peer)
	}
}

// checkOnline says why a client is not accepted, by what is known.
func (t *Trust) checkOnline(now time.Time, peer *pki.Peer) error {
	if t.online == nil {
		return nil
	}
	return t.online.Check(now, peer)
}

// interval returns how often certificates are checked again.
func (t *Trust) interval() time.Duration {
	if t != nil && t.online != nil {
		return onlineInterval
	}
	return recheckInterval
}

// untilStopped returns a context that ends with the server.
func (s *Server) untilStopped() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.helpers.Go(func() {
		select {
		case <-s.stopped:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, cancel
}
