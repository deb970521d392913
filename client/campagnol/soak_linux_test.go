//go:build long

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// TestSoak runs two clients for half an hour, with traffic, idle closes and
// restarts of the rendezvous server, and checks that nothing is lost but what has
// to be, and that nothing piles up: goroutines, memory, open files, namespaces.
// CAMPAGNOL_SOAK is another duration.
func TestSoak(t *testing.T) {
	length := 30 * time.Minute
	if s := os.Getenv("CAMPAGNOL_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	m := newMesh(t, lab.PortRestricted, lab.Restricted)
	for _, p := range m.peers {
		p.configure("timeout = 5\nkeepalive = 2\n")
		p.start("--pprof", soakProfiles)
	}
	a, b := m.peers[0], m.peers[1]
	var before [2]usage
	cycles, restarts := 0, 0
	for end := time.Now().Add(length); time.Now().Before(end); cycles++ {
		soakCycle(t, a, b, cycles)
		if cycles%5 == 4 {
			soakRestart(t, m)
			restarts++
		}
		if cycles == 2 { // everything has been done once
			before = [2]usage{usageOf(t, a), usageOf(t, b)}
			t.Logf("after %d cycles: %v, %v", cycles, before[0], before[1])
		}
	}
	after := [2]usage{usageOf(t, a), usageOf(t, b)}
	t.Logf("after %d cycles and %d restarts of the server: %v, %v", cycles, restarts, after[0], after[1])
	for i := range after {
		if after[i].goroutines != before[i].goroutines {
			t.Errorf("peer %d: %d goroutines at first, %d in the end", i+1, before[i].goroutines, after[i].goroutines)
		}
		if after[i].files != before[i].files {
			t.Errorf("peer %d: %d open files at first, %d in the end", i+1, before[i].files, after[i].files)
		}
		if after[i].rss > before[i].rss+before[i].rss/2+(8<<20) {
			t.Errorf("peer %d: %d MB at first, %d MB in the end", i+1, before[i].rss>>20, after[i].rss>>20)
		}
	}
	for _, p := range m.peers {
		if err := p.process.Stop(); err != nil {
			t.Error(err)
		}
	}
	dir := m.lab.Dir()
	if err := m.lab.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is left", dir)
	}
}

// soakCycle is traffic both ways, and then silence until the session is closed.
func soakCycle(t *testing.T, a, b *meshPeer, n int) {
	t.Helper()
	began := time.Now()
	if n%2 == 1 {
		a, b = b, a
	}
	if r := a.ping(b, 20); r.First() > time.Second {
		t.Errorf("cycle %d: first reply after %v", n, r.First())
	}
	if _, err := lab.Bulk(t.Context(), a.Node, b.Node, netip.AddrPortFrom(b.vpn, 0), lab.BulkOptions{Size: 20e6}); err != nil {
		t.Fatalf("cycle %d: %v", n, err)
	}
	b.ping(a, 20)
	a.m.awaitSince(a.process, began, "Closing DTLS connection with peer")
	a.m.awaitSince(b.process, began, "DTLS connection closed by peer")
}

// soakRestart restarts the server and waits until both clients are registered.
func soakRestart(t *testing.T, m *mesh) {
	t.Helper()
	if err := m.rdv.Stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	m.startServer()
	for _, p := range m.peers {
		m.awaitSince(p.process, began, "Registration complete")
	}
}

// soakProfiles is where a client shows how many goroutines it has.
const soakProfiles = "127.0.0.1:6060"

// A usage is what a process uses.
type usage struct {
	goroutines, files int
	rss               int64 // bytes
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d open files, %.1f MB", u.goroutines, u.files, float64(u.rss)/(1<<20))
}

func usageOf(t *testing.T, p *meshPeer) (u usage) {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(p.process.PID()))
	// The profile takes a goroutine or two of its own, each time the same.
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return p.DialTCP(ctx, netip.MustParseAddrPort(addr)) // in its namespace
		},
	}}
	resp, err := client.Get("http://" + soakProfiles + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil {
		_, err = fmt.Sscanf(string(b), "goroutine profile: total %d", &u.goroutines)
	}
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // its connection is closed
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(files)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			u.rss = kb << 10
		}
	}
	return u
}
