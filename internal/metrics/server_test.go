package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A still is a collector with one metric.
type still struct{ Table }

func (s *still) Collect(ch chan<- prometheus.Metric) {
	NewScrape(ch).Set(s.families[0], 42)
}

func newStill() *still {
	s := new(still)
	s.Gauge("still_value", "A value.")
	return s
}

// newTestExporter returns one that is ready unless the function says why not.
func newTestExporter(t *testing.T, ready func(context.Context) error) *Exporter {
	t.Helper()
	e, err := New(Config{Program: "test", Collector: newStill(), Ready: ready})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func always(context.Context) error { return nil }

// listen starts a server on a free port, and returns its address.
func listen(t *testing.T, e *Exporter) netip.AddrPort {
	t.Helper()
	s, err := e.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var server sync.WaitGroup
	server.Go(func() {
		if err := s.Serve(ctx); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); server.Wait() })
	return s.Addr()
}

// get returns the answer of a path.
func get(t *testing.T, method, url, body string) (status int, header http.Header, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// TestServer: the pages, and what is refused.
func TestServer(t *testing.T) {
	url := "http://" + listen(t, newTestExporter(t, always)).String()
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string // in the answer
	}{
		{"GET", "/metrics", "", 200, "\nstill_value 42\n"},
		{"GET", "/metrics", "", 200, `campagnol_build_info{goversion="go1`},
		{"GET", "/metrics?name[]=go_goroutines", "", 200, "\ngo_goroutines "},
		{"GET", "/healthz", "", 200, "ok\n"},
		{"GET", "/readyz", "", 200, "ready\n"},
		{"GET", "/", "", 404, ""},
		{"GET", "/debug/pprof/", "", 404, ""},
		{"GET", "/metrics/", "", 404, ""},
		{"POST", "/metrics", "", 405, "nothing here but to GET"},
		{"DELETE", "/healthz", "", 405, ""},
		{"OPTIONS", "/readyz", "", 405, ""},
		{"HEAD", "/metrics", "", 405, ""},
		{"GET", "/metrics", "body", 413, "needs no content"},
	} {
		status, header, text := get(t, c.method, url+c.path, c.body)
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %d %.200q, want %d and %q", c.method, c.path, status, text, c.status, c.want)
		}
		if c.status == 405 && header.Get("Allow") != "GET" {
			t.Errorf("%s %s: Allow: %q", c.method, c.path, header.Get("Allow"))
		}
	}
}

// TestServerNames: of what the library adds, what the page names is there.
func TestServerNames(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	newTestExporter(t, always).Routes()["GET /metrics"].ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	names := regexp.MustCompile("`((?:go|process)_[a-z_]+)`").FindAllStringSubmatch(string(page), -1)
	for _, m := range names {
		if !strings.Contains(w.Body.String(), "\n"+m[1]+" ") {
			t.Errorf("there is no %s", m[1])
		}
	}
	if len(names) < 5 {
		t.Errorf("the page names %d", len(names))
	}
}

// TestReady: the reason is told as text, whatever is in it, and one who does not
// answer is not ready.
func TestReady(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{nil, 200, "ready\n"},
		{errors.New("not registered: \x1b[31mred\r\nSet-Cookie: a\xff"), 503, "not registered:  [31mred  Set-Cookie: a\n"},
		{errors.New(strings.Repeat("long ", 1000)), 503, strings.Repeat("long ", maxReason/5) + "\n"},
		{fmt.Errorf("rdv: %w", context.DeadlineExceeded), 503, "the program has not answered within 3s\n"},
	} {
		w := httptest.NewRecorder()
		newTestExporter(t, func(context.Context) error { return c.err }).ready(w, httptest.NewRequest("GET", "/readyz", nil))
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%v: %d %q, want %d %q", c.err, w.Code, w.Body, c.status, c.want)
		}
		if got := w.Header().Get("Content-Type"); got != contentType {
			t.Errorf("Content-Type %q", got)
		}
	}
}

// TestReadyDeadline: the program has a moment to answer, and no more.
func TestReadyDeadline(t *testing.T) {
	e := newTestExporter(t, func(ctx context.Context) error {
		at, ok := ctx.Deadline()
		if left := time.Until(at); !ok || left > readyTime {
			t.Errorf("deadline in %v, %v, want at most %v", left, ok, readyTime)
		}
		return nil
	})
	e.ready(httptest.NewRecorder(), httptest.NewRequest("GET", "/readyz", nil))
}

// TestGatherFails: a scrape that fails is an error for Prometheus, not half an answer.
func TestGatherFails(t *testing.T) {
	e := newExporter(Config{Log: slog.New(slog.DiscardHandler)}, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, errors.New("broken") }))
	w := httptest.NewRecorder()
	e.scrapes.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
}

// TestNewFails: metrics that are described twice are found when the program starts.
func TestNewFails(t *testing.T) {
	s := newStill()
	s.Gauge("still_value", "Another one.")
	if _, err := New(Config{Program: "test", Collector: s, Ready: always}); err == nil || !strings.HasPrefix(err.Error(), "metrics: ") {
		t.Errorf("error %v", err)
	}
}

// TestListen: the address that was asked for is remembered, and one that is taken is an
// error that says what to do.
func TestListen(t *testing.T) {
	e := newTestExporter(t, always)
	s, err := e.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var h interface{ Hint() string }
	if _, err := e.Listen(s.Addr()); err == nil || !strings.HasPrefix(err.Error(), "metrics: ") || !errors.As(err, &h) {
		t.Errorf("the same port again: %v", err)
	}
}

func TestParseAddr(t *testing.T) {
	for _, good := range []string{"127.0.0.1:9469", "[::1]:1", "0.0.0.0:65535", "[fe80::1%lo]:9469"} {
		if a, err := ParseAddr(good); err != nil || a.String() != good {
			t.Errorf("%s: %v, %v", good, a, err)
		}
	}
	for _, bad := range []string{"", "9469", ":9469", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "localhost:9469", "::1:9469"} {
		_, err := ParseAddr(bad)
		var h interface{ Hint() string }
		if err == nil || !errors.As(err, &h) || !strings.Contains(h.Hint(), "127.0.0.1:9469") || strings.Contains(h.Hint(), "%!") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1:1": false, "127.8.9.1:1": false, "[::1]:1": false, "[::ffff:127.0.0.1]:1": false,
		"0.0.0.0:1": true, "[::]:1": true, "10.9.0.1:1": true, "[fe80::1]:1": true,
	} {
		if got := Public(netip.MustParseAddrPort(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	msg, hint := PublicWarning(netip.MustParseAddrPort("10.9.0.1:9469"))
	if !strings.Contains(msg, "10.9.0.1:9469") || hint == "" {
		t.Errorf("warning %q, hint %q", msg, hint)
	}
}
