// Package metricstest checks the metrics of a program: that they are well named, that
// docs/metrics.md has them all, and nothing else.
package metricstest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"campagnol/internal/metrics"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

// Gather collects the metrics of c, checks them, and returns them by name.
func Gather(t testing.TB, c prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	m := map[string]*dto.MetricFamily{}
	for _, f := range families {
		m[f.GetName()] = f
	}
	return m
}

// Value returns the value of a metric with the given labels, name and value in turn.
func Value(t testing.TB, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	var want []string
	for i := 0; i+1 < len(labels); i += 2 {
		want = append(want, labels[i]+"="+labels[i+1])
	}
	slices.Sort(want)
	for _, m := range families[name].GetMetric() {
		var got []string
		for _, l := range m.GetLabel() {
			got = append(got, l.GetName()+"="+l.GetValue())
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Errorf("there is no %s with the labels %v", name, want)
	return 0
}

// Document checks that the part of a page under a heading has a row for each family,
// and no other. A row that is missing is printed as it has to be.
func Document(t testing.TB, page, heading string, families []*metrics.Family) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no part %q", page, heading)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	rows := map[string]bool{}
	for l := range strings.Lines(part) {
		if strings.HasPrefix(l, "| `campagnol_") {
			rows[strings.TrimSpace(l)] = true
		}
	}
	for _, f := range families {
		row := Row(f)
		if !rows[row] {
			t.Errorf("%s, part %q, lacks\n%s", page, heading, row)
		}
		delete(rows, row)
	}
	for row := range rows {
		t.Errorf("%s, part %q: nothing is exported as this says:\n%s", page, heading, row)
	}
}

// Row returns the row of a table that explains f: name, type, labels, unit, meaning.
func Row(f *metrics.Family) string {
	labels := "–"
	if len(f.Labels) > 0 {
		labels = "`" + strings.Join(f.Labels, "` `") + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |", f.Name, f.Type, labels, unit(f), f.Help)
}

// unit returns the unit of f, which its name has.
func unit(f *metrics.Family) string {
	name := strings.TrimSuffix(f.Name, "_total")
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"):
		return "seconds since 1970"
	case strings.HasSuffix(name, "_seconds"):
		return "seconds"
	case strings.HasSuffix(name, "_bytes"):
		return "bytes"
	case strings.HasPrefix(f.Help, "Whether "):
		return "0 or 1"
	case strings.HasSuffix(name, "_info"):
		return "1"
	}
	return "number"
}
