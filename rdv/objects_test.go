package rdv

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"campagnol/pki"
	"campagnol/rdv/channel"
)

// told expects a NOTICE of so many objects, answers it, and returns them.
func (d *dialer) told(count int) []channel.Object {
	d.t.Helper()
	m := d.wants(channel.Notice)
	if len(m.Objects) != count {
		d.t.Errorf("told of %d objects, want %d", len(m.Objects), count)
	}
	d.say(channel.Message{Type: channel.Done, ID: m.ID})
	return m.Objects
}

// bulletinOf returns an item with a content of so many bytes, which begin with x.
func bulletinOf(x byte, size int) item {
	data := bytes.Repeat([]byte{x}, size)
	return newItem(itemKey{kind: channel.Bulletin}, data)
}

func listOf(signer, x byte, size int) item {
	return newItem(itemKey{channel.CRL, pki.KeyID{signer}}, bytes.Repeat([]byte{x}, size))
}

func TestCatalog(t *testing.T) {
	var none *catalog
	if c := none.with(nil); c != nil || none.find(channel.Object{}) != nil || none.all() != nil {
		t.Error("an empty catalog has something")
	}
	first := none.with([]item{bulletinOf(1, 10), listOf(2, 2, 2000), listOf(1, 1, 1024)})
	want := []channel.Object{listOf(1, 1, 1024).Object, listOf(2, 2, 2000).Object, bulletinOf(1, 10).Object}
	if !slices.Equal(first.all(), want) || first.pieces != 1+2+1 {
		t.Errorf("catalog %+v with %d pieces", first.all(), first.pieces)
	}
	if again := first.with([]item{listOf(1, 1, 1024), bulletinOf(1, 10), listOf(2, 2, 2000)}); again != first {
		t.Error("the same objects in another order make another catalog")
	}
	// One changes, then another, then the first again: of each the one before stays.
	second := first.with([]item{bulletinOf(1, 10), listOf(1, 9, 1024), listOf(2, 2, 2000)})
	third := second.with([]item{bulletinOf(2, 10), listOf(1, 9, 1024), listOf(2, 2, 2000)})
	fourth := third.with([]item{bulletinOf(2, 10), listOf(1, 10, 1024), listOf(2, 2, 2000)})
	for _, c := range []struct {
		name string
		in   *catalog
		what item
		want bool
	}{
		{"the list before", second, listOf(1, 1, 1024), true},
		{"the list before, when something else changes", third, listOf(1, 1, 1024), true},
		{"the bulletin before", third, bulletinOf(1, 10), true},
		{"the bulletin before, when something else changes", fourth, bulletinOf(1, 10), true},
		{"the list before again", fourth, listOf(1, 9, 1024), true},
		{"the list before that", fourth, listOf(1, 1, 1024), false},
		{"a list that never changes", fourth, listOf(2, 2, 2000), true},
		{"what never was", fourth, listOf(2, 5, 2000), false},
		{"another kind", fourth, newItem(itemKey{kind: channel.CRL}, bulletinOf(2, 10).data), false},
	} {
		i := c.in.find(c.what.Object)
		if (i != nil) != c.want || i != nil && sha256.Sum256(i.data) != c.what.Hash {
			t.Errorf("%s: found %v, want %v", c.name, i != nil, c.want)
		}
	}
	if len(fourth.before) > 2 || len(fourth.all()) != 3 {
		t.Errorf("%d objects are kept, %d named", len(fourth.before), len(fourth.all()))
	}
	if gone := fourth.with([]item{bulletinOf(2, 10)}); len(gone.all()) != 1 || gone.find(listOf(1, 10, 1024).Object) == nil {
		t.Error("a list that is withdrawn cannot be fetched to the end")
	}
}

// TestCatalogBounded: a message has room for so many objects.
func TestCatalogBounded(t *testing.T) {
	var items []item
	for i := range byte(channel.MaxObjects + 3) {
		items = append(items, listOf(i, i, 10))
	}
	c := (*catalog)(nil).with(items)
	if len(c.all()) != channel.MaxObjects {
		t.Errorf("%d objects, want %d", len(c.all()), channel.MaxObjects)
	}
}

func TestPieces(t *testing.T) {
	for _, c := range []struct{ size, pieces int }{{1, 1}, {1023, 1}, {1024, 1}, {1025, 2}, {4096, 4}} {
		i := bulletinOf(7, c.size)
		var got []byte
		for n := range c.pieces {
			got = append(got, i.piece(uint32(n*channel.MaxData))...)
		}
		if i.pieces() != c.pieces || !bytes.Equal(got, i.data) {
			t.Errorf("%d bytes: %d pieces, %d bytes in them", c.size, i.pieces(), len(got))
		}
		for _, offset := range []uint32{uint32(c.size), uint32(c.size) + 1, 1<<32 - 1} {
			if b := i.piece(offset); b != nil {
				t.Errorf("there are %d bytes at %d of %d", len(b), offset, c.size)
			}
		}
		if b := i.piece(uint32(c.size - 1)); len(b) != 1 {
			t.Errorf("%d bytes at the last offset", len(b))
		}
	}
}
