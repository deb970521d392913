package client

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch/nat"
)

var hardOne = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent}

// TestDossiers: what an RDV has said of a peer is found by all its addresses.
func TestDossiers(t *testing.T) {
	var l dossiers
	four, six := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd09::2")
	if d := l.find(four); d != nil {
		t.Errorf("of nobody: %+v", d)
	}
	l.against(began, "a", six, UnknownPeer)
	if d := l.find(six); d == nil || d.words["a"] != (Word{"a", began, UnknownPeer}) {
		t.Errorf("after a refusal: %+v", d)
	}
	l.introduced(began.Add(time.Second), "a", four, []netip.Addr{six, four}, hardOne)
	l.introduced(began.Add(2*time.Second), "b", four, []netip.Addr{four, six}, nat.Behaviour{})
	d := l.find(six)
	if d == nil || d != l.find(four) || d.vpn != four || d.nat != hardOne || len(d.words) != 2 || d.words["a"].Why != "" {
		t.Fatalf("after two introductions: %+v", d)
	}
	for i := range 100 * maxServers {
		l.against(began, fmt.Sprint("server ", i), four, "no")
	}
	if len(d.words) > maxServers {
		t.Errorf("%d words are remembered", len(d.words))
	}
}

// TestDossiersAreBounded: the longest untouched is forgotten.
func TestDossiersAreBounded(t *testing.T) {
	var l dossiers
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }
	many := make([]netip.Addr, 1000)
	for i := range 4 * maxDossiers {
		l.introduced(began, "a", at(i), append(many, at(i)), nat.Behaviour{})
		l.of(at(0)).name = "zero"
	}
	if len(l.list) != maxDossiers || cap(l.list) > 4*maxDossiers {
		t.Errorf("%d dossiers in room for %d, want %d", len(l.list), cap(l.list), maxDossiers)
	}
	if d := l.find(at(0)); d == nil || d.name != "zero" {
		t.Errorf("the one that is touched again and again: %+v", d)
	}
	if d := l.find(at(1)); d != nil {
		t.Errorf("an old one: %+v", d)
	}
	for _, d := range l.list {
		if len(d.addrs) > MaxPeerAddrs {
			t.Fatalf("%d addresses of a peer", len(d.addrs))
		}
	}
}
