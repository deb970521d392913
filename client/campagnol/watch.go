package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"campagnol/conf"
	"campagnol/internal/logging"
	"campagnol/pki"
)

const (
	// filesInterval is how often we look whether a file has changed that decides
	// whom we trust. A revoked peer loses its tunnel within two of them.
	filesInterval = 2 * time.Second

	// expiryInterval is how often we look whether a certificate is about to end.
	expiryInterval = time.Hour
)

// A fileWatch notices that files have been changed. What is being changed is left
// alone until two looks see the same, so that a certificate and its key, or half a
// file, are not read too early. It has no clock.
type fileWatch struct {
	used map[string]fileState // when they were read
	last map[string]fileState // at the last look
}

// A fileState is what a changed file has not in common with the one before.
type fileState struct {
	exists   bool
	size     int64
	modified time.Time
	info     os.FileInfo // for its identity
}

func (s fileState) same(o fileState) bool {
	return s.exists == o.exists && s.size == o.size && s.modified.Equal(o.modified) &&
		(s.info == nil || o.info == nil || os.SameFile(s.info, o.info))
}

// look returns the files that have changed since they were used and do not change
// any more, and takes them for used from now on.
func (w *fileWatch) look(files []string) (changed []string) {
	seen := map[string]fileState{}
	settled := true
	for _, f := range files {
		s := stateOf(f)
		seen[f] = s
		used, known := w.used[f]
		if !known {
			used = s // it was read a moment ago
		}
		if !s.same(used) {
			changed = append(changed, f)
			settled = settled && s.exists && s.same(w.last[f])
		}
		if w.used == nil {
			w.used = map[string]fileState{}
		}
		w.used[f] = used
	}
	for f := range w.used {
		if _, ok := seen[f]; !ok {
			delete(w.used, f) // it is not used any more
		}
	}
	w.last = seen
	if len(changed) == 0 || !settled {
		return nil
	}
	for _, f := range changed {
		w.used[f] = seen[f]
	}
	return changed
}

// stateOf looks at a file. One that cannot be seen is like one that is not there.
func stateOf(file string) fileState {
	info, err := os.Stat(file)
	if err != nil {
		return fileState{}
	}
	return fileState{exists: true, size: info.Size(), modified: info.ModTime(), info: info}
}

// trustFiles returns the files that decide whom we trust, and who we are.
func trustFiles(cfg *conf.Client) []string {
	files := []string{cfg.Certificate, cfg.Key, cfg.CACertificates, cfg.CRLFile, cfg.PolicyFile}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// watch reads keys, certificates, revocation lists and the policy again when
// their files have changed, uses revocation lists that were received, and tells of
// certificates that are about to end, until ctx is done.
func (n *node) watch(ctx context.Context) {
	ticker := time.NewTicker(filesInterval)
	defer ticker.Stop()
	var files fileWatch
	var ends pki.ExpiryWatch
	var nextEnds time.Time
	for {
		n.mu.Lock()
		cfg, t := n.cfg, n.parts.trust
		n.mu.Unlock()
		if changed := files.look(trustFiles(cfg)); len(changed) > 0 {
			n.log.Log(ctx, logging.LevelNotice, "Changed: {files}; reading keys and certificates again", "files", strings.Join(changed, ", "))
			n.renew(ctx)
		}
		if now := time.Now(); !now.Before(nextEnds) {
			nextEnds = now.Add(expiryInterval)
			for _, text := range ends.Look(now, t.expiries()) {
				n.log.Warn(text)
			}
		}
		for ticked := false; !ticked; {
			select {
			case <-ticker.C:
				ticked = true
			case <-n.news:
				n.useLists(ctx)
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
