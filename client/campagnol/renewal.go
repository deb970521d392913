package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"campagnol/client"
	"campagnol/internal/audit"
	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/logging"
	"campagnol/pki"
	"campagnol/rdv/channel"
)

// An exchange is a conversation with the VPN's authority about a new certificate for
// us. It is a machine: no I/O.
type exchange interface {
	// Next returns what to say to the authority: the same again until Take has
	// taken its answer.
	Next() []byte

	// Take takes the authority's answer. An error ends the exchange. What cannot
	// be believed is ignored, since anybody on the way may have said it.
	Take(answer []byte) error

	// Done reports whether the exchange has ended.
	Done() bool

	// Doubt returns the last answer that was ignored, as an error, and Doubts how
	// many there were.
	Doubt() error
	Doubts() int

	// Certificate returns the new certificate, with the intermediate ones above
	// it, and its key; nil: ours.
	Certificate() ([]*x509.Certificate, crypto.Signer)
}

// A newExchange begins an exchange that renews the certificate of id.
type newExchange func(now time.Time, id *pki.Identity) (exchange, error)

// How certificates are renewed.
const (
	// renewalInterval is how often we look whether it is time.
	renewalInterval = 2 * time.Second

	// rotationSpread is within which time after the authority has got another key a
	// certificate by the last one is renewed: not all members at once.
	rotationSpread = 10 * time.Minute

	// renewalSteps is how many questions an exchange may have.
	renewalSteps = 64

	// renewalTime bounds an exchange. Whoever has asked for it waits a bit longer.
	renewalTime = 25 * time.Second

	// After a failure the next try is renewalFirst later, and then later and later.
	renewalFirst = time.Minute
	renewalMost  = 6 * time.Hour

	// renewPause is how long we wait before a question that was not answered, or not
	// believably, is asked again; after maxDoubts answers of that kind we give up.
	renewPause = 2 * time.Second
	maxDoubts  = 3
)

// A renewalPlan says when our certificate is to be renewed. It has no clock. Its zero
// value is ready.
type renewalPlan struct {
	leaf  *x509.Certificate // whose plan it is
	early bool              // it is by a key that another takes the place of
	at    time.Time         // the next try
	tries int               // that have failed
}

// due returns when a certificate is to be renewed: when a third of its time is left,
// or, by jitter (0 to 1), up to a tenth of that later, so that not all members come
// at the same time.
func (p *renewalPlan) due(leaf *x509.Certificate, jitter func() float64) time.Time {
	if p.leaf == nil || !p.leaf.Equal(leaf) {
		third := leaf.NotAfter.Sub(leaf.NotBefore) / 3
		*p = renewalPlan{leaf: leaf, at: leaf.NotAfter.Add(-third).Add(time.Duration(jitter() * float64(third/10)))}
	}
	return p.at
}

// superseded takes that the certificate, which is due already or not, is by a key of
// the authority that another takes the place of.
func (p *renewalPlan) superseded(now time.Time, jitter func() float64) {
	if soon := now.Add(time.Duration(jitter() * float64(rotationSpread))); !p.early && soon.Before(p.at) {
		p.at = soon
	}
	p.early = true
}

// failed takes that a try was in vain. There are some tries until the end, however
// near that is, and after it.
func (p *renewalPlan) failed(now time.Time, jitter func() float64) {
	wait := min(renewalFirst<<min(p.tries, 10), renewalMost, max(p.leaf.NotAfter.Sub(now)/8, renewalFirst))
	p.tries++
	p.at = now.Add(time.Duration(float64(wait) * (0.75 + jitter()/2)))
}

// renewed takes that there is a new certificate, which will be in use in a moment.
func (p *renewalPlan) renewed(now time.Time) { p.at = now.Add(renewalMost) }

// keepCertificate renews our certificate in time, if the configuration says so, until
// ctx is done.
func (n *node) keepCertificate(ctx context.Context) {
	ticker := time.NewTicker(renewalInterval)
	defer ticker.Stop()
	var plan renewalPlan
	for {
		v := n.view.Load()
		now := time.Now()
		plan.due(v.trust.identity.Chain[0], rand.Float64)
		if v.trust.superseded() {
			plan.superseded(now, rand.Float64)
		}
		if v.cfg.RenewCertificate && !now.Before(plan.at) {
			if _, err := n.renewCertificate(ctx); err == nil {
				plan.renewed(now)
			} else if ctx.Err() == nil {
				plan.failed(now, rand.Float64)
				n.log.WarnContext(audit.Mark(ctx, audit.Record{Event: audit.RenewalAsked, Outcome: audit.Failed}), "Our certificate could not be renewed", "err", err, "again", plan.at.Sub(now).Round(time.Second), "hint", renewalHint(err))
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// renewalError is why there is no new certificate, and what can be done.
type renewalError struct {
	text, hint string
}

func (e *renewalError) Error() string { return e.text }

// Hint says what can be done.
func (e *renewalError) Hint() string { return e.hint }

var (
	errRenewing   = &renewalError{"a new certificate is being asked for already", "ask again in a moment"}
	errTooManyAsk = errors.New("the VPN's authority comes to no end")
)

// renewalHint says what can be done about an error of renewCertificate.
func renewalHint(err error) string {
	var own interface{ Hint() string }
	var refused *client.RefusedError
	switch {
	case errors.As(err, &own):
		return own.Hint()
	case hintOfRefusal(err) != "":
		return hintOfRefusal(err)
	case errors.Is(err, client.ErrNoChannel):
		return "the way to the authority is the authenticated channel to the RDV server: see rdv_auth, and \"campagnol status\""
	case errors.As(err, &refused) && refused.Reason == channel.Unreachable:
		return "the VPN's authority has to be running, and registered at the RDV server"
	}
	return "the log of the VPN's authority may say more"
}

// renewCertificate asks the VPN's authority for a new certificate, and writes it to
// the files of the configuration; since these are watched, it is used in a moment. It returns when the new one ends.
//
// After the authority has got another key, the certificate may be here before what lets
// us believe it: the bulletin, and the revocation list of the new key. These are waited
// for.
func (n *node) renewCertificate(ctx context.Context) (pki.Expiry, error) {
	if !n.renewing.TryLock() {
		return pki.Expiry{}, errRenewing
	}
	defer n.renewing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, renewalTime)
	defer cancel()
	for {
		v := n.view.Load()
		e, err := n.renewUnder(ctx, v)
		if !tooEarly(err) {
			return e, err
		}
		if !n.awaitTrust(ctx, v.trust) {
			return pki.Expiry{}, explainEarly(err)
		}
	}
}

// renewUnder is a try of renewCertificate, with what we trust now.
func (n *node) renewUnder(ctx context.Context, v *view) (pki.Expiry, error) {
	id := v.trust.identity
	x, err := n.newExchange(time.Now(), id)
	if err != nil {
		return pki.Expiry{}, err
	}
	if err := converse(ctx, x, v.client.AskAuthority); err != nil {
		return pki.Expiry{}, err
	}
	chain, key := x.Certificate()
	if key == nil {
		key = id.Key
	}
	next, err := pki.NewIdentity(chain, key)
	if err != nil {
		return pki.Expiry{}, err
	}
	if err := v.trust.policy.CheckRenewal(time.Now(), id, next); err != nil {
		return pki.Expiry{}, err
	}
	if err := id.Replace(next); err != nil {
		return pki.Expiry{}, cli.WithHint(err, "the client has to be able to write to %s and its folder", id.CertFile)
	}
	e := next.Expiries()[0]
	n.log.Log(audit.Mark(ctx, audit.Record{Event: audit.RenewalAsked, Name: e.Name, Serial: e.Serial, Expires: e.At}),
		logging.LevelNotice, "Our certificate was renewed: it is good until {expires}", "expires", e.At.UTC().Format(time.DateTime))
	return e, nil
}

// converse has an exchange with the authority, by ask. A question without an answer,
// or with one that is not believed, and one for which the authority has no time, is
// asked again until ctx is done.
func converse(ctx context.Context, x exchange, ask func(context.Context, []byte) ([]byte, error)) error {
	for range renewalSteps {
		if x.Done() {
			return nil
		}
		answer, err := ask(ctx, x.Next())
		if err != nil && !passing(err) {
			return err
		}
		if err == nil {
			doubts := x.Doubts()
			if err := x.Take(answer); err != nil {
				return err
			}
			if x.Doubts() == doubts {
				continue
			}
			if err = x.Doubt(); x.Doubts() >= maxDoubts {
				return err
			}
		}
		select {
		case <-time.After(renewPause):
		case <-ctx.Done():
			return fmt.Errorf("the VPN's authority: %w", err)
		}
	}
	return errTooManyAsk
}

// passing reports whether an error of asking the authority may be gone in a moment.
func passing(err error) bool {
	var refused *client.RefusedError
	return errors.As(err, &refused) && refused.Reason == channel.Busy || errors.Is(err, client.ErrNoAnswer) || errors.Is(err, client.ErrTooMany)
}

// renewOnRequest answers a request for a new certificate.
func (n *node) renewOnRequest(r *http.Request) (any, error) {
	e, err := n.renewCertificate(r.Context())
	switch {
	case errors.Is(err, errRenewing):
		return nil, &control.Error{Status: http.StatusConflict, Err: err, Text: err.Error(), Advice: errRenewing.hint}
	case err != nil:
		return nil, &control.Error{Status: http.StatusBadGateway, Err: err, Text: "our certificate could not be renewed: " + err.Error(), Advice: renewalHint(err)}
	}
	return &control.Renewal{Name: e.Name, Serial: e.Serial, Expires: e.At.UTC()}, nil
}
