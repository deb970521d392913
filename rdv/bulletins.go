package rdv

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/policy"
	"campagnol/rdv/channel"
)

// Bulletins are for the clients, and for the server as well: it trusts the authorities
// that they name, since its clients may show certificates of either, and obeys their
// policy if it has none of its own. A bulletin that none of its authorities has signed
// is not handed out: it would only be in the place of a good one.

// takeBulletin takes a bulletin.
func (l *library) takeBulletin(now time.Time, content []byte, from string) (changed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.base == nil {
		return false, errNoChannels
	}
	if string(l.trail.Raw()) == string(content) {
		return false, nil
	}
	next, err := l.trail.Take(now, content)
	if err != nil {
		return false, fmt.Errorf("rdv: %w", err)
	}
	return true, l.useLocked(next, from)
}

// restore takes an object that was kept before the server was started: of bulletins
// that is a trail.
func (l *library) restore(now time.Time, o Object, from string) error {
	if o.Kind != channel.Bulletin {
		_, err := l.take(now, o, from)
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.base == nil {
		return errNoChannels
	}
	trail, err := bulletin.ParseTrail(l.base.authorities(now), o.Content)
	if err != nil {
		return fmt.Errorf("rdv: %w", err)
	}
	return l.useLocked(trail, from)
}

// useLocked makes a trail count. A policy that cannot be read leaves all as it was.
func (l *library) useLocked(next *bulletin.Trail, from string) error {
	b := next.Current()
	if b == nil {
		return nil
	}
	var rules *policy.Policy
	if b.Policy != "" {
		var err error
		if rules, err = policy.Parse(fmt.Sprintf("policy of bulletin %d", b.Number), b.Policy); err != nil {
			return fmt.Errorf("rdv: bulletin %d is not used: %w", b.Number, err)
		}
	}
	before := l.trail
	l.trail = next
	if equalCerts(before.Added(), next.Added()) && equalCerts(before.Retired(), next.Retired()) && equalRules(l.rules, rules) {
		l.publishObjectsLocked() // nobody's certificate has to be checked anew
	} else {
		l.rules = rules
		l.reviewLocked()
		l.publishLocked()
	}
	l.log.InfoContext(audit.Mark(context.Background(), audit.Record{Event: audit.BulletinChanged}),
		"There is a new bulletin from {name}: {number}, with {bytes} bytes", "name", from, "number", b.Number, "bytes", len(next.Raw()))
	if rules != nil && l.base.rules != nil {
		l.log.Info("The policy of this server is that in {file}, and not that of the bulletin", "file", l.base.rules.Name())
	}
	return nil
}

func equalCerts(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
}

// equalRules reports whether two policies, which may be nil, say the same.
func equalRules(a, b *policy.Policy) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID() == b.ID()
}

// authorities returns whose bulletins count at now, beside those that others name.
func (t *Trust) authorities(now time.Time) []*x509.Certificate {
	var id pki.Identity
	for _, der := range t.certificate.Certificate {
		if c, err := x509.ParseCertificate(der); err == nil {
			id.Chain = append(id.Chain, c)
		}
	}
	if len(id.Chain) == 0 {
		return t.policy.Authorities(now, nil)
	}
	return t.policy.Authorities(now, &id)
}

// withBulletins returns a trust that believes what bulletins say, whose policy is
// rules; nil: there is none.
func (t *Trust) withBulletins(trail *bulletin.Trail, rules *policy.Policy) *Trust {
	if trail.Current() == nil {
		return t
	}
	next := *t
	next.policy = t.policy.WithAuthorities(trail.Added(), trail.Retired())
	if next.rules == nil {
		next.rules = rules
	}
	return &next
}
