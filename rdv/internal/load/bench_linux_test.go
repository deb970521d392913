package load

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

// The load of BenchmarkLoad, which its flags can change:
//
//	go test -run '^$' -bench Load ./rdv/internal/load -clients 50000 -duration 1m
var (
	clientsFlag  = flag.Int("clients", 0, "simulate `N` clients (default 10000, with -tags long also 100000)")
	intervalFlag = flag.Duration("interval", pingInterval, "time between two PINGs of a client")
	asksFlag     = flag.Int("asks", 1000, "ASKs `per second`, of all clients")
	durationFlag = flag.Duration("duration", 0, "how long (default 10s, with -tags long 30s)")
	rdvArgsFlag  = flag.String("rdv-arg", "", "one more option for campagnol_rdv, such as --pprof=127.0.0.1:6060")
)

// BenchmarkLoad is the program under load, on one processor. What it reports is
// of its last run; an operation is one run.
func BenchmarkLoad(b *testing.B) {
	sizes, duration := []int{10_000}, 10*time.Second
	if long {
		sizes, duration = []int{10_000, 100_000}, 30*time.Second
	}
	if *clientsFlag > 0 {
		sizes = []int{*clientsFlag}
	}
	if *durationFlag > 0 {
		duration = *durationFlag
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			cfg := FleetConfig{Clients: n, Interval: *intervalFlag, Asks: *asksFlag, Duration: duration, Seed: 1}
			var r Result
			for b.Loop() {
				r = measure(b, cfg)
			}
			report(b, r)
		})
	}
}

// measure runs a server on the last processor, and a fleet on the others.
func measure(tb testing.TB, cfg FleetConfig) Result {
	tb.Helper()
	cpus, err := CPUs()
	if err != nil {
		tb.Fatal(err)
	}
	cpu := cpus[len(cpus)-1]
	var args []string
	if *rdvArgsFlag != "" {
		args = append(args, *rdvArgsFlag)
	}
	s := startServer(tb, cpu, args...)
	undo, err := KeepOff(cpu)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := undo(); err != nil {
			tb.Error(err)
		}
	}()
	r, err := Run(tb.Context(), Config{FleetConfig: cfg, Server: s.Addr(), Usage: s.Usage})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%d clients\n%v", cfg.Clients, r)
	return r
}

// report makes metrics of a result.
func report(b *testing.B, r Result) {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, m := range []struct {
		value float64
		unit  string
	}{
		{r.Register.Seconds(), "register-s"},
		{float64(r.Pings) / r.Serve.Seconds(), "pings/s"},
		{float64(r.Lost), "lost"},
		{ms(r.Pong.Quantile(0.5)), "pong-p50-ms"},
		{ms(r.Pong.Quantile(0.99)), "pong-p99-ms"},
		{ms(r.Answer.Quantile(0.5)), "ans-p50-ms"},
		{ms(r.Answer.Quantile(0.99)), "ans-p99-ms"},
		{ms(r.Answer.Quantile(1)), "ans-max-ms"},
		{ms(r.Forward.Quantile(0.5)), "fwd-p50-ms"},
		{ms(r.Forward.Quantile(0.99)), "fwd-p99-ms"},
		{ms(r.Forward.Quantile(1)), "fwd-max-ms"},
		{float64(r.Unanswered()), "unanswered"},
		{r.Cores(), "cores"},
		{float64(r.Server.CPU().Nanoseconds()) / 1e3 / float64(r.Pings), "cpu-us/ping"},
		{float64(r.Server.RSS) / 1e6, "rss-MB"},
		{ms(r.Late), "late-ms"},
	} {
		b.ReportMetric(m.value, m.unit)
	}
	b.ReportMetric(0, "ns/op") // a run takes as long as it was told
}
