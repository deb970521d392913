package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A watching is one way to look at a server.
type watching struct {
	name  string
	look  func(ctx context.Context) ([]byte, error)
	count string        // is in the answer once for each client; "": it does not list them
	limit time.Duration // of the median, in the long form; else it is a second
	times Latencies
}

// watchPause is how often somebody looks.
const watchPause = 200 * time.Millisecond

// TestWatched: while people and machines look at a server with 10,000 clients, at work, in
// all ways that there are, it loses nothing, and they get their answers in time.
func TestWatched(t *testing.T) {
	fleet := FleetConfig{Clients: 2000, Interval: sec, Asks: 200, Duration: 3 * sec}
	if long {
		fleet = FleetConfig{Clients: 10_000, Asks: 1000, Duration: 15 * sec}
	}
	dir, err := os.MkdirTemp("", "load-") // sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, page := filepath.Join(dir, "rdv.sock"), freeTCP(t)
	s := startServer(t, -1, "--control-socket", socket, "--metrics", page)
	ask := func(args ...string) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) {
			return exec.CommandContext(ctx, program, append(args, "--socket", socket)...).Output()
		}
	}
	ways := []*watching{
		{name: "status", look: ask("status"), limit: 100 * ms},
		{name: "clients --json", look: ask("clients", "--json"), count: `"endpoint": `, limit: 300 * ms},
		{name: "clients", look: ask("clients"), count: "\n10.", limit: 300 * ms},
		{name: "a scrape", look: get("http://" + page + "/metrics"), limit: 50 * ms},
	}

	registered, done := make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(registered) })
	var watchers sync.WaitGroup
	watchers.Go(func() { watch(t, ways, fleet.Clients, registered, done) })
	r, err := Run(t.Context(), Config{FleetConfig: fleet, Server: s.Addr(), Usage: func() (Usage, error) {
		begun()
		return s.Usage()
	}})
	close(done)
	watchers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", r)
	if r.Pings == 0 || r.Lost != 0 || r.Unanswered() != 0 || r.Server.Dropped != 0 {
		t.Errorf("of %d PINGs %d were lost, %d ASKs were not answered, %d datagrams found no room; want none", r.Pings, r.Lost, r.Unanswered(), r.Server.Dropped)
	}
	for _, w := range ways {
		limit := sec
		if long {
			limit = w.limit
		}
		t.Logf("%s, %d times: %v", w.name, w.times.Len(), &w.times)
		if got := w.times.Quantile(0.5); w.times.Len() == 0 || got > limit {
			t.Errorf("%s takes %v, want at most %v", w.name, short(got), limit)
		}
	}
}

// watch looks in all ways, again and again, from when all clients are registered until
// done is closed.
func watch(t *testing.T, ways []*watching, clients int, registered, done chan struct{}) {
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	select {
	case <-registered:
	case <-done:
		return
	}
	for {
		for _, w := range ways {
			began := time.Now()
			answer, err := w.look(t.Context())
			w.times.add(time.Since(began))
			if err != nil {
				t.Errorf("%s: %v", w.name, err)
				return
			}
			if n := bytes.Count(answer, []byte(w.count)); w.count != "" && n != clients {
				t.Errorf("%s has %d clients, want %d:\n%.500s", w.name, n, clients, answer)
				return
			}
		}
		select {
		case <-done:
			return
		case <-ticker.C:
		}
	}
}

// freeTCP returns an address with a TCP port that nobody uses at the moment.
func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get returns a way to look at a page of metrics.
func get(url string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(b), "\ncampagnol_rdv_")) {
			err = fmt.Errorf("status %d: %.100q", resp.StatusCode, b)
		}
		return b, err
	}
}
