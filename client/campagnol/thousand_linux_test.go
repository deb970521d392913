package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/metrics"
	"campagnol/internal/testenv"
	"campagnol/pki/pkitest"
)

// How TestThousandPeers is played. On a machine that has other work to do, how long
// something takes says little; the long form has the bounds that docs/metrics.md tells.
var thousand = thousandBounds{
	peers: 200, rounds: 2, spell: 2 * time.Second, rate: 100e6,
	status: 100 * time.Millisecond, scrape: 100 * time.Millisecond, processes: 25, dip: 0.5, loss: 0.05,
}

// A thousandBounds says how much is watched, and what that may cost.
type thousandBounds struct {
	peers          int // with an open tunnel
	rounds         int
	spell          time.Duration // of each round, without watching and with it
	rate           float64       // of the traffic, in bits per second
	status, scrape time.Duration // of the median
	processes      int           // or else, so many times what it takes to run the program for nothing
	dip            float64       // of the throughput, as a part of it
	loss           float64       // of datagrams that are lost more often while somebody watches
}

// watchPause is how often somebody looks.
const watchPause = 200 * time.Millisecond

// thousandPolicy lets all pass that this test sends, by a rule for each.
const thousandPolicy = `version 1
default allow
filter all -> all: allow udp/1-65535, icmp
`

// TestThousandPeers: a client with a thousand peers, through which traffic flows, is
// watched by people and machines all at once, and that costs the traffic nothing.
func TestThousandPeers(t *testing.T) {
	testenv.Tool(t, "chrt", "util-linux")
	m := newMesh(t, lab.None, lab.None, lab.None)
	a, b, crowd := m.peers[0], m.peers[1], m.peers[2]
	w := &watcher{t: t, peer: a, socket: a.withSocket(), metrics: netip.MustParseAddrPort("127.0.0.1:9469")}
	a.configure("metrics = " + w.metrics.String() + "\n")
	m.gather(crowd, a, thousand.peers-1)
	b.startFirst()
	a.ping(b, 3)
	w.look()
	for _, way := range [][2]*meshPeer{{a, b}, {b, a}} {
		t.Run(way[0].Name()+" sends", func(t *testing.T) { w.compare(t, newTraffic(t, way[0], way[1], thousand.rate)) })
	}
}

// gather opens tunnels from so many clients, which are on one host, to a peer, which it
// starts.
func (m *mesh) gather(crowd, to *meshPeer, n int) {
	m.t.Helper()
	ca := pkitest.NewCA(m.t, "CA of the crowd", time.Now())
	certs := filepath.Join(m.lab.Dir(), "crowd.pem")
	writeCrowd(m.t, ca, n, certs)
	root, err := os.ReadFile(ca.WriteFile(m.t, m.t.TempDir()))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, file := range m.authorities() {
		appendTo(m.t, file, root)
	}
	rules := filepath.Join(m.lab.Dir(), "policy")
	if err := os.WriteFile(rules, []byte(thousandPolicy), 0o600); err != nil {
		m.t.Fatal(err)
	}
	for _, p := range m.peers {
		p.configure("[VPN]\nnetwork = 10.9.0.0/16\ndns_domain = vpn.example\n[NETWORK]\nrdv_auth = yes\n" +
			"[CLIENT]\nmax_clients = 2000\n[SECURITY]\npolicy_file = " + rules + "\n")
	}
	m.restartServer(append(m.modeOf("mixed"), "-m", "2000")...)
	to.startFirst()
	exe, err := os.Executable()
	if err == nil {
		crowd.process, err = crowd.Start("crowd", exe, crowdArg, crowd.conf, certs, to.vpn.String())
	}
	if err != nil {
		m.t.Fatal(err)
	}
	began := time.Now()
	m.awaitLong(crowd.process, time.Time{}, "Connected")
	m.t.Logf("%d tunnels are open after %v", n, time.Since(began))
}

// startFirst is start of a client that says little, and that comes before all that runs on
// the machine, as if it had a processor of its own: what is lost then, while somebody
// watches, is lost by what the client does for him.
func (p *meshPeer) startFirst() {
	p.m.t.Helper()
	var err error
	if p.process, err = p.Start("campagnol", "chrt", "-r", "1", filepath.Join(binaries, "campagnol"), "-v", "--log-format", "json", p.conf); err != nil {
		p.m.t.Fatal(err)
	}
	p.m.await(p.process, "Registration complete")
}

// authorities returns the files with whom the server and the peers believe.
func (m *mesh) authorities() []string {
	files := []string{m.creds.CA}
	for _, p := range m.peers {
		files = append(files, confValue(m.t, p.conf, "ca_certificates"))
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// appendTo adds text to a file.
func appendTo(t *testing.T, file string, text []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
}

// A watcher looks at a client in all ways that there are.
type watcher struct {
	t       *testing.T
	peer    *meshPeer
	socket  string
	metrics netip.AddrPort

	nothings, statuses, texts, scrapes []time.Duration
}

// watch looks until the end.
func (w *watcher) watch(until time.Time) {
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	for time.Now().Before(until) {
		w.look()
		<-ticker.C
	}
}

// look looks once, and notes how long that takes.
func (w *watcher) look() {
	w.t.Helper()
	began := time.Now()
	w.command("version")
	w.nothings = append(w.nothings, time.Since(began))
	began = time.Now()
	text := w.command("status", "--json", "--socket", w.socket)
	w.statuses = append(w.statuses, time.Since(began))
	// It is not decoded: that would take longer than the command, of the same processors.
	least := thousand.peers * 9 / 10 // where there is too much to do, some peers have to be reached anew
	if open := bytes.Count(text, []byte(`"state": "ESTABLISHED"`)); open < least {
		w.t.Fatalf("the status has %d open tunnels, want %d", open, thousand.peers)
	}
	began = time.Now()
	text = w.command("status", "--socket", w.socket)
	w.texts = append(w.texts, time.Since(began))
	if n := bytes.Count(text, []byte("\n10.9.")); n < least {
		w.t.Fatalf("the status shows %d peers, want %d:\n%s", n, thousand.peers, text)
	}
	began = time.Now()
	code, page, err := w.peer.at(w.metrics.String(), metrics.MetricsPath)
	w.scrapes = append(w.scrapes, time.Since(began))
	if n := strings.Count(page, "\ncampagnol_peer_up{"); err != nil || code != 200 || n < least {
		w.t.Fatalf("the scrape has status %d, %d peers, want %d: %v", code, n, thousand.peers, err)
	}
}

// command runs the real program.
func (w *watcher) command(args ...string) []byte {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), filepath.Join(binaries, "campagnol"), args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			w.t.Logf("%s", exit.Stderr)
		}
		w.t.Fatalf("campagnol %q: %v", args, err)
	}
	return out
}

// A stretch is what came of some seconds of traffic, several times.
type stretch struct {
	sent, received int64
	rates          []float64
}

// measure lets traffic flow while something is done, until all of it has come or is lost.
func (s *stretch) measure(f *traffic, during func(until time.Time)) {
	before := f.flow(true)
	during(before.at.Add(thousand.spell))
	end := f.count()
	after := f.flow(false)
	s.sent += after.sent - before.sent
	s.received += after.received - before.received
	s.rates = append(s.rates, end.rate(before))
}

// lost returns how many datagrams have not come.
func (s *stretch) lost() int64 { return s.sent - s.received }

// rate returns the median.
func (s *stretch) rate() float64 {
	slices.Sort(s.rates)
	return s.rates[len(s.rates)/2]
}

// compare watches in every other stretch of traffic, and compares those with the others.
func (w *watcher) compare(t *testing.T, f *traffic) {
	defer f.stop()
	w.nothings, w.statuses, w.texts, w.scrapes = nil, nil, nil, nil
	rest := func(until time.Time) { time.Sleep(time.Until(until)) }
	new(stretch).measure(f, rest) // the path is as large then as it will be
	var quiet, watched stretch
	for range thousand.rounds {
		quiet.measure(f, rest)
		watched.measure(f, w.watch)
	}
	t.Logf("without watching %v, %d of %d lost; with it %v, %d of %d lost", mbits(quiet.rate()), quiet.lost(), quiet.sent,
		mbits(watched.rate()), watched.lost(), watched.sent)
	w.checkTimes(t)
	if part := watched.rate() / quiet.rate(); part < 1-thousand.dip {
		t.Errorf("while somebody watches there is %.1f %% of the throughput, want %.0f %%", 100*part, 100*(1-thousand.dip))
	}
	if least := thousand.rate / 2; quiet.rate() < least {
		t.Errorf("nobody watches, and there are %v, want %v at least", mbits(quiet.rate()), mbits(least))
	}
	more := float64(watched.lost())/float64(watched.sent) - float64(quiet.lost())/float64(quiet.sent)
	if more > thousand.loss {
		t.Errorf("%.3f %% of the datagrams are lost by watching, want at most %.3f %%", 100*more, 100*thousand.loss)
	}
}

// checkTimes compares how long looks have taken with the bounds.
func (w *watcher) checkTimes(t *testing.T) {
	t.Helper()
	slices.Sort(w.nothings)
	nothing := percentile(w.nothings, 50)
	t.Logf("to run the program for nothing: median %v, p99 %v", nothing, percentile(w.nothings, 99))
	for _, x := range []struct {
		what  string
		times []time.Duration
		limit time.Duration
	}{{"status --json", w.statuses, thousand.status}, {"status", w.texts, thousand.status}, {"a scrape", w.scrapes, thousand.scrape}} {
		slices.Sort(x.times)
		got, limit := percentile(x.times, 50), max(x.limit, time.Duration(thousand.processes)*nothing)
		t.Logf("%s: median %v, p99 %v of %d", x.what, got, percentile(x.times, 99), len(x.times))
		if got > limit {
			t.Errorf("%s takes %v, want at most %v", x.what, got, limit)
		}
	}
}

// mbits is a rate for people.
func mbits(rate float64) string { return fmt.Sprintf("%.1f Mbit/s", rate/1e6) }
