package metrics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"campagnol/internal/metrics"
	"campagnol/internal/metrics/metricstest"

	"github.com/prometheus/client_golang/prometheus"
)

// A sample is a program with a metric of each kind.
type sample struct {
	metrics.Table
	collect func(s metrics.Scrape, t *sample)

	gauge, counter, by, end, histogram, next, issued, size *metrics.Family
}

func newSample(collect func(metrics.Scrape, *sample)) *sample {
	t := &sample{collect: collect}
	t.gauge = t.Gauge("sample_up", "Whether it is up.")
	t.counter = t.Counter("sample_packets_total", "Packets.", "peer")
	t.by = t.Counter("sample_dropped_packets_total", "Packets that were dropped.", "part", "reason")
	t.end = t.Gauge("sample_certificate_expiry_timestamp_seconds", "When it ends.", "kind", "name", "serial")
	t.histogram = t.Histogram("sample_remaining_seconds", "How long it lasts.")
	t.next = t.Gauge("sample_next_timestamp_seconds", "Next.", "authority")
	t.issued = t.Gauge("sample_issued_timestamp_seconds", "Issued.", "authority")
	t.size = t.Gauge("sample_listed", "Size.", "authority")
	return t
}

func (t *sample) Collect(ch chan<- prometheus.Metric) { t.collect(metrics.NewScrape(ch), t) }

func TestScrape(t *testing.T) {
	got := metricstest.Gather(t, newSample(func(s metrics.Scrape, f *sample) {
		s.Is(f.gauge, true)
		s.Count(f.counter, 7, "10.9.0.2")
		s.Count(f.counter, 8, "a\xffb\x00")
		s.CountBy(f.by, map[string]uint64{"auth": 1, "replay": 2}, "client")
		s.Distribution(f.histogram, 3, 60, map[float64]uint64{0: 1, 10: 2})
		s.Time(f.next, time.Time{}, "none")
		s.Time(f.next, time.UnixMilli(1500), "one")
	}))
	for _, c := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{1, "sample_up", nil},
		{7, "sample_packets_total", []string{"peer", "10.9.0.2"}},
		{8, "sample_packets_total", []string{"peer", "a\uFFFDb\x00"}},
		{1, "sample_dropped_packets_total", []string{"part", "client", "reason", "auth"}},
		{2, "sample_dropped_packets_total", []string{"part", "client", "reason", "replay"}},
		{1.5, "sample_next_timestamp_seconds", []string{"authority", "one"}},
	} {
		if v := metricstest.Value(t, got, c.name, c.labels...); v != c.want {
			t.Errorf("%s%v = %v, want %v", c.name, c.labels, v, c.want)
		}
	}
	if n := len(got["sample_next_timestamp_seconds"].GetMetric()); n != 1 {
		t.Errorf("%d times, want the one that is not zero", n)
	}
	h := got["sample_remaining_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 3 || h.GetSampleSum() != 60 || len(h.GetBucket()) != 2 {
		t.Errorf("histogram %v", h)
	}
}

// TestScrapeLabels: a label too few is an error of the scrape, and no panic.
func TestScrapeLabels(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newSample(func(s metrics.Scrape, f *sample) { s.Set(f.counter, 1) }))
	if _, err := r.Gather(); err == nil || !strings.Contains(err.Error(), "inconsistent label cardinality") {
		t.Errorf("error %v", err)
	}
}

// TestCertificates: two certificates, or lists, that the labels do not tell apart are
// one, that which ends first.
func TestCertificates(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	got := metricstest.Gather(t, newSample(func(s metrics.Scrape, f *sample) {
		s.Certificates(f.end, []metrics.Certificate{
			{Name: "a", Serial: "1", Expires: at(50)},
			{Authority: true, Name: "CA", Serial: "2", Expires: at(90)},
			{Authority: true, Name: "CA", Serial: "2", Expires: at(80)},
			{Authority: true, Name: "CA", Serial: "2", Expires: at(85)},
		})
		s.RevocationLists(f.next, f.issued, f.size, []metrics.RevocationList{
			{Authority: "CA", Issued: at(5), Next: at(9), Certificates: 3},
			{Authority: "CA", Issued: at(4), Next: at(8), Certificates: 2},
			{Authority: "other", Issued: at(4), Certificates: 1},
		})
	}))
	for _, c := range []struct {
		want   float64
		name   string
		labels string
	}{
		{50, "sample_certificate_expiry_timestamp_seconds", "kind own name a serial 1"},
		{80, "sample_certificate_expiry_timestamp_seconds", "kind authority name CA serial 2"},
		{8, "sample_next_timestamp_seconds", "authority CA"},
		{4, "sample_issued_timestamp_seconds", "authority CA"},
		{2, "sample_listed", "authority CA"},
		{1, "sample_listed", "authority other"},
	} {
		if v := metricstest.Value(t, got, c.name, strings.Fields(c.labels)...); v != c.want {
			t.Errorf("%s of %s = %v, want %v", c.name, c.labels, v, c.want)
		}
	}
	if n := len(got["sample_certificate_expiry_timestamp_seconds"].GetMetric()); n != 2 {
		t.Errorf("%d certificates, want 2", n)
	}
	if n := len(got["sample_next_timestamp_seconds"].GetMetric()); n != 1 {
		t.Errorf("%d lists announce a next one, want 1", n)
	}
}

// TestCommon: the page has what every program exports, and of what Prometheus' library
// adds nothing that is not there.
func TestCommon(t *testing.T) {
	metricstest.Document(t, "../../docs/metrics.md", "Both programs", metrics.Common())
}

func TestRow(t *testing.T) {
	f := newSample(nil)
	for _, c := range []struct {
		f    *metrics.Family
		want string
	}{
		{f.gauge, "| `sample_up` | gauge | – | 0 or 1 | Whether it is up. |"},
		{f.by, "| `sample_dropped_packets_total` | counter | `part` `reason` | number | Packets that were dropped. |"},
		{f.end, "| `sample_certificate_expiry_timestamp_seconds` | gauge | `kind` `name` `serial` | seconds since 1970 | When it ends. |"},
		{f.histogram, "| `sample_remaining_seconds` | histogram | – | seconds | How long it lasts. |"},
	} {
		if got := metricstest.Row(c.f); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if got, want := fmt.Sprint(len(f.Families())), "8"; got != want {
		t.Errorf("%s families, want %s", got, want)
	}
}
