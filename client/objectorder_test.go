package client

import (
	"slices"
	"testing"

	"campagnol/rdv/channel"
)

// TestBulletinFirst: a bulletin is fetched before the lists that were named before it,
// since it may name the authority that has signed them.
func TestBulletinFirst(t *testing.T) {
	p := newObjectPlay(t)
	list, bulletin := nameOf(blob(100, 1)), channel.Object{Kind: channel.Bulletin, Size: 10}
	p.hear(channel.Message{Type: channel.Notice, ID: 1, Objects: []channel.Object{list, bulletin}})
	p.hear(channel.Message{Type: channel.Notice, ID: 2, Objects: []channel.Object{nameOf(blob(100, 2)), list}})
	var kinds []channel.ObjectKind
	for _, o := range p.m.fetcher.offers {
		kinds = append(kinds, o.Kind)
	}
	if want := []channel.ObjectKind{channel.Bulletin, channel.CRL, channel.CRL}; !slices.Equal(kinds, want) || p.m.fetcher.offers[2] != list {
		t.Errorf("fetched are %v, want %v, and the newest list first", kinds, want)
	}
}
