package ocsp

import (
	"errors"
	"net/url"
	"slices"
	"time"

	"campagnol/pki"
)

// maxFailures bounds the failures that are remembered for people.
const maxFailures = 8

// Stats is what a Checker has heard since it was made.
type Stats struct {
	Asked    uint64    // questions to responders
	Good     uint64    // answers
	Revoked  uint64    // likewise
	Unknown  uint64    // answers that the responder does not know the certificate
	Failed   uint64    // times that there was no answer
	Failures []Failure // the last ones, one for each certificate, the oldest first
}

// A Failure says why there was no good answer about a certificate.
type Failure struct {
	Name   string // of the certificate's holder
	Time   time.Time
	Reason string
}

// Stats returns what c has heard.
func (c *Checker) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Failures = slices.Clone(s.Failures)
	return s
}

// addFailure remembers a failure in place of an earlier one of the same holder.
func (s *Stats) addFailure(f Failure) {
	s.Failures = slices.DeleteFunc(s.Failures, func(o Failure) bool { return o.Name == f.Name })
	if len(s.Failures) >= maxFailures {
		s.Failures = slices.Delete(s.Failures, 0, 1)
	}
	s.Failures = append(s.Failures, f)
}

// nothing is said of what is as before.
func nothing() {}

// reportFaultLocked counts that there was no answer, and returns what logs it: once,
// until the responder answers again.
func (c *Checker) reportFaultLocked(now time.Time, peer *pki.Peer, from *url.URL, err error) (say func()) {
	if errors.Is(err, errNoResponder) {
		return nothing // that is how the certificate is; whether it matters is for Check
	}
	c.stats.Failed++
	c.stats.addFailure(Failure{Name: peer.Name, Time: now, Reason: err.Error()})
	_, known := c.trouble[from.Host]
	if known || errors.Is(err, errSilent) {
		return nothing
	}
	c.trouble.add(now, from.Host)
	return func() {
		c.log.Warn("No answer from the responder of a certificate (OCSP)", "certificate", peer.Name, "responder", from.Host, "err", err)
	}
}

// reportAnswerLocked counts an answer, and returns what logs what has changed by it.
func (c *Checker) reportAnswerLocked(now time.Time, peer *pki.Peer, from *url.URL, a *answer, before status) (say func()) {
	_, again := c.trouble[from.Host]
	delete(c.trouble, from.Host)
	news := false
	switch a.status {
	case good:
		c.stats.Good++
		c.stats.Failures = slices.DeleteFunc(c.stats.Failures, func(f Failure) bool { return f.Name == peer.Name })
	case revoked:
		c.stats.Revoked++
		c.stats.addFailure(Failure{Name: peer.Name, Time: now, Reason: a.revocation()})
	default:
		c.stats.Unknown++
		c.stats.addFailure(Failure{Name: peer.Name, Time: now, Reason: errUnknown.Error()})
		news = before != unknown
	}
	return func() {
		if again {
			c.log.Info("The responder of certificates (OCSP) answers again", "responder", from.Host)
		}
		if news {
			c.log.Warn("The responder does not know a certificate (OCSP)", "certificate", peer.Name, "responder", from.Host)
		}
	}
}

// maxHosts bounds a hosts.
const maxHosts = 64

// hosts are names of responders, with a time. Certificates name them, so that they
// are few; what is too much makes place for what is new.
type hosts map[string]time.Time

func (h hosts) add(now time.Time, host string) {
	if _, ok := h[host]; !ok && len(h) >= maxHosts {
		for other := range h { // any
			delete(h, other)
			break
		}
	}
	h[host] = now
}
