package rdv

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"campagnol/pki"
	"campagnol/rdv/channel"
)

// An Object is something that all members should have.
type Object struct {
	Kind    channel.ObjectKind
	Content []byte // must not be changed any more
}

// An itemKey says which object takes the place of which: of revocation lists there
// is one for each signer, of everything else one.
type itemKey struct {
	kind   channel.ObjectKind
	signer pki.KeyID
}

func (a itemKey) compare(b itemKey) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), slices.Compare(a.signer[:], b.signer[:]))
}

// An item is an object as it is handed out.
type item struct {
	channel.Object
	key  itemKey
	data []byte
}

func newItem(key itemKey, data []byte) item {
	return item{
		Object: channel.Object{Kind: key.kind, Size: uint32(len(data)), Hash: sha256.Sum256(data)},
		key:    key,
		data:   data,
	}
}

// A catalog is all objects that there are. It does not change, so that control
// answers from it while the next one is made. A nil catalog has none.
type catalog struct {
	items  []item // by key, at most channel.MaxObjects
	before []item // of each key the one before: somebody may be in the middle of fetching it
	names  []channel.Object
	pieces int // that all items have
}

// with returns a catalog of items, which come after those of c: c itself if nothing
// changes. Those that are too many are left out.
func (c *catalog) with(items []item) *catalog {
	items = slices.SortedFunc(slices.Values(items), func(a, b item) int { return a.key.compare(b.key) })
	items = items[:min(len(items), channel.MaxObjects)]
	next := &catalog{items: items}
	for _, i := range items {
		next.names = append(next.names, i.Object)
		next.pieces += i.pieces()
	}
	if c == nil {
		if len(items) == 0 {
			return nil
		}
		return next
	}
	if slices.Equal(c.names, next.names) {
		return c
	}
	known := func(in []item, key itemKey) bool {
		return slices.ContainsFunc(in, func(i item) bool { return i.key == key })
	}
	for _, i := range c.items {
		if !slices.Contains(next.names, i.Object) {
			next.before = append(next.before, i)
		}
	}
	for _, i := range c.before {
		if !known(next.before, i.key) && known(items, i.key) && !slices.Contains(next.names, i.Object) {
			next.before = append(next.before, i)
		}
	}
	return next
}

// find returns an object, or nil if there is none (any more).
func (c *catalog) find(o channel.Object) *item {
	if c == nil {
		return nil
	}
	for _, list := range [][]item{c.items, c.before} {
		if n := slices.IndexFunc(list, func(i item) bool { return i.Object == o }); n >= 0 {
			return &list[n]
		}
	}
	return nil
}

// all returns the names of the objects, which must not be changed.
func (c *catalog) all() []channel.Object {
	if c == nil {
		return nil
	}
	return c.names
}

// pieces returns in how many CHUNKs an object fits.
func (i *item) pieces() int { return (len(i.data) + channel.MaxData - 1) / channel.MaxData }

// piece returns what a CHUNK from an offset has, or nil behind the end.
func (i *item) piece(offset uint32) []byte {
	if uint64(offset) >= uint64(len(i.data)) {
		return nil
	}
	rest := i.data[offset:]
	return rest[:min(len(rest), channel.MaxData)]
}
