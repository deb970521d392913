package rdv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/policy"
	"campagnol/rdv/channel"
)

// maxAhead is how far in the future a revocation list may have been made: clocks
// differ. What lies further ahead would keep later lists out.
const maxAhead = 10 * time.Minute

// A library decides which objects there are. They come from files, by the [Trust] of
// the server, and from the authority, which has to have signed revocation lists; and
// of each signer the newest counts. What it decides is published at once, as the
// trust that the server acts on and the catalog that it hands out, neither of which
// changes any more.
//
// It is safe for concurrent use. What takes long is done before its lock is held.
type library struct {
	log     *slog.Logger
	changed func() // there is another trust, or another catalog
	trust   atomic.Pointer[Trust]
	catalog atomic.Pointer[catalog]

	mu    sync.Mutex
	base  *Trust                // as the files have it; nil: there are no channels
	files []held                // its lists
	taken map[pki.KeyID][2]held // from the authority: the newest, and the one before
	trail *bulletin.Trail       // what bulletins say; nil with base
	rules *policy.Policy        // of the newest; nil: it has none
	known *pki.Policy           // who may sign lists: also authorities that have retired
}

// A held is a revocation list whose signer is known; list nil: none.
type held struct {
	list   *pki.List
	signer pki.KeyID
	item   item
}

func newLibrary(log *slog.Logger, changed func()) *library {
	return &library{log: log, changed: changed, taken: map[pki.KeyID][2]held{}}
}

// setTrust takes what the files have. A list that cannot be handed out still counts
// for the server as it always did.
func (l *library) setTrust(now time.Time, t *Trust) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.trail
	l.base, l.trail = t, nil
	if t != nil {
		roots := t.authorities(now)
		l.trail = bulletin.NewTrail(roots)
		if before != nil {
			l.trail = before.Under(roots)
		}
		if before != nil && before.Current() != nil && l.trail.Current() == nil {
			l.log.Warn("The bulletin is not used any more: none of the authorities of this server has signed it", "number", before.Current().Number)
		}
	}
	if l.trail == nil || l.trail.Current() == nil {
		l.rules = nil
	}
	l.reviewLocked()
	l.publishLocked()
}

// reviewLocked looks again who may sign lists, and which of those that are held it has.
// It takes a while, which nobody waits for: lists and bulletins are rare.
func (l *library) reviewLocked() {
	l.files, l.known = nil, nil
	if l.base == nil {
		return
	}
	l.known = l.base.policy.WithAuthorities(l.trail.Added(), nil)
	for _, list := range l.base.policy.Lists() {
		h, err := examine(l.known, list)
		if err != nil {
			l.log.Warn("A revocation list of the server is not passed on to the clients", "err", err)
			continue
		}
		l.files = append(l.files, h)
	}
	for signer, pair := range l.taken {
		if _, err := l.known.SignerOf(pair[0].list); err != nil { // its authority is trusted no longer
			delete(l.taken, signer)
		}
	}
}

// examine makes sure that a list can be handed out.
func examine(p *pki.Policy, list *pki.List) (held, error) {
	if n := len(list.Raw()); n > channel.MaxObject {
		return held{}, fmt.Errorf("rdv: the revocation list of %s has %d bytes; at most %d can be handed out", list.Issuer(), n, channel.MaxObject)
	}
	signer, err := p.SignerOf(list)
	if err != nil {
		return held{}, err
	}
	return held{list, signer, newItem(itemKey{channel.CRL, signer}, list.Raw())}, nil
}

// Errors of take.
var (
	errNoChannels = errors.New("rdv: the server has no certificate")
	errKind       = errors.New("rdv: an object of a kind that the server does not know")
	errSize       = errors.New("rdv: an object without content, or larger than objects may be")
)

// A staleError says that a list is not newer than the one that is held.
type staleError struct{ offered, held *pki.List }

func (e *staleError) Error() string {
	return fmt.Sprintf("rdv: the revocation list %s is not newer than %s, which is held", describeList(e.offered), describeList(e.held))
}

// describeList names a list for people.
func describeList(l *pki.List) string {
	return fmt.Sprintf("%s of %s of %s", cmp.Or(l.Number(), "without number"), l.Issuer(), l.ThisUpdate().UTC().Format(time.RFC3339))
}

// take takes an object that somebody has offered, of whom only the log is told. It
// returns false if it is held already.
func (l *library) take(now time.Time, o Object, from string) (changed bool, err error) {
	if len(o.Content) == 0 || len(o.Content) > channel.MaxObject {
		return false, errSize
	}
	switch o.Kind {
	case channel.CRL:
		return l.takeList(now, o.Content, from)
	case channel.Bulletin:
		return l.takeBulletin(now, o.Content, from)
	}
	return false, errKind
}

func (l *library) takeList(now time.Time, der []byte, from string) (changed bool, err error) {
	if i := l.catalog.Load().find(objectOf(channel.CRL, der)); i != nil && bytes.Equal(i.data, der) {
		return false, nil
	}
	list, err := pki.ParseList(der, "from "+from)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	known := l.known
	l.mu.Unlock()
	if known == nil {
		return false, errNoChannels
	}
	next, err := examine(known, list)
	if err != nil {
		return false, err
	}
	if at := list.ThisUpdate(); at.After(now.Add(maxAhead)) {
		return false, fmt.Errorf("rdv: the revocation list %s is from the future: compare the clocks", describeList(list))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.known == nil:
		return false, errNoChannels
	case l.known != known: // other files, or another bulletin, in the meantime
		if _, err := l.known.SignerOf(list); err != nil {
			return false, err
		}
	}
	if newest := l.newestLocked(next.signer); newest.list != nil && !list.Supersedes(newest.list) {
		return false, &staleError{list, newest.list}
	}
	l.taken[next.signer] = [2]held{next, l.taken[next.signer][0]}
	l.publishLocked()
	l.log.InfoContext(audit.Mark(context.Background(), audit.Record{Event: audit.ListChanged, Authority: list.Issuer(), Number: list.Number()}),
		"There is a new revocation list from {name}: {list}; it revokes {count} certificates",
		"name", from, "list", describeList(list), "count", list.Len())
	return true, nil
}

func objectOf(kind channel.ObjectKind, data []byte) channel.Object {
	return newItem(itemKey{kind: kind}, data).Object
}

// newestLocked returns the newest list of a signer.
func (l *library) newestLocked(signer pki.KeyID) held {
	newest := l.taken[signer][0]
	for _, h := range l.files {
		if h.signer == signer && (newest.list == nil || h.list.Supersedes(newest.list)) {
			newest = h
		}
	}
	return newest
}

// publishLocked publishes what follows from what is held.
func (l *library) publishLocked() {
	if l.base == nil {
		l.trust.Store(nil)
		l.catalog.Store(nil)
		l.changed()
		return
	}
	var lists []*pki.List
	for _, pair := range l.taken {
		for _, h := range pair {
			if h.list != nil {
				lists = append(lists, h.list)
			}
		}
	}
	l.trust.Store(l.base.withBulletins(l.trail, l.rules).withLists(lists))
	l.publishObjectsLocked()
}

// publishObjectsLocked publishes the catalog alone.
func (l *library) publishObjectsLocked() {
	signers := map[pki.KeyID]bool{}
	for _, h := range l.files {
		signers[h.signer] = true
	}
	for signer := range l.taken {
		signers[signer] = true
	}
	var items []item
	for signer := range signers {
		items = append(items, l.newestLocked(signer).item)
	}
	room := channel.MaxObjects
	raw := l.trail.Raw()
	if raw != nil {
		room--
	}
	if len(items) > room {
		l.log.Warn("There are more revocation lists than can be passed on to the clients", "count", len(items), "max", room)
		items = l.mostNeededLocked(items)[:room]
	}
	if raw != nil {
		items = append(items, newItem(itemKey{kind: channel.Bulletin}, raw))
	}
	l.catalog.Store(l.catalog.Load().with(items))
	l.changed()
}

// mostNeededLocked sorts revocation lists: those of authorities that have retired come
// last.
func (l *library) mostNeededLocked(lists []item) []item {
	retired := map[pki.KeyID]bool{}
	for _, c := range l.trail.Retired() {
		retired[pki.KeyOf(c)] = true
	}
	slices.SortFunc(lists, func(a, b item) int {
		switch {
		case retired[a.key.signer] == retired[b.key.signer]:
			return a.key.compare(b.key)
		case retired[a.key.signer]:
			return 1
		}
		return -1
	})
	return lists
}

// withLists returns a trust with more revocation lists.
func (t *Trust) withLists(lists []*pki.List) *Trust {
	if len(lists) == 0 {
		return t
	}
	next := *t
	next.policy = t.policy.WithLists(lists)
	return &next
}

// received returns what has come from the authority, to be kept.
func (l *library) received() []item {
	l.mu.Lock()
	defer l.mu.Unlock()
	var items []item
	for _, pair := range l.taken {
		items = append(items, pair[0].item)
	}
	if l.trail != nil && l.trail.Current() != nil {
		items = append(items, item{key: itemKey{kind: channel.Bulletin}, data: l.trail.Append(nil)})
	}
	return slices.SortedFunc(slices.Values(items), func(a, b item) int { return a.key.compare(b.key) })
}
