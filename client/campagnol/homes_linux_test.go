package main

import (
	"strings"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// TestHomeToHome does what docs/home-to-home.md says, for homes behind NATs between which
// there is a direct path, and for such between which there is none.
func TestHomeToHome(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "curl", "curl")
	for _, c := range []struct {
		kind lab.Kind
		open func(t *testing.T) *guide.Guide
	}{
		{lab.PortRestricted, func(t *testing.T) *guide.Guide {
			return guide.Open(t, "docs/home-to-home.md", "Set it up", "Reach the NAS", "Most routers: a direct path")
		}},
		{lab.Symmetric, func(t *testing.T) *guide.Guide {
			return guide.Open(t, "docs/home-to-home.md", "Set it up", "Reach the NAS", "Two symmetric NATs: by the relay")
		}},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			t.Parallel()
			v := newVillage(t)
			v.host("nas", c.kind)
			v.host("desk", c.kind)
			const page = "the page of the NAS"
			v.serveWeb("nas", 80, page)
			r := readIn(v, c.open(t))
			if out := r.through("curl"); !strings.Contains(out, page) {
				t.Errorf("curl prints %q, want %q", out, page)
			}
			r.all()
			peers := v.run("desk", "campagnol peers")
			server := v.hosts[villageServer].Addr().String()
			if relayed := strings.Contains(peers, "(relay)") || strings.Contains(peers, server); relayed != (c.kind == lab.Symmetric) {
				t.Errorf("by a relay: %v, behind two NATs of kind %v:\n%s", relayed, c.kind, peers)
			}
		})
	}
}
