// Package filewatch notices that files have changed, such as those that decide whom
// a program trusts.
package filewatch

import (
	"os"
	"time"
)

// Interval is how often to look. A list that revokes somebody takes effect within two
// of them.
const Interval = 2 * time.Second

// A Watch notices that files have been changed. What is being changed is left
// alone until two looks see the same, so that a certificate and its key, or half a
// file, are not read too early.
//
// It has no clock: who looks every [Interval] reads a file again within two of them.
// The zero Watch is ready. It belongs to one goroutine.
type Watch struct {
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

// Look returns the files that have changed since they were used and do not change
// any more, and takes them for used from now on.
func (w *Watch) Look(files []string) (changed []string) {
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

// stateOf looks at a file, or a directory, which changes with the names in it. One
// that cannot be seen is like one that is not there.
func stateOf(file string) fileState {
	info, err := os.Stat(file)
	if err != nil {
		return fileState{}
	}
	return fileState{exists: true, size: info.Size(), modified: info.ModTime(), info: info}
}
