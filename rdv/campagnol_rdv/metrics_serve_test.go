//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// freeListen returns an address for TCP that nobody listens at.
func freeListen(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(freeTCP(t)))
}

// page gets a page.
func page(t *testing.T, at, path string) (status int, text string) {
	t.Helper()
	resp, err := http.Get("http://" + at + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestMetricsServed asks the program, with one client over a channel and one in clear.
func TestMetricsServed(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	at := freeListen(t)
	p := start(t, f.args("--metrics", at, "-v")...)
	a, b := dial(t, "127.0.0.2", "127.0.0.1", p.port), dial(t, "127.0.0.3", "127.0.0.1", p.port)
	a.channel(f.alice)
	b.send(hello1)
	b.receive(nok)
	b.send(hello2)
	b.receive(ok)
	b.send(ping)
	b.receive(pong)
	for path, want := range map[string]string{"/readyz": "ready\n", "/healthz": "ok\n"} {
		if status, text := page(t, at, path); status != 200 || text != want {
			t.Errorf("%s: %d %q", path, status, text)
		}
	}
	status, text := page(t, at, "/metrics")
	if status != 200 {
		t.Fatalf("status %d", status)
	}
	for _, want := range []string{
		`campagnol_build_info{goversion="go.*",program="campagnol_rdv",version=".+"} 1`,
		`campagnol_rdv_serving 1`,
		`campagnol_rdv_clients{kind="channel"} 1`,
		`campagnol_rdv_clients{kind="clear"} 1`,
		`campagnol_rdv_refusals_total{reason="clear_registration"} 1`,
		`campagnol_rdv_pings_total 1`,
		`campagnol_rdv_handshakes_total{result="ok"} 1`,
		`campagnol_rdv_certificate_expiry_timestamp_seconds{kind="own",name=".*rdv.*",serial=".+"} .+`,
		`campagnol_rdv_certificate_expiry_timestamp_seconds{kind="authority",name=".*ca.*",serial=".+"} .+`,
		`campagnol_rdv_crl_next_update_timestamp_seconds{authority=".*ca.*"} .+`,
		`campagnol_rdv_member_certificate_remaining_seconds_count 1`,
		`campagnol_rdv_socket_dropped_datagrams_total{port="` + fmt.Sprint(p.port) + `",reason="buffer_full"} \d+`,
		`process_open_fds \d+`,
	} {
		pattern := strings.NewReplacer("{", `\{`, "}", `\}`).Replace(want)
		if !regexp.MustCompile(`(?m)^` + pattern + `$`).MatchString(text) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "campagnol_rdv_relay_") {
		t.Error("there are metrics of a relay that there is not")
	}
}

// TestMetricsTaken: the server does not start if it cannot show metrics where it is to.
func TestMetricsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, _, stderr := startDaemon(t, "--metrics", l.Addr().String())
	if code != 1 || !strings.Contains(stderr, "metrics: listen tcp "+l.Addr().String()) || !strings.Contains(stderr, "hint: ") {
		t.Errorf("status %d, %q", code, stderr)
	}
	code, _, stderr = startDaemon(t, "--metrics", "9469")
	if code != 1 || !strings.Contains(stderr, `option --metrics: "9469" is not an address with a port`) {
		t.Errorf("status %d, %q", code, stderr)
	}
}
