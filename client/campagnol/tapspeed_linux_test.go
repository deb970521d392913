//go:build long

package main

import (
	"net/netip"
	"slices"
	"testing"

	"campagnol/internal/lab"
)

// TestTAPSpeed: TCP over Ethernet is at least 80 % as fast as over IP. The two take
// turns, and the machine should have nothing else to do.
func TestTAPSpeed(t *testing.T) {
	const rounds, size, atLeast = 7, 250_000_000, 0.8
	tun := newMesh(t, lab.None, lab.None)
	for _, p := range tun.peers {
		p.start()
	}
	tun.peers[0].ping(tun.peers[1], 5)
	tap := newTAPNet(t, "", lab.None, lab.None).mesh
	rates := map[*mesh][]float64{}
	for range rounds {
		for _, m := range []*mesh{tun, tap} {
			a, b := m.peers[0], m.peers[1]
			r, err := lab.Bulk(t.Context(), a.Node, b.Node, netip.AddrPortFrom(b.vpn, 0), lab.BulkOptions{Size: size, NoChecksum: true})
			if err != nil {
				t.Fatal(err)
			}
			rates[m] = append(rates[m], r.Rate()/1e6)
		}
	}
	slices.Sort(rates[tun])
	slices.Sort(rates[tap])
	part := rates[tap][rounds/2] / rates[tun][rounds/2]
	t.Logf("in Mbit/s over IP %.0f, over Ethernet %.0f: %.0f %%", rates[tun], rates[tap], 100*part)
	if part < atLeast {
		t.Errorf("over Ethernet there are %.0f %% of the rate over IP, want %.0f %% at least", 100*part, 100*atLeast)
	}
}
