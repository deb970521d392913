package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"
	"unicode"

	"campagnol/internal/version"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The pages.
const (
	MetricsPath = "/metrics"
	HealthPath  = "/healthz"
	ReadyPath   = "/readyz"
)

const (
	gatherTime  = 10 * time.Second // for a scrape
	readyTime   = 3 * time.Second  // to find out whether the program is ready
	maxScrapes  = 4                // at a time
	maxReason   = 500              // bytes of why the program is not ready
	contentType = "text/plain; charset=utf-8"
)

// common are the metrics that both programs have, beside those of the Go runtime and
// of the process.
var common Table

var buildInfo = common.Gauge("campagnol_build_info", "Which program this is; always 1.", "program", "version", "goversion")

// Common returns the families that every [Exporter] has.
func Common() []*Family { return common.Families() }

// Config says how to make an [Exporter].
type Config struct {
	// Program is its name.
	Program string

	// Collector has the program's metrics.
	Collector prometheus.Collector

	// Ready returns why the program cannot do what it is for at the moment; nil: it
	// can. It is called at the same time by several.
	Ready func(context.Context) error

	Log *slog.Logger // nil: none
}

// An Exporter answers requests for metrics and health. It is safe for concurrent use.
type Exporter struct {
	cfg     Config
	scrapes http.Handler
}

// New returns an Exporter, which does not listen yet. It fails if the metrics of the
// program do not fit together.
func New(cfg Config) (*Exporter, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := prometheus.NewPedanticRegistry()
	for _, c := range []prometheus.Collector{
		cfg.Collector, build{cfg.Program},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return newExporter(cfg, &cache{from: r, now: time.Now}), nil
}

// newExporter returns an Exporter of what is gathered.
func newExporter(cfg Config, from prometheus.Gatherer) *Exporter {
	return &Exporter{cfg: cfg, scrapes: promhttp.HandlerFor(from, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             gatherTime,
		// Compressing takes longer than all the rest.
		DisableCompression: true,
	})}
}

// Routes returns what answers each page, by "METHOD /path" in the syntax of
// [http.ServeMux].
func (e *Exporter) Routes() map[string]http.Handler {
	return map[string]http.Handler{
		"GET " + MetricsPath: e.scrapes,
		"GET " + HealthPath:  http.HandlerFunc(e.health),
		"GET " + ReadyPath:   http.HandlerFunc(e.ready),
	}
}

// health says that the process works: else nobody would.
func (e *Exporter) health(w http.ResponseWriter, _ *http.Request) {
	tell(w, http.StatusOK, "ok")
}

// ready says whether the program can do what it is for.
func (e *Exporter) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	switch err := e.cfg.Ready(ctx); {
	case errors.Is(err, context.DeadlineExceeded):
		tell(w, http.StatusServiceUnavailable, fmt.Sprintf("the program has not answered within %v", readyTime))
	case err != nil:
		tell(w, http.StatusServiceUnavailable, err.Error())
	default:
		tell(w, http.StatusOK, "ready")
	}
}

// tell answers with a line. Reasons may hold what others have said.
func tell(w http.ResponseWriter, status int, line string) {
	line = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(line[:min(len(line), maxReason)], ""))
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, line+"\n") // who is gone needs no answer
}

// A build tells which program this is.
type build struct{ program string }

// Describe is the method of [prometheus.Collector].
func (build) Describe(ch chan<- *prometheus.Desc) { common.Describe(ch) }

// Collect is the method of [prometheus.Collector].
func (b build) Collect(ch chan<- prometheus.Metric) {
	NewScrape(ch).Set(buildInfo, 1, b.program, version.Version, runtime.Version())
}
