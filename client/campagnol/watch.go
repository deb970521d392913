package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"campagnol/conf"
	"campagnol/internal/audit"
	"campagnol/internal/filewatch"
	"campagnol/internal/logging"
	"campagnol/pki"
)

// expiryInterval is how often we look whether a certificate is about to end.
const expiryInterval = time.Hour

// trustFiles returns the files that decide whom we trust, and who we are.
func trustFiles(cfg *conf.Client) []string {
	files := []string{cfg.Certificate, cfg.Key, cfg.CACertificates, cfg.CRLFile, cfg.PolicyFile}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// watch reads keys, certificates, revocation lists and the policy again when
// their files have changed, uses what was received, and tells of
// certificates that are about to end, until ctx is done.
func (n *node) watch(ctx context.Context) {
	ticker := time.NewTicker(filewatch.Interval)
	defer ticker.Stop()
	var ends pki.ExpiryWatch
	var nextEnds time.Time
	for {
		n.mu.Lock()
		cfg, t := n.cfg, n.parts.trust
		n.mu.Unlock()
		if changed := n.watched.Look(trustFiles(cfg)); len(changed) > 0 {
			n.log.Log(ctx, logging.LevelNotice, "Changed: {files}; reading keys and certificates again", "files", strings.Join(changed, ", "))
			n.renew(ctx)
		}
		if now := time.Now(); !now.Before(nextEnds) {
			nextEnds = now.Add(expiryInterval)
			for _, text := range ends.Look(now, t.expiries()) {
				n.log.WarnContext(audit.Mark(ctx, audit.Record{Event: audit.CertificateExpires, Reason: text}), text)
			}
		}
		for ticked := false; !ticked; {
			select {
			case <-ticker.C:
				ticked = true
			case <-n.news:
				n.useNews(ctx)
			case <-ctx.Done():
				return
			}
		}
	}
}

// expiries returns the ends of all certificates that we depend on.
func (t *trust) expiries() []pki.Expiry {
	return slices.Concat(t.identity.Expiries(), t.policy.Expiries())
}
