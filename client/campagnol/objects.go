package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"campagnol/client"
	"campagnol/internal/logging"
	"campagnol/pki"
	"campagnol/rdv/channel"
)

// listFolder returns the folder for revocation lists that the rendezvous server has
// sent.
func listFolder(stateDir string) string { return filepath.Join(stateDir, "crls") }

// A memberObjects takes what all members should have from the rendezvous server. What
// comes from there counts only if the VPN's authority has signed it.
type memberObjects struct{ *trust }

// objects returns what takes objects for t.
func (t *trust) objects() client.ObjectStore {
	if t.lists == nil {
		return nil
	}
	return memberObjects{t}
}

// Has reports whether an object need not be fetched.
func (m memberObjects) Has(o channel.Object) bool {
	switch {
	case o.Kind == channel.CRL:
		return m.policy.HasList(o.Hash) || m.lists.Has(o.Hash)
	case o.Kind == channel.Bulletin && m.bulletins != nil:
		return m.bulletins.has(o.Hash)
	}
	return true // nothing can be done with it
}

// Take takes an object. What is of use is stored, and the node told.
func (m memberObjects) Take(o channel.Object, data []byte) (err error) {
	if o.Kind == channel.CRL {
		err = m.takeList(time.Now(), data)
	} else {
		err = m.bulletins.keep(time.Now(), data)
	}
	const refused = "What the RDV server has for all members is not used"
	switch {
	case errors.Is(err, errUnsaved):
		m.log.Warn("What the RDV server has sent for all members cannot be written", "err", err)
	case errors.Is(err, pki.ErrOldList), errors.Is(err, errOldBulletin):
		m.log.Info(refused, "err", err)
		return err
	case errors.Is(err, pki.ErrForeignList):
		m.log.Warn(refused, "err", err, "hint", "if its authority is one of this VPN, add the certificate to ca_certificates")
		return err
	case err != nil:
		m.log.Warn(refused, "err", err)
		return err
	}
	select {
	case m.news <- struct{}{}:
	default:
	}
	return nil
}

// takeList takes a revocation list.
func (m memberObjects) takeList(now time.Time, der []byte) error {
	l, err := pki.ParseList(der, "received from the RDV server")
	if err != nil {
		return err
	}
	if err := m.policy.Accept(now, l); err != nil {
		return err
	}
	err = m.lists.Keep(l)
	if errors.Is(err, pki.ErrOldList) {
		return err
	}
	m.log.Log(context.Background(), logging.LevelNotice, "Revocation list {number} of {authority} received from the RDV server: {certificates} certificates",
		"number", l.Number(), "authority", l.Issuer(), "certificates", l.Len())
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsaved, err)
	}
	return nil
}

// useLists makes the revocation lists that were received count: peers that they
// revoke lose their tunnels. No file is read again, so that none can be in the way.
func (n *node) useLists(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.parts
	t := *p.trust
	t.policy = t.policy.WithLists(t.lists.Lists())
	if err := p.client.Apply(ctx, p.settings(p.cfg, &t)); err != nil {
		if ctx.Err() == nil { // another client begins, with what is stored
			n.log.Info("The client does not take the revocation list just now", "err", err)
		}
		return
	}
	p.trust = &t
	n.show()
	t.reportRevoked(time.Now())
}

// reportRevoked logs that our own certificate has been revoked, and reports whether
// it has.
func (t *trust) reportRevoked(now time.Time) bool {
	var r *pki.Refusal
	if err := t.policy.VerifyOwn(now, t.identity); !errors.As(err, &r) || r.Reason != pki.Revoked {
		return false
	}
	t.log.Error("Our own certificate has been revoked, so that no peer talks to us", "certificate", r.Subject, "serial", r.Serial, "err", r.Detail,
		"hint", "ask whoever runs the VPN's authority why; a new key and certificate (campagnol ca issue) let this host in again")
	return true
}
