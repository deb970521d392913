package lab

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"
)

// arrives reports whether a datagram of one host reaches another, by some address of
// that, within a moment.
func arrives(t *testing.T, from, to *Node, at netip.Addr) bool {
	t.Helper()
	in, err := to.ListenUDP(netip.AddrPortFrom(at, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := from.ListenUDP(netip.AddrPortFrom(unspecified(at), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteToUDPAddrPort([]byte("there"), netip.MustParseAddrPort(in.LocalAddr().String())); err != nil {
		t.Fatal(err)
	}
	in.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	b := make([]byte, 10)
	n, err := in.Read(b)
	return err == nil && bytes.Equal(b[:n], []byte("there"))
}

// lost returns what an outage has lost.
func (o *Outage) lost(t *testing.T) uint64 {
	t.Helper()
	n, err := o.Lost()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLoseUDP: of a host behind a NAT no UDP gets out, or in, and everything else does;
// until it ends.
func TestLoseUDP(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{IPv6: true})
	nat, err := l.AddNAT("nat", NATOptions{Kind: FullCone})
	if err != nil {
		t.Fatal(err)
	}
	a, b := addHost(t, l, "a", nat), addHost(t, l, "b", nil)
	if !arrives(t, a.Node, b.Node, b.Addr()) || !arrives(t, a.Node, b.Node, b.Addr6()) {
		t.Fatal("UDP does not get through before anything is lost")
	}
	o, err := nat.LoseUDP()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []netip.Addr{b.Addr(), b.Addr6()} {
		before := o.lost(t)
		if arrives(t, a.Node, b.Node, at) {
			t.Errorf("UDP gets through to %v", at)
		}
		if o.lost(t) == before {
			t.Errorf("what was sent to %v is not counted", at)
		}
		wantPing(t, a, at, true)
	}
	if _, err := Bulk(t.Context(), a.Node, b.Node, netip.AddrPortFrom(b.Addr(), 0), BulkOptions{Size: 100_000}); err != nil {
		t.Errorf("TCP does not get through: %v", err)
	}
	// From outside: the NAT is a full cone, and would let it in.
	before := o.lost(t)
	if arrives(t, b.Node, nat.Node, nat.Addr()) || o.lost(t) == before {
		t.Error("UDP gets in, or is not counted")
	}
	if err := o.End(); err != nil {
		t.Fatal(err)
	}
	if !arrives(t, a.Node, b.Node, b.Addr()) {
		t.Error("UDP does not get through after the end")
	}
	if err := o.End(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a second end: %v, want an error that it is not there", err)
	}
	if _, err := o.Lost(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lost after the end: %v, want an error that it is not there", err)
	}
}

// TestSeparate: two NATs do not reach each other, and both reach a third host.
func TestSeparate(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{IPv6: true})
	a, b, c := addHost(t, l, "a", nil), addHost(t, l, "b", nil), addHost(t, l, "c", nil)
	o, err := Separate(a.Node, b.Node)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		from, to *Host
		arrives  bool
	}{{a, b, false}, {b, a, false}, {a, c, true}, {c, a, true}, {b, c, true}, {c, b, true}} {
		for _, at := range []netip.Addr{v.to.Addr(), v.to.Addr6()} {
			before := o.lost(t)
			if got := arrives(t, v.from.Node, v.to.Node, at); got != v.arrives {
				t.Errorf("%s to %s at %v: arrives %v, want %v", v.from.Name(), v.to.Name(), at, got, v.arrives)
			}
			if got := o.lost(t) > before; got == v.arrives {
				t.Errorf("%s to %s at %v: counted as lost %v", v.from.Name(), v.to.Name(), at, got)
			}
		}
	}
	if err := o.End(); err != nil {
		t.Fatal(err)
	}
	wantPing(t, a, b.Addr(), true)
	wantPing(t, b, a.Addr6(), true)
}
