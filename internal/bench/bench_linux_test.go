package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// runShort runs the program with our own tools in a short run, and returns the
// report that it wrote.
func runShort(t *testing.T, args ...string) *report {
	t.Helper()
	needLab(t)
	file := filepath.Join(t.TempDir(), "report.json")
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), slices.Concat([]string{"-short", "-json", file}, args), &stdout, &stderr)
	t.Logf("%s%s", &stdout, &stderr)
	if status != exitOK {
		t.Fatalf("status %d, want %d", status, exitOK)
	}
	r, err := readReport(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestShort runs everything on one path, without the tools that are to be
// downloaded. It says nothing about how fast anything is: only that each figure
// has a value that makes sense.
func TestShort(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, docFile), []byte(docBegin+docEnd), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runShort(t, "-tools", "direct,ours", "-paths", pathVeth, "-docs", dir)
	for _, tool := range []string{toolDirect, toolOurs} {
		for _, f := range figures {
			none := tool == toolDirect && (f.class == cpu || f.class == memory || f.id == figPingAdded)
			s := r.spread(pathVeth, tool, f.id)
			if none != (s.Count == 0) {
				t.Errorf("%s: %d values of %s", tool, s.Count, f.fullTitle())
			}
			// A machine that stalls may lose pings, or everything of one
			// size of datagrams; and add less to a ping than it took before.
			if mayBeZero := none || f.class == packets || f.step == stepUDP64 || f.step == stepUDP1200 || f.id == figLoadLost || f.id == figPingAdded; s.Median <= 0 && !mayBeZero {
				t.Errorf("%s: %s is %v %s", tool, f.fullTitle(), s.Median, f.unit)
			}
		}
	}
	for _, id := range []string{figRSSLoad, figCold} {
		if !slices.ContainsFunc(r.Gates, func(v verdict) bool { return v.Figure == id }) {
			t.Errorf("there is no verdict on %s", id)
		}
	}
	if r.Machine.Kernel == "" || r.Machine.Processors < 1 || !r.Settings.Short || r.Took <= 0 {
		t.Errorf("the report is of %+v with %+v", r.Machine, r.Settings)
	}
	text, err := os.ReadFile(filepath.Join(dir, docFile))
	if err != nil || !strings.Contains(string(text), "### Veth as it is") {
		t.Errorf("the document is %q (%v)", text, err)
	}
}

// TestShortPaths checks, on the paths where every packet crosses, that packets do:
// a ping and a transfer get through, and profiles are there when they are asked
// for.
func TestShortPaths(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	r := runShort(t, "-tools", toolOurs, "-only", "tcp1", "-paths", "packets,packets-gro", "-gomaxprocs", "1", "-profile", dir)
	for _, path := range []string{pathPackets, pathPacketsGRO} {
		for _, id := range []string{stepTCP1, stepTCP1 + ofCPU} {
			if s := r.spread(path, toolOurs, id); s.Count != 1 || s.Median <= 0 {
				t.Errorf("%s on %s is %+v", id, path, s)
			}
		}
		for _, host := range []string{"a", "b"} {
			b, err := os.ReadFile(filepath.Join(dir, path+"-tcp1-1-"+host+".pprof"))
			if err != nil || !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) { // gzip
				t.Errorf("the profile of host %s on %s is %.20q (%v)", host, path, b, err)
			}
		}
	}
	if len(r.Samples) != 4 || !r.Settings.Profiled || r.Settings.GOMAXPROCS != 1 {
		t.Errorf("%d samples with the settings %+v", len(r.Samples), r.Settings)
	}
}
