package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCell(t *testing.T) {
	t.Parallel()
	r := reportOf(
		given{pathVeth, toolDirect, stepTCP1, []float64{30, 31}},
		given{pathVeth, toolOurs, stepTCP1, []float64{5, 6, 7}},
		given{pathVeth, toolWireGuard, stepTCP1, []float64{2, 3, 2.5}},
		given{pathVeth, toolNebula, stepTCP1, []float64{4}},
		given{pathPackets, toolOurs, stepTCP1, []float64{5}},
	)
	limited := r.Samples[5] // the first of wireguard-go
	limited.Path, limited.Limited = pathPacketsGRO, true
	r.Samples = append(r.Samples, limited)
	f, _ := figureOf(stepTCP1)
	for _, c := range []struct{ name, path, tool, want string }{
		{"no ratio of no tunnel", pathVeth, toolDirect, "30.50 (30.00–31.00)"},
		{"spread and ratio", pathVeth, toolOurs, "6.00 (5.00–7.00) ×2.50"},
		{"wireguard-go itself", pathVeth, toolWireGuard, "2.50 (2.00–3.00)"},
		{"one round", pathVeth, toolNebula, "4.00 ×2.00"},
		{"nothing", pathVeth, toolNebulaTuned, "–"},
		{"nothing to compare with", pathPackets, toolOurs, "5.00"},
		{"the generator's limit", pathPacketsGRO, toolWireGuard, "≥ 2.00"},
	} {
		if got := r.cell(c.path, c.tool, f); got != c.want {
			t.Errorf("%s: the cell is %q, want %q", c.name, got, c.want)
		}
	}
}

// TestTables checks which tables and rows there are.
func TestTables(t *testing.T) {
	t.Parallel()
	if got := reportOf().tables(); len(got) != 0 {
		t.Errorf("a report of nothing has %d tables", len(got))
	}
	all := fullReport().tables()
	if got, want := len(all), len(paths)+1; got != want {
		t.Fatalf("a whole report has %d tables, want %d", got, want)
	}
	if got, want := len(all[0].rows), len(figures); got != want {
		t.Errorf("a path has %d rows, want %d", got, want)
	}
	if got, want := len(all[len(paths)].rows), len(gates); got != want {
		t.Errorf("the table of gates has %d rows, want %d", got, want)
	}
	for _, tab := range all {
		for _, row := range tab.rows {
			if len(row) != len(tab.header) {
				t.Errorf("%s: row %q has %d cells, want %d", tab.title, row, len(row), len(tab.header))
			}
		}
	}
	one := reportOf(given{pathPackets, toolOurs, figCold, []float64{3}}).tables()
	if len(one) != 1 || one[0].title != "every packet crosses" || len(one[0].rows) != 1 || one[0].rows[0][0] != "first packet to first reply, new tunnel" {
		t.Errorf("a report of one value has the tables %+v", one)
	}
}

func TestGateTable(t *testing.T) {
	t.Parallel()
	r := &report{Gates: []verdict{
		{Path: pathVeth, Figure: stepTCP1, Than: toolWireGuard, Bound: 1.9, Value: 2, Reached: true},
		{Path: pathVeth, Figure: figCold, Bound: 10, Value: 12},
	}}
	var b bytes.Buffer
	r.gateTable().writeMarkdown(&b)
	want := `### Gates of Campagnol

| figure | goal | measured |  |
| --- | --- | --- | --- |
| TCP, 1 stream (veth as it is) | ≥ 1.9 × wireguard-go | 2.00 × | ✓ |
| first packet to first reply, new tunnel (veth as it is) | ≤ 10 ms | 12.0 ms | ✗ missed |

`
	if got := b.String(); got != want {
		t.Errorf("the gates are\n%s, want\n%s", got, want)
	}
}

// TestTableText checks that columns stand below each other, whatever bytes their
// text takes.
func TestTableText(t *testing.T) {
	t.Parallel()
	tab := table{"things", []string{"", "unit", "x"}, [][]string{{"… one", "µs", "1"}, {"two words", "s", "–"}, {"three", "", ""}}}
	var b bytes.Buffer
	tab.writeText(&b)
	want := `things

             unit  x
  … one      µs    1
  two words  s     –
  three

`
	if got := b.String(); got != want {
		t.Errorf("the table is\n%s, want\n%s", got, want)
	}
}

// TestMarkdown checks that every table of a document has rows of the same
// columns, whatever is in them.
func TestMarkdown(t *testing.T) {
	t.Parallel()
	r := fullReport()
	r.Tools[1].Title = "Camp|agnol"
	r.Failures = []failure{{2, pathVeth, toolNebula, stepTCP1, "broken\npipe"}}
	var b bytes.Buffer
	r.writeMarkdown(&b)
	columns, tables := 0, 0
	for line := range strings.Lines(b.String()) {
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			columns = 0
		case columns == 0:
			columns = n
			tables++
		case n != columns:
			t.Errorf("a row of %d columns among those of %d: %s", n-1, columns-1, line)
		}
	}
	if got, want := tables, len(paths)+1; got != want {
		t.Errorf("%d tables, want %d", got, want)
	}
	for _, want := range []string{
		"- Some CPU, 2 processors, Linux 6.18.5, go1.26.8, 4 March 2026\n",
		"### Veth as it is\n", `Camp\|agnol`,
		"\nFailed: round 2, veth, nebula, tcp1: broken pipe\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the document has no %q:\n%s", want, b.String())
		}
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	r := reportOf(given{pathVeth, toolOurs, figCold, []float64{1, 2}})
	r.Machine.Processor = ""
	r.Settings.Rounds, r.Settings.GOMAXPROCS, r.Settings.Short, r.Settings.Profiled = 1, 1, true, true
	r.Samples[0].Disturbed = true
	got := strings.Join(r.summary(), "\n")
	for _, want := range []string{
		"unknown processor, 2 processors, ", "1 round, TCP for 5 s each, congestion control cubic;",
		"every daemon has GOMAXPROCS=1", "a short run", "profiles of Campagnol were taken", "no tunnel: the cable\n",
		"Campagnol 1.0: defaults\n", "Nebula, tuned " + nebulaVersion + ": tuned\n",
		"1 of 2 values taken while other programs",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary has no %q:\n%s", want, got)
		}
	}
	got = strings.Join(reportOf().summary(), "\n")
	for _, no := range []string{"GOMAXPROCS", "short", "profiles", "other programs"} {
		if strings.Contains(got, no) {
			t.Errorf("the summary of an ordinary run speaks of %s:\n%s", no, got)
		}
	}
}

func TestReportText(t *testing.T) {
	t.Parallel()
	r := fullReport()
	r.Failures = []failure{{2, pathVeth, toolNebula, stepTCP1, "broken pipe"}}
	var b bytes.Buffer
	r.writeText(&b)
	if !utf8.Valid(b.Bytes()) {
		t.Error("the text is not UTF-8")
	}
	for _, want := range []string{
		"\nveth as it is\n", "\nevery packet crosses\n", "\ngates of Campagnol\n",
		"20.00 (18.00–22.00) ×2.00", "\nfailed: round 2, veth, nebula, tcp1: broken pipe\n", "\ntook 1m1s\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, b.String())
		}
	}
}
