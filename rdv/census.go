package rdv

import (
	"context"
	"errors"
	"slices"
	"time"

	"campagnol/pki"
)

// CensusBounds are the times that a [Census] tells apart.
var CensusBounds = [...]time.Duration{0, 1 * day, 3 * day, 7 * day, 14 * day, 30 * day, 90 * day, 365 * day}

const day = 24 * time.Hour

// A Census says for how much longer the certificates of members are good.
type Census struct {
	Members int                    // with a certificate whose end is known
	Within  [len(CensusBounds)]int // of them, those whose certificates end within each of CensusBounds
	Left    float64                // seconds of all together
	First   time.Time              // when the first one ends; zero: there is none
}

// ErrStopped is returned for a server that does not serve.
var ErrStopped = errors.New("rdv: not serving")

// Census returns what members' certificates say. That it returns shows that the
// server does its work. It is safe for concurrent use.
func (s *Server) Census(ctx context.Context) (Census, error) {
	to := make(chan Census, 1)
	select {
	case s.counts <- to:
		return <-to, nil
	case <-s.stopped:
		return Census{}, ErrStopped
	case <-ctx.Done():
		return Census{}, ctx.Err()
	}
}

// census looks at all members, which takes some nanoseconds each. It belongs to
// control.
func (s *Server) census(now time.Time) (c Census) {
	at, first, left := now.Unix(), int64(0), 0.0
	for m := s.registry.memberBy.first; m != nil; m = m.age.next {
		ends := m.id.Expires
		if ends == 0 {
			continue
		}
		if c.Members++; first == 0 || ends < first {
			first = ends
		}
		left += float64(ends - at)
		for i, bound := range CensusBounds {
			if ends-at <= int64(bound/time.Second) {
				c.Within[i]++
			}
		}
	}
	if first != 0 {
		c.First = time.Unix(first, 0)
	}
	c.Left = left
	return c
}

// Expiries returns the ends of the certificates on which the server depends: its own,
// and those of the authorities. It is safe for concurrent use.
func (s *Server) Expiries() []pki.Expiry {
	t := s.trust.Load()
	if t == nil {
		return nil
	}
	return slices.Concat(t.own, t.policy.Expiries())
}

// Revocations returns the revocation lists in use. It is safe for concurrent use.
func (s *Server) Revocations(now time.Time) []pki.Revocation {
	t := s.trust.Load()
	if t == nil {
		return nil
	}
	return t.policy.Revocations(now)
}
