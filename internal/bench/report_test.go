package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A given is the values of a figure in the rounds of a made-up report.
type given struct {
	path, tool, figure string
	values             []float64 // from round 1 on
}

// reportOf returns a report of all tools with these values.
func reportOf(all ...given) *report {
	r := &report{
		Format: reportFormat, Began: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Took: 61,
		Machine:  machine{Processor: "Some CPU", Processors: 2, Kernel: "6.18.5-3-generic", Go: "go1.26.8"},
		Settings: settings{Rounds: 3, Seconds: 5, Congestion: "cubic"},
		Tools: []toolInfo{
			{Name: toolDirect, Title: "no tunnel", Settings: "the cable"},
			{Name: toolOurs, Title: "Campagnol", Version: "1.0", Settings: "defaults"},
			{Name: toolWireGuard, Title: toolWireGuard, Version: wireGuardVersion, Settings: "defaults"},
			{Name: toolNebula, Title: "Nebula", Version: nebulaVersion, Settings: "usual"},
			{Name: toolNebulaTuned, Title: "Nebula, tuned", Version: nebulaVersion, Settings: "tuned"},
		},
	}
	for _, g := range all {
		for i, v := range g.values {
			r.Samples = append(r.Samples, sample{Round: i + 1, Path: g.path, Tool: g.tool, Figure: g.figure, Value: v, Tries: 1})
		}
	}
	return r
}

// fullReport returns a report with values of everything, in which we are twice as
// good as all others.
func fullReport() *report {
	var all []given
	for _, p := range paths {
		for _, f := range figures {
			for _, tool := range toolNames() {
				v := 10.0
				switch {
				case f.id == figPingAdded:
					continue // derived
				case tool == toolDirect && (f.class == memory || f.class == cpu):
					continue // there is no daemon
				case tool == toolDirect && f.id == figPing:
					v = 1
				case tool == toolOurs && f.less:
					v = 5
				case tool == toolOurs:
					v = 20
				}
				all = append(all, given{p.id, tool, f.id, []float64{v, v * 1.1, v * 0.9}})
			}
		}
	}
	r := reportOf(all...)
	r.derive()
	r.Gates = r.judge()
	return r
}

func TestReportRoundTrip(t *testing.T) {
	t.Parallel()
	r := fullReport()
	r.Settings.Short, r.Settings.GOMAXPROCS = true, 1
	r.Samples[0].Disturbed, r.Samples[1].Limited, r.Samples[2].Foreign = true, true, 0.25
	r.Failures = []failure{{1, pathVeth, toolNebula, stepTCP1, "broken\npipe"}}
	b, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.json")
	if err := writeFile(file, b); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Errorf("after writing and reading the report is\n%+v, want\n%+v", got, r)
	}
	if again, err := got.encode(); err != nil || !bytes.Equal(again, b) {
		t.Errorf("written again it is different (%v)", err)
	}
}

func TestReadReportFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "unexpected end"},
		{"not JSON", "# Performance", "invalid character"},
		{"another type", `{"format": "1"}`, "cannot unmarshal"},
		{"another format", `{"format": 2}`, "its format is 2, not 1"},
		{"no format", `{}`, "its format is 0, not 1"},
		{"unknown figure", `{"format":1,"tools":[{"name":"ours"}],"samples":[{"path":"veth","tool":"ours","figure":"speed"}]}`, `"speed" of "ours" on "veth"`},
		{"unknown path", `{"format":1,"tools":[{"name":"ours"}],"samples":[{"path":"wifi","tool":"ours","figure":"tcp1"}]}`, `"tcp1" of "ours" on "wifi"`},
		{"unknown tool", `{"format":1,"tools":[{"name":"ours"}],"samples":[{"path":"veth","tool":"tinc","figure":"tcp1"}]}`, `"tcp1" of "tinc" on "veth"`},
	} {
		file := filepath.Join(t.TempDir(), "report.json")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readReport(file)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: report %v, error %v, want one with %q and the name of the file", c.name, r, err, c.want)
		}
	}
	if _, err := readReport(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(unwrapped(err)) {
		t.Errorf("a report that is not there: error %v, want that it does not exist", err)
	}
}

// unwrapped returns the error that another one was made of.
func unwrapped(err error) error {
	if w, ok := err.(interface{ Unwrap() error }); ok {
		return w.Unwrap()
	}
	return err
}

func TestReportValues(t *testing.T) {
	t.Parallel()
	r := reportOf(
		given{pathVeth, toolOurs, stepTCP1, []float64{6, 4, 9}},
		given{pathVeth, toolWireGuard, stepTCP1, []float64{2, 4, 3, 100}}, // one round more
		given{pathPackets, toolOurs, stepTCP1, []float64{1}},
		given{pathVeth, toolOurs, stepUDP64, []float64{5, 0}},
		given{pathVeth, toolWireGuard, stepUDP64, []float64{0, 5}},
	)
	r.Samples[0].Limited, r.Samples[0].Disturbed, r.Samples[4].Disturbed = true, true, true
	for _, c := range []struct {
		name      string
		got, want spread
	}{
		{"spread", r.spread(pathVeth, toolOurs, stepTCP1), spread{6, 4, 9, 3}},
		{"spread on another path", r.spread(pathPackets, toolOurs, stepTCP1), spread{1, 1, 1, 1}},
		{"spread of nothing", r.spread(pathPacketsGRO, toolOurs, stepTCP1), spread{}},
		// Not the ratio of the medians, 6/3.5.
		{"ratio, round by round", r.ratio(pathVeth, toolOurs, toolWireGuard, stepTCP1), spread{3, 1, 3, 3}},
		{"ratio the other way", r.ratio(pathVeth, toolWireGuard, toolOurs, stepTCP1), spread{1.0 / 3, 1.0 / 3, 1, 3}},
		{"ratio to nothing", r.ratio(pathPackets, toolOurs, toolWireGuard, stepTCP1), spread{}},
		{"rounds in which somebody has nothing", r.ratio(pathVeth, toolOurs, toolWireGuard, stepUDP64), spread{}},
	} {
		if c.got != c.want {
			t.Errorf("%s is %+v, want %+v", c.name, c.got, c.want)
		}
	}
	if !r.limited(pathVeth, toolOurs, stepTCP1) || r.limited(pathVeth, toolWireGuard, stepTCP1) {
		t.Error("limited is wrong")
	}
	if got := r.disturbed(); got != 2 {
		t.Errorf("%d values are disturbed, want 2", got)
	}
	if !r.has(pathPackets, stepTCP1) || r.has(pathPackets, stepTCP4) {
		t.Error("has is wrong")
	}
}

// TestDerive checks that what a tunnel adds to a ping is taken from the round's
// own ping without tunnel.
func TestDerive(t *testing.T) {
	t.Parallel()
	r := reportOf(
		given{pathVeth, toolDirect, figPing, []float64{1, 2}},
		given{pathVeth, toolOurs, figPing, []float64{4, 4, 4}}, // round 3 has nothing to compare
		given{pathVeth, toolOurs, figPingP99, []float64{9}},
		given{pathPackets, toolOurs, figPing, []float64{7}}, // nor has this path
	)
	r.Samples[2].Foreign = 0.5
	r.derive()
	want := map[int]float64{1: 3, 2: 2}
	if got := r.values(pathVeth, toolOurs, figPingAdded); !reflect.DeepEqual(got, want) {
		t.Errorf("added are %v, want %v", got, want)
	}
	if r.has(pathPackets, figPingAdded) || len(r.values(pathVeth, toolDirect, figPingAdded)) != 0 {
		t.Error("something is added where nothing is to be compared")
	}
	if last := r.Samples[len(r.Samples)-2]; last.Foreign != 0.5 {
		t.Errorf("the foreign load of a derived value is %v, want that of its origin, 0.5", last.Foreign)
	}
}

// FuzzParseReport reads any bytes as a report. What is accepted can be judged and
// shown in all ways.
func FuzzParseReport(f *testing.F) {
	for _, r := range []*report{fullReport(), reportOf()} {
		b, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"format":1,"tools":[{"name":"ours","title":"<a|b>\u0000"}],"samples":[{"path":"veth","tool":"ours","figure":"tcp1","value":-1e300}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReport(b)
		if err != nil {
			return
		}
		r.Gates = r.judge()
		var text, markdown, chart bytes.Buffer
		r.writeText(&text)
		r.writeMarkdown(&markdown)
		r.writeSVG(&chart)
		wantXML(t, chart.Bytes())
	})
}
