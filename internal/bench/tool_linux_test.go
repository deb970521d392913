package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"campagnol/conf"
	"campagnol/internal/lab"
	"campagnol/pki/ca"
)

// TestTools checks that every name is a tool that says what it is.
func TestTools(t *testing.T) {
	t.Parallel()
	o := options{nebula: "v1.2.3"}
	versions := map[string]string{toolNebula: o.nebula, toolNebulaTuned: o.nebula, toolWireGuard: wireGuardVersion, toolDirect: ""}
	titles := map[string]bool{}
	for _, name := range toolNames() {
		tool, err := newTool(name, o, t.TempDir())
		if err != nil {
			t.Errorf("tool %s: %v", name, err)
			continue
		}
		info := tool.info()
		if info.Name != name || info.Title == "" || info.Settings == "" || titles[info.Title] {
			t.Errorf("tool %s says that it is %+v", name, info)
		}
		titles[info.Title] = true
		if want, ok := versions[name]; ok && info.Version != want {
			t.Errorf("tool %s has the version %q, want %q", name, info.Version, want)
		}
	}
	if tool, err := newTool("tinc", o, t.TempDir()); err == nil {
		t.Errorf("tinc is a tool: %v", tool)
	}
}

// TestCampagnolConfig checks that our own configuration is one that the client
// reads without a warning, and that it leaves the rest to the defaults.
func TestCampagnolConfig(t *testing.T) {
	t.Parallel()
	text := campagnolConfig(netip.MustParseAddr("198.51.100.1"), insideA, &ca.Issued{CertFile: "/x/a.crt", KeyFile: "/x/a.key", CAFile: "/x/ca.crt"}, "/x/a.state")
	c, warnings, err := conf.ParseClient("a.conf", []byte(text))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("warnings %v, error %v, in\n%s", warnings, err, text)
	}
	if got, want := c.VPNIP, insideA; got != want {
		t.Errorf("the address inside is %v, want %v", got, want)
	}
	if got, want := c.Network, netip.MustParsePrefix("10.9.0.0/24"); got != want {
		t.Errorf("the network is %v, want %v", got, want)
	}
}

func TestFeatures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path     string
		off, on  []string
		nothings bool // is changed
	}{
		{path: pathVeth, nothings: true},
		{path: pathPackets, off: append([]string{lab.FeatureGRO, lab.FeatureGSO, lab.FeatureUDPSegmentation}, lab.FeaturesTSO...)},
		{path: pathPacketsGRO, off: append([]string{lab.FeatureGSO, lab.FeatureUDPSegmentation}, lab.FeaturesTSO...), on: []string{lab.FeatureGRO}},
	} {
		p, _ := pathOf(c.path)
		got := p.features()
		if c.nothings && len(got) > 0 || len(got) != len(c.off)+len(c.on) {
			t.Errorf("path %s changes %v", c.path, got)
		}
		for want, names := range map[bool][]string{false: c.off, true: c.on} {
			for _, name := range names {
				if v, ok := got[name]; !ok || v != want {
					t.Errorf("path %s sets %s to %v (%v), want %v", c.path, name, v, ok, want)
				}
			}
		}
	}
}

// TestTunnelEnded checks that a daemon that dies is noticed, with what it said.
func TestTunnelEnded(t *testing.T) {
	t.Parallel()
	at := newTestPlace(t, pathVeth)
	start := func(label, script string) *lab.Process {
		p, err := at.a.Start(label, "/bin/sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	lives, dies := start("lives", "exec sleep 600"), start("dies", "echo no more tea; exit 3")
	<-dies.Exited()
	if err := at.inside([]*lab.Process{lives}).ended(); err != nil {
		t.Errorf("with a daemon that lives: error %v", err)
	}
	for name, tun := range map[string]*tunnel{
		"a daemon": at.inside([]*lab.Process{lives, dies}), "a server": at.inside([]*lab.Process{lives}, dies),
	} {
		if err := tun.ended(); err == nil || !strings.Contains(err.Error(), "no more tea") {
			t.Errorf("%s has ended: error %v, want one with what it said", name, err)
		}
	}
	if err := configureWireGuard(t.Context(), "/nowhere.sock", "", dies.Exited()); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("a wireguard-go that has ended is configured: error %v", err)
	}
	if err := await(t.Context(), dies, "more tea"); err == nil || errors.Is(err, t.Context().Err()) {
		t.Errorf("a daemon that has ended says something: error %v", err)
	}
}
