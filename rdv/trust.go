package rdv

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"campagnol/pki"
	"campagnol/pki/policy"
)

// recheckInterval is how often the certificates of clients with a channel are
// checked again: they expire, and so do those of their authority.
const recheckInterval = time.Hour

// A Trust is who the server is for its clients, and whom it believes. It does not
// change after [NewTrust].
type Trust struct {
	certificate tls.Certificate
	own         []pki.Expiry // of certificate
	policy      *pki.Policy
	rules       *policy.Policy // who may talk with whom; nil: everybody
	online      Online         // what responders say; nil: nobody is asked
}

// NewTrust returns a trust of the server's identity, whose certificate should be
// one for a rendezvous server (see [pki.IsRendezvous]), and of whom it believes.
func NewTrust(id *pki.Identity, policy *pki.Policy) *Trust {
	return &Trust{certificate: id.TLS(), own: id.Expiries(), policy: policy}
}

// Certificate returns the server's certificate, which is not to be changed.
func (t *Trust) Certificate() *tls.Certificate { return &t.certificate }

// errRendezvous says that a client shows the certificate of a server.
var errRendezvous = errors.New("its certificate is one for a rendezvous server, which is no client")

// verify decides about a client's certificates. A nil Trust believes nobody.
func (t *Trust) verify(now time.Time, chain [][]byte) (*pki.Peer, error) {
	if t == nil {
		return nil, errors.New("the server has no certificate any more")
	}
	peer, err := t.policy.Verify(now, chain, pki.Client)
	if err != nil {
		return nil, err
	}
	if pki.IsRendezvous(peer.Leaf) {
		return nil, errRendezvous
	}
	if err := t.checkOnline(now, peer); err != nil {
		return nil, err
	}
	if t.rules != nil {
		if _, err := pki.AttributesOf(peer.Leaf); err != nil {
			return nil, err
		}
	}
	return peer, nil
}

// SetTrust replaces the trust of a running server. Channels whose client is not
// believed any more end. It is safe for concurrent use; in mode [Open] it has no
// effect.
func (s *Server) SetTrust(t *Trust) {
	if s.cfg.Mode == Open {
		return
	}
	s.library.setTrust(time.Now(), t)
}

// A verdict is that the certificates of a member are not accepted any more.
type verdict struct {
	member *Member
	err    error // nil, and member nil: the check is over
}

// recheck begins to check the certificates of all members again. It takes seconds
// with many of them, and is not done in the control goroutine. If one is under
// way, another follows.
func (s *Server) recheck(now time.Time) {
	s.recheckAt = now.Add(s.trust.Load().interval())
	if s.rechecking {
		s.recheckAgain = true
		return
	}
	type holder struct {
		member *Member
		chain  [][]byte
	}
	all := make([]holder, 0, len(s.registry.members))
	for _, m := range s.registry.members {
		all = append(all, holder{m, m.channel.chain})
	}
	s.rechecking = true
	trust := s.trust.Load()
	ctx, cancel := s.untilStopped()
	s.helpers.Go(func() {
		defer cancel()
		// Those whom a list names come first: with many members it takes seconds.
		suspects := 0
		for i, h := range all {
			if trust.suspects(h.chain[0]) {
				all[suspects], all[i] = h, all[suspects]
				suspects++
			}
		}
		tell := func(v verdict) bool {
			select {
			case s.verdicts <- v:
				return true
			case <-s.stopped:
				return false
			}
		}
		for _, h := range all {
			trust.inquire(ctx, h.chain)
			if _, err := trust.verify(time.Now(), h.chain); err != nil && !tell(verdict{h.member, err}) {
				return
			}
			select {
			case <-s.stopped:
				return
			default:
			}
		}
		tell(verdict{})
	})
}

// suspects reports whether a certificate, which was accepted before, is likely to be
// revoked now.
func (t *Trust) suspects(leaf []byte) bool {
	if t == nil {
		return false
	}
	c, err := x509.ParseCertificate(leaf)
	return err == nil && t.policy.Listed(c)
}

// handleVerdict ends the channel of who is not believed any more.
func (s *Server) handleVerdict(now time.Time, v verdict) {
	switch {
	case v.member != nil:
		if s.registry.member(v.member.spot()) == v.member {
			e := v.member.event(Distrusted)
			e.Code, e.Why = codeOf(v.err), v.err.Error()
			s.tell(now, e)
			s.expel(v.member)
			s.endChannel(now, v.member, v.err.Error())
		}
	default:
		s.rechecking = false
		if s.recheckAgain {
			s.recheckAgain = false
			s.recheck(now)
		}
	}
}
