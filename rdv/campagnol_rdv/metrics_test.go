package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"campagnol/internal/metrics"
	"campagnol/internal/metrics/metricstest"
	"campagnol/internal/service"
	"campagnol/pki"
	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv"
	"campagnol/rdv/relay"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A reporter is a collector that calls a function.
type reporter func(metrics.Scrape)

func (reporter) Describe(ch chan<- *prometheus.Desc)   { serverMetrics.Describe(ch) }
func (r reporter) Collect(ch chan<- prometheus.Metric) { r(metrics.NewScrape(ch)) }

// numbered fills the numbers of a struct with 1, 2, 3 and so on, so that none is taken
// for another.
func numbered(v reflect.Value, next *uint64) {
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case !f.CanSet():
		case f.Kind() == reflect.Struct:
			numbered(f, next)
		case f.CanInt():
			f.SetInt(int64(*next))
			*next++
		case f.CanUint():
			f.SetUint(*next)
			*next++
		}
	}
}

// wantValues checks metrics, given as "name label value …".
func wantValues(t *testing.T, got map[string]*dto.MetricFamily, want map[string]float64) {
	t.Helper()
	for metric, value := range want {
		words := strings.Fields(metric)
		if v := metricstest.Value(t, got, "campagnol_rdv_"+words[0], words[1:]...); v != value {
			t.Errorf("%s = %v, want %v", metric, v, value)
		}
	}
}

// TestReportStats: every counter of the server is in one metric, and no other.
func TestReportStats(t *testing.T) {
	var st rdv.Stats
	next := uint64(1)
	numbered(reflect.ValueOf(&st).Elem(), &next)
	st.Clients = 1000
	got := metricstest.Gather(t, reporter(func(s metrics.Scrape) {
		reportStats(s, &st)
		reportRelay(s, &st.Relay)
		s.Count(mGrants, st.Grants)
	}))
	float := func(n uint64) float64 { return float64(n) }
	wantValues(t, got, map[string]float64{
		"clients kind clear": float64(st.Clear), "clients kind channel": float64(1000 - st.Clear),
		"channels": float64(st.Channels), "introduced_pairs": float64(st.Sessions), "handshakes_running": float64(st.HalfOpen),
		"receive_queue_batches": float64(st.Busy), "authority_reachable": 1,
		"introductions_total kind clear": float(st.IntroducedClear), "introductions_total kind channel": float(st.Introduced),
		"pings_total": float(st.Pings), "refusals_total reason full": 0, "refusals_total reason clear_registration": 0,
		"receive_datagrams_total": float(st.Received), "transmit_datagrams_total": float(st.Sent), "knocks_total": float(st.Knocks),
		"handshakes_total result ok": float(st.Established), "handshakes_total result failed": float(st.Failed), "handshakes_put_off_total": float(st.PutOff),
		"object_notices_total": float(st.Notices), "object_chunks_total": float(st.Chunks), "member_lists_total": float(st.Lists),
		"objects_total result taken": float(st.ObjectsTaken), "objects_total result refused": float(st.ObjectsRefused),
		"stun_answers_total": float(st.Bindings), "authority_requests_total": float(st.Applied), "authority_answers_total": float(st.Answered),
		"relay_allocations": float64(st.Relay.Allocations), "relay_allocations_total": float(st.Relay.Allocated),
		"relay_refused_allocations_total": float(st.Relay.Refused), "relay_requests_total": float(st.Relay.Requests), "relay_credentials_total": float(st.Grants),
		"relay_datagrams_total to peers": float(st.Relay.ToPeers), "relay_datagrams_total to clients": float(st.Relay.ToClients),
		"relay_bytes_total": float(st.Relay.Bytes),
	})
	for name, drops := range map[string]reflect.Value{
		"campagnol_rdv_dropped_total":       reflect.ValueOf(st.Dropped),
		"campagnol_rdv_relay_dropped_total": reflect.ValueOf(st.Relay.Dropped),
	} {
		left := map[float64]bool{}
		for i := range drops.NumField() {
			left[float64(drops.Field(i).Uint())] = true
		}
		for _, m := range got[name].GetMetric() {
			if v := m.GetCounter().GetValue(); !left[v] {
				t.Errorf("%s %v is none of the server's counters", name, m)
			} else {
				delete(left, v)
			}
		}
		if len(left) > 0 {
			t.Errorf("%s lacks %d counters", name, len(left))
		}
	}
}

// TestReportCensus: the histogram has the bounds of the census.
func TestReportCensus(t *testing.T) {
	c := rdv.Census{Members: 9, Left: 123, First: time.Unix(77, 0)}
	for i := range c.Within {
		c.Within[i] = i + 1
	}
	got := metricstest.Gather(t, reporter(func(s metrics.Scrape) {
		reportCensus(s, &c)
		at := time.Unix(88, 0)
		reportTrust(s, []pki.Expiry{{Name: "rdv", Serial: "1", At: at}, {Name: "CA", Serial: "2", CA: true, At: at}},
			[]pki.Revocation{{Issuer: "CN=CA", ThisUpdate: at, NextUpdate: at, Certificates: 3}})
	}))
	wantValues(t, got, map[string]float64{
		"member_certificate_first_expiry_timestamp_seconds":                    77,
		"certificate_expiry_timestamp_seconds kind own name rdv serial 1":      88,
		"certificate_expiry_timestamp_seconds kind authority name CA serial 2": 88,
		"crl_next_update_timestamp_seconds authority CN=CA":                    88, "crl_issued_timestamp_seconds authority CN=CA": 88,
		"crl_certificates authority CN=CA": 3,
	})
	h := got["campagnol_rdv_member_certificate_remaining_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 9 || h.GetSampleSum() != 123 || len(h.GetBucket()) != len(rdv.CensusBounds) {
		t.Fatalf("histogram %v", h)
	}
	for i, b := range h.GetBucket() {
		if b.GetUpperBound() != rdv.CensusBounds[i].Seconds() || b.GetCumulativeCount() != uint64(i+1) {
			t.Errorf("bucket %d: %v", i, b)
		}
	}
}

// TestServerPage: the page explains all metrics, and no other.
func TestServerPage(t *testing.T) {
	metricstest.Document(t, "../../docs/metrics.md", "The rendezvous server", serverMetrics.Families())
	for _, f := range serverMetrics.Families() {
		if !strings.HasPrefix(f.Name, "campagnol_rdv_") {
			t.Errorf("%s: the server's metrics begin with campagnol_rdv_", f.Name)
		}
	}
}

// newWatched returns a server with two ports and a relay, and its collector.
func newWatched(t *testing.T) (*rdv.Server, *collector) {
	t.Helper()
	cfg := &rdv.Config{MaxClients: 17, RelaySecret: relay.NewSecret()}
	for i := range 2 {
		conn, err := udp.Listen(udp.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if i == 0 {
			cfg.Conn = conn
		} else {
			cfg.MoreConns = []punch.Conn{conn}
		}
	}
	cfg.Relay = relay.New(relay.Config{Links: links(cfg), Listen: listenRelayed, Secret: cfg.RelaySecret})
	server := rdv.New(*cfg)
	return server, &collector{server: server, cfg: cfg, relayed: 5}
}

// TestCollect: of a server that serves everything is reported that there is without
// certificates; it is ready, and not before or afterwards.
func TestCollect(t *testing.T) {
	server, c := newWatched(t)
	early, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.ready(early); err == nil {
		t.Error("ready before it serves")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	if err := c.ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	got := metricstest.Gather(t, c)
	for _, f := range serverMetrics.Families() {
		certificates := strings.Contains(f.Name, "_certificate") || strings.Contains(f.Name, "_crl_")
		if (got[f.Name] == nil) != (certificates && f.Type != metrics.Histogram) {
			t.Errorf("%s is reported: %v", f.Name, got[f.Name] != nil)
		}
	}
	wantValues(t, got, map[string]float64{"serving": 1, "clients_max": 17, "receive_queue_batches_max": 3, "relay_allocations_max": 5, "authority_reachable": 0})
	if n := len(got["campagnol_rdv_socket_dropped_datagrams_total"].GetMetric()); n != 2*3 {
		t.Errorf("%d counters of two sockets", n)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := c.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "started or stopped") {
		t.Errorf("after the end: %v", err)
	}
	wantValues(t, metricstest.Gather(t, c), map[string]float64{"serving": 0, "clients_max": 17})
}

// TestMetricsOption has what the option can be, and that it is served only as long as
// the server is.
func TestMetricsOption(t *testing.T) {
	for _, bad := range []string{"9469", "127.0.0.1", "127.0.0.1:0", "localhost:1"} {
		o := metricsOptions{text: bad}
		if err := o.check(); err == nil || !strings.HasPrefix(err.Error(), "option --metrics: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	_, c := newWatched(t)
	warned := ""
	starting := &service.Starting{Log: slog.New(slog.DiscardHandler), Warn: func(msg, hint string) { warned += msg + hint }}
	none := metricsOptions{}
	served := false
	serve, err := none.serve(starting, c, func(context.Context) error { served = true; return nil })
	if none.check() != nil || err != nil || serve(t.Context()) != nil || !served {
		t.Errorf("without the option: %v", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := metricsOptions{text: free.Addr().String()}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.serve(starting, c, nil); err == nil || !strings.HasPrefix(err.Error(), "metrics: listen tcp") {
		t.Errorf("a port that is taken: %v", err)
	}
	free.Close()
	serve, err = o.serve(starting, c, func(context.Context) error {
		conn, err := net.Dial("tcp", o.at.String())
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context()); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", o.at.String()); err == nil {
		conn.Close()
		t.Error("it listens although the server has ended")
	}
	if warned != "" {
		t.Errorf("warned of a loopback address: %s", warned)
	}
	public := metricsOptions{at: netip.AddrPortFrom(netip.IPv6Unspecified(), o.at.Port())}
	if serve, err = public.serve(starting, c, func(context.Context) error { return nil }); err != nil || !strings.Contains(warned, "no password") {
		t.Fatalf("%v, warned %q", err, warned)
	}
	if err := serve(t.Context()); err != nil {
		t.Error(err)
	}
}
