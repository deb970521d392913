package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// A Type is a type of metrics, by its name in the exposition format.
type Type string

// The types.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// A Family is all metrics of one name. It does not change, and belongs to a [Table].
type Family struct {
	Name   string
	Help   string // one sentence; docs/metrics.md may say more
	Type   Type
	Labels []string

	desc *prometheus.Desc
	kind prometheus.ValueType
}

// A Table has the families of a program, in the order in which they are explained.
// It is filled when the program starts, and then only read.
type Table struct{ families []*Family }

// Counter adds a family of counters, whose name ends in _total.
func (t *Table) Counter(name, help string, labels ...string) *Family {
	return t.add(&Family{Name: name, Help: help, Type: Counter, Labels: labels, kind: prometheus.CounterValue})
}

// Gauge adds a family of gauges.
func (t *Table) Gauge(name, help string, labels ...string) *Family {
	return t.add(&Family{Name: name, Help: help, Type: Gauge, Labels: labels, kind: prometheus.GaugeValue})
}

// Histogram adds a family of histograms.
func (t *Table) Histogram(name, help string, labels ...string) *Family {
	return t.add(&Family{Name: name, Help: help, Type: Histogram, Labels: labels})
}

func (t *Table) add(f *Family) *Family {
	f.desc = prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
	t.families = append(t.families, f)
	return f
}

// Families returns all families.
func (t *Table) Families() []*Family { return slices.Clone(t.families) }

// Describe is the method of [prometheus.Collector]. With it a registry refuses metrics
// that the table does not have.
func (t *Table) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range t.families {
		ch <- f.desc
	}
}

// A Scrape takes the values of one collection. One goroutine uses it.
type Scrape struct{ ch chan<- prometheus.Metric }

// NewScrape returns a Scrape that sends to ch, as [prometheus.Collector] has it.
func NewScrape(ch chan<- prometheus.Metric) Scrape { return Scrape{ch} }

// Set reports the value of a family, with the values of its labels in their order.
func (s Scrape) Set(f *Family, value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(f.desc, f.kind, value, valid(labels)...)
	s.send(f, m, err)
}

// Count is Set for what is counted in whole numbers.
func (s Scrape) Count(f *Family, n uint64, labels ...string) { s.Set(f, float64(n), labels...) }

// CountBy reports counts by the value of the family's last label.
func (s Scrape) CountBy(f *Family, counts map[string]uint64, labels ...string) {
	for by, n := range counts {
		s.Count(f, n, append(slices.Clip(labels), by)...)
	}
}

// Is reports 1 for true and 0 for false.
func (s Scrape) Is(f *Family, yes bool, labels ...string) {
	value := 0.0
	if yes {
		value = 1
	}
	s.Set(f, value, labels...)
}

// Distribution reports a histogram: how many values there are, their sum, and how
// many of them are not above each bound.
func (s Scrape) Distribution(f *Family, count uint64, sum float64, buckets map[float64]uint64, labels ...string) {
	m, err := prometheus.NewConstHistogram(f.desc, count, sum, buckets, valid(labels)...)
	s.send(f, m, err)
}

// send sends m. An error is one of ours, such as a label too few, and shows up in the
// answer to the scrape.
func (s Scrape) send(f *Family, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(f.desc, err)
	}
	s.ch <- m
}

// valid makes text of labels: names in certificates are made by others.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return labels
}
