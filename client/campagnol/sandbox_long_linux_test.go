//go:build long

package main

import (
	"net/netip"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/sandbox"
)

// TestUserThroughput: rights and folders that are given up cost the data path nothing.
// A confined client and one that is root send to a third in turns, and the best of
// each counts: a busy machine makes single ones slow, never fast.
func TestUserThroughput(t *testing.T) {
	const rounds, size, least = 9, 150_000_000, 0.97
	m := newMesh(t, lab.None, lab.None, lab.None)
	account, err := sandbox.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	m.giveTo(account)
	confined, root, to := m.peers[0], m.peers[1], m.peers[2]
	confined.configure("[CLIENT]\nuser = nobody\n")
	for _, p := range m.peers {
		p.start()
	}
	m.await(confined.process, "Going on as the user")
	confined.ping(to, 3)
	root.ping(to, 3)
	rate := func(p *meshPeer) float64 {
		r, err := lab.Bulk(t.Context(), p.Node, to.Node, netip.AddrPortFrom(to.vpn, 0), lab.BulkOptions{Size: size, NoChecksum: true})
		if err != nil {
			t.Fatal(err)
		}
		return float64(r.Bytes) / r.Took.Seconds()
	}
	var bestConfined, bestRoot float64
	for range rounds {
		bestConfined = max(bestConfined, rate(confined))
		bestRoot = max(bestRoot, rate(root))
	}
	ratio := bestConfined / bestRoot
	t.Logf("confined %.0f MB/s, as root %.0f MB/s: %.3f", bestConfined/1e6, bestRoot/1e6, ratio)
	if ratio < least {
		t.Errorf("a confined client carries %.3f of what one with all rights does, want at least %.2f", ratio, least)
	}
}
