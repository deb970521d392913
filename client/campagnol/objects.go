package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"campagnol/client"
	"campagnol/internal/audit"
	"campagnol/internal/logging"
	"campagnol/pki"
	"campagnol/pki/bulletin"
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
	case o.Kind == channel.Bulletin:
		return m.bulletins.has(o.Hash)
	}
	return true // nothing can be done with it
}

// Take takes an object. What is of use is stored, and the node told.
func (m memberObjects) Take(o channel.Object, data []byte) (err error) {
	if o.Kind == channel.CRL {
		err = m.takeList(time.Now(), data)
	} else {
		err = m.takeBulletin(time.Now(), data)
	}
	const refused = "What the RDV server has for all members is not used"
	ctx := audit.Mark(context.Background(), audit.Record{Event: audit.ObjectRefused, Outcome: audit.Refused})
	switch {
	case errors.Is(err, errUnsaved):
		m.log.Warn("What the RDV server has sent for all members cannot be written", "err", err)
	case errors.Is(err, pki.ErrOldList), errors.Is(err, bulletin.ErrOld):
		m.log.Info(refused, "err", err)
		return err
	case errors.Is(err, pki.ErrForeignList), errors.Is(err, bulletin.ErrUntrusted):
		m.log.WarnContext(ctx, refused, "err", err, "hint", "if its authority is one of this VPN, add the certificate to ca_certificates")
		return err
	case err != nil:
		var own interface{ Hint() string }
		if errors.As(err, &own) {
			m.log.WarnContext(ctx, refused, "err", err, "hint", own.Hint())
		} else {
			m.log.WarnContext(ctx, refused, "err", err)
		}
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
	// As bulletins have it now, which may not be in use yet. The last list of an
	// authority that has retired is kept, though it says nothing to us.
	known := m.files.WithAuthorities(m.bulletins.current().Added(), nil).WithLists(m.lists.Lists())
	if err := known.Accept(now, l); err != nil {
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

// useNews makes the revocation lists and the bulletin that were received count: peers
// that they revoke, or that the policy keeps from us, lose their tunnels. Of the
// configuration only policy_file is read again, so that nothing can be in the way.
func (n *node) useNews(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.parts
	t := *p.trust
	if err := t.lists.Refresh(); err != nil { // a trust before this one may have put it there
		n.log.Warn("Revocation lists that were received cannot be read", "err", err)
	}
	if err := t.bulletins.refresh(); err != nil {
		n.log.Warn("The bulletin that was received cannot be read", "err", err)
	}
	t.useReceived()
	if b := t.bulletins.current().Current(); b != nil && (t.bulletin == nil || b.Number != t.bulletin.Number) {
		if err := t.loadRules(p.cfg, n.warn); err != nil {
			n.log.Error("The policy cannot be used; it stays as it was", "err", err)
		}
	}
	if err := p.client.Apply(ctx, p.settings(p.cfg, &t)); err != nil {
		if ctx.Err() == nil { // another client begins, with what is stored
			n.log.Info("The client does not take what was received just now", "err", err)
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
