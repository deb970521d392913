package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// An Expiry says when a certificate ends on which we depend.
type Expiry struct {
	Name   string // of its holder, for people
	Serial string // in hexadecimal
	CA     bool   // of an authority, with which everything that it issued ends
	At     time.Time
	Remedy string // what an administrator can do
}

// Expiries returns the ends of our own certificate and of those that we show with
// it.
func (id *Identity) Expiries() []Expiry {
	var list []Expiry
	for i, c := range id.Chain {
		if i > 0 && selfSigned(c) {
			continue // peers use their own copy of the root
		}
		list = append(list, expiryOf(c, i > 0))
	}
	return list
}

// Expiries returns the ends of the authorities' certificates.
func (p *Policy) Expiries() []Expiry {
	var list []Expiry
	for _, c := range slices.Concat(p.rootList, p.intermediateList) {
		list = append(list, expiryOf(c, true))
	}
	return list
}

func expiryOf(c *x509.Certificate, ca bool) Expiry {
	e := Expiry{Name: subjectOf(c), Serial: serialOf(c), CA: ca, At: c.NotAfter, Remedy: remedyNew}
	if ca {
		e.Remedy = "renew it, and give the new one to all hosts before that"
	}
	return e
}

// expirySteps are how long before the end an [ExpiryWatch] speaks up.
var expirySteps = []time.Duration{30 * day, 7 * day, day, 0}

const day = 24 * time.Hour

// An ExpiryWatch tells of certificates that are about to end: 30, 7 and 1 day
// before, and when it has come to that. Its zero value is ready. It has no clock.
type ExpiryWatch struct {
	passed map[expiryKey]int // how many of expirySteps
}

type expiryKey struct {
	name, serial string
	at           time.Time
}

// Look returns what is to be said at now. It says nothing of a certificate that it
// meets for the first time: whoever has read it has.
func (w *ExpiryWatch) Look(now time.Time, list []Expiry) []string {
	passed := map[expiryKey]int{}
	var texts []string
	for _, e := range list {
		k := expiryKey{e.Name, e.Serial, e.At}
		steps := 0
		for steps < len(expirySteps) && e.At.Sub(now) <= expirySteps[steps] {
			steps++
		}
		if before, known := w.passed[k]; known && steps > before {
			texts = append(texts, e.text(now))
		}
		passed[k] = steps
	}
	w.passed = passed
	return texts
}

// text says when the certificate ends, and what to do.
func (e Expiry) text(now time.Time) string {
	s := "certificate " + e.Name
	if e.CA {
		s = "the certificate of the authority " + e.Name
	}
	left := e.At.Sub(now)
	switch {
	case left <= 0:
		s += fmt.Sprintf(" has expired on %s", stamp(e.At))
	case left < 2*day:
		s += fmt.Sprintf(" expires on %s, in %d hours", stamp(e.At), int(left.Hours()))
	default:
		s += fmt.Sprintf(" expires on %s, in %d days", stamp(e.At), int(left/day))
	}
	return s + "; " + e.Remedy
}
