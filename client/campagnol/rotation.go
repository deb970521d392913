package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"campagnol/internal/logging"
	"campagnol/pki"
)

// useReceived makes what was received count beside the files: the authorities that
// bulletins name, and the revocation lists.
func (t *trust) useReceived() {
	trail := t.bulletins.current()
	t.policy = t.files.WithAuthorities(trail.Added(), trail.Retired()).WithLists(t.lists.Lists())
}

// superseded reports whether our certificate is by a key of the authority that
// another takes the place of: the first that a bulletin names issues certificates.
func (t *trust) superseded() bool {
	trail := t.bulletins.current()
	b := trail.Current()
	if b == nil || len(b.CAs) == 0 {
		return false
	}
	leaf := t.identity.Chain[0]
	by := func(c *x509.Certificate) bool { return leaf.CheckSignatureFrom(c) == nil }
	return !by(b.CAs[0]) && (slices.ContainsFunc(b.CAs[1:], by) || slices.ContainsFunc(trail.Retired(), by))
}

// tellBulletin logs what a bulletin, which has just come into use, leaves to be done
// on this host: each once, for as long as it is so. n.mu is locked.
func (n *node) tellBulletin() {
	cfg, t := n.parts.cfg, n.parts.trust
	ignored := cfg.PolicyFile != "" && t.bulletin != nil && t.bulletin.Policy != ""
	if ignored && !n.told.ignored {
		n.log.Log(context.Background(), logging.LevelNotice, "The policy of this host is that in {file}, and not that of bulletin {number}", "file", cfg.PolicyFile, "number", t.bulletin.Number,
			"hint", "without policy_file in the configuration the VPN's policy is used")
	}
	superseded := t.superseded()
	if superseded && !n.told.superseded && !cfg.RenewCertificate {
		n.log.Warn("Our certificate is by the last key of the VPN's authority, and will not be accepted any more when that has retired", "certificate", t.identity.CertFile,
			"hint", `"campagnol renew" on this host, or renew_certificate = yes in its configuration, gets one by the new key`)
	}
	n.told.ignored, n.told.superseded = ignored, superseded
}

// explainServer adds what can be done if the rendezvous server is refused because of
// an authority that we do not know: it may be ours, with a key that it has got while
// this host was away.
func (t *trust) explainServer(err error) error {
	var r *pki.Refusal
	if !errors.As(err, &r) || r.Reason != pki.UnknownCA {
		return err
	}
	explained := *r
	explained.Remedy = fmt.Sprintf("if the VPN's authority has got another key while this host was away, add its new certificate (cacert.pem in the folder of the authority) to %s, "+
		"and get a certificate by the new key: \"campagnol ca issue NAME --renew\" there and copy it here, or \"campagnol ca invite NAME --renew\" there and \"campagnol join\" here", t.cas)
	return &explained
}
