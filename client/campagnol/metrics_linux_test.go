package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// at gets a page from an address in the peer's namespace.
func (p *meshPeer) at(addr, path string) (status int, text string, err error) {
	conn, err := p.DialTCP(p.m.t.Context(), netip.MustParseAddrPort(addr))
	if err != nil {
		return 0, "", err
	}
	return fetchOver(conn, path)
}

// awaitReady asks until the peer's client is ready, or not any more, and returns what
// it says.
func (p *meshPeer) awaitReady(addr string, want int) string {
	p.m.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, text, err := p.at(addr, "/readyz")
		if err == nil && status == want {
			return text
		}
		if time.Now().After(deadline) {
			p.m.t.Fatalf("/readyz: %d %q, %v; want %d", status, text, err, want)
		}
	}
}

// metric returns the line of a metric in the answer to a scrape.
func metric(t *testing.T, text, begin string) string {
	t.Helper()
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, begin) {
			return strings.TrimSpace(l)
		}
	}
	t.Errorf("there is no %s in\n%s", begin, text)
	return ""
}

// TestMetricsForReal asks a client over the network and by its control socket: while it
// has a tunnel, when the server is away, and after SIGHUP has moved the listener.
func TestMetricsForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	socket := a.withSocket()
	const first, second = "127.0.0.1:9469", "[::1]:9470"
	a.configure("metrics = " + first + "\n")
	a.start()
	b.start()
	a.ping(b, 3)
	if got := a.awaitReady(first, 200); got != "ready\n" {
		t.Errorf("/readyz says %q", got)
	}
	rdv := fmt.Sprintf("%v:57888", m.server.Addr())
	_, text, err := a.at(first, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for begin, want := range map[string]string{
		"campagnol_running ":                     "campagnol_running 1",
		"campagnol_registered{":                  `campagnol_registered{rdv="` + rdv + `"} 1`,
		"campagnol_peer_up{":                     `campagnol_peer_up{peer="10.9.0.2"} 1`,
		`campagnol_handshakes_total{result="ok"`: `campagnol_handshakes_total{result="ok"} 1`,
		`campagnol_peers{state="established"`:    `campagnol_peers{state="established"} 1`,
		"process_start_time_seconds ":            "process_start_time_seconds ",
	} {
		if got := metric(t, text, begin); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if status, bySocket, err := fetchOver(conn, "/metrics"); err != nil || status != 200 {
		t.Errorf("by the control socket: %d, %v", status, err)
	} else {
		metric(t, bySocket, `campagnol_peer_up{peer="10.9.0.2"} 1`)
	}

	if err := m.rdv.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := a.awaitReady(first, 503); !strings.HasPrefix(got, "not registered at a rendezvous server: "+rdv) {
		t.Errorf("/readyz says %q", got)
	}
	if status, text, err := a.at(first, "/healthz"); err != nil || status != 200 || text != "ok\n" {
		t.Errorf("/healthz: %d %q, %v", status, text, err)
	}

	a.edit("metrics = "+first, "metrics = "+second)
	a.signal(syscall.SIGHUP)
	a.awaitReady(second, 503)
	if _, _, err := a.at(first, "/healthz"); err == nil {
		t.Error("the client listens at the old place yet")
	}
}

// TestMetricsInUse: a client does not start if it cannot show metrics where it is to.
func TestMetricsInUse(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	a := m.peers[0]
	l, err := a.ListenTCP(netip.MustParseAddrPort("127.0.0.1:9469"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a.configure("[CLIENT]\nmetrics = 127.0.0.1:9469\n")
	process, err := a.Start("refused", binaries+"/campagnol", a.conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(t.Context()); err == nil {
		t.Error("it has ended without an error")
	}
	if log := process.Tail(); !strings.Contains(log, "metrics: listen tcp 127.0.0.1:9469") || !strings.Contains(log, "hint: choose an address of this host") {
		t.Errorf("it says\n%s", log)
	}
}
