//go:build long

package main

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"campagnol/internal/lab"
)

// TestUnitThroughput: what the unit takes away costs the data path nothing. A client under
// systemd, as an ordinary user, with the filters of the unit and in its view of the file
// system, and the same program as root without any of that, send to a third in turns.
func TestUnitThroughput(t *testing.T) {
	const rounds, size, least = 15, 150_000_000, 0.97
	v := newVPN(t)
	v.install("1.0.0")
	v.serve()
	v.configure("/etc/campagnol.conf", "alice", "10.9.0.1", "10.9.0.0/24", "")
	v.alice.run("systemctl", "start", "campagnol_rdv", "campagnol")
	carol, err := v.lab.AddHost("carol", nil)
	if err != nil {
		t.Fatal(err)
	}
	v.startBob("")
	v.start(carol, netip.MustParseAddr("10.9.0.3"), "")
	v.ping()
	rate := func(from *lab.Host) float64 {
		r, err := lab.Bulk(t.Context(), from.Node, v.bob.Node, netip.AddrPortFrom(bobVPN, 0), lab.BulkOptions{Size: size, NoChecksum: true})
		if err != nil {
			t.Fatal(err)
		}
		return float64(r.Bytes) / r.Took.Seconds()
	}
	for _, h := range []*lab.Host{v.alice.host, carol} {
		rate(h) // until the path is as fast as it gets
	}
	if got := v.alice.status(v.alice.process("campagnol"))["Seccomp"]; got != "2" {
		t.Fatalf("the client under systemd has no filter: Seccomp: %s", got)
	}
	var confined, root, ratios []float64
	for i := range rounds {
		// Who is first changes: the machine may get slower or faster meanwhile.
		var c, r float64
		if i%2 == 0 {
			c, r = rate(v.alice.host), rate(carol)
		} else {
			r, c = rate(carol), rate(v.alice.host)
		}
		confined, root, ratios = append(confined, c), append(root, r), append(ratios, c/r)
	}
	text := fmt.Sprintf("under systemd %.0f MB/s, as root %.0f MB/s, medians of %d rounds: %.3f", median(confined)/1e6, median(root)/1e6, rounds, median(ratios))
	t.Log(text)
	if median(ratios) < least {
		t.Errorf("%s, want at least %.2f", text, least)
	}
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
