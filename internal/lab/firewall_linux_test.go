package lab

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connects reports whether a host gets a connection to a port of another one.
func connects(t *testing.T, from, to *Node, port uint16) bool {
	t.Helper()
	ln, err := to.ListenTCP(netip.AddrPortFrom(to.Addr(), port))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	conn, err := from.DialTCP(ctx, ln.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// TestLetOut: of what hosts behind a firewall send only that passes which it lets out,
// with the answers to it; another set of rules takes the place of the first.
func TestLetOut(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	nat, err := l.AddNAT("nat", NATOptions{Kind: FullCone})
	if err != nil {
		t.Fatal(err)
	}
	a, proxy, b := addHost(t, l, "a", nat), addHost(t, l, "proxy", nat), addHost(t, l, "b", nil)
	if !connects(t, a.Node, b.Node, 80) || !arrives(t, a.Node, b.Node, b.Addr()) {
		t.Fatal("nothing gets out before there is a firewall")
	}
	if err := nat.LetOut(Match{Protocol: unix.IPPROTO_TCP, DstPort: 443}); err != nil {
		t.Fatal(err)
	}
	if !connects(t, a.Node, b.Node, 443) {
		t.Error("TCP to port 443 does not get out")
	}
	if connects(t, a.Node, b.Node, 80) {
		t.Error("TCP to port 80 gets out")
	}
	if arrives(t, a.Node, b.Node, b.Addr()) {
		t.Error("UDP gets out")
	}
	if err := nat.LetOut(Match{Src: netip.PrefixFrom(proxy.Addr(), 32)}); err != nil {
		t.Fatal(err)
	}
	if !connects(t, proxy.Node, b.Node, 80) {
		t.Error("the proxy does not get out")
	}
	if connects(t, a.Node, b.Node, 443) {
		t.Error("another host than the proxy gets out")
	}
	if err := nat.LetOut(Match{DstPort: 443}); err == nil {
		t.Error("a port without a protocol is no error")
	}
}
