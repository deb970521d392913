package load

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	statLine = "4711 (a) b (c) S 1 4711 4711 0 -1 4194304 500 0 0 0 123 456 0 0 20 0 6 0 12345 1700000000 2500 18446744073709551615 1 1 0"

	sockets = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 0100007F:E220 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 5
  102: 00000000:E220 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 1469
`
)

func TestParseStat(t *testing.T) {
	got, err := parseStat(statLine, 4096)
	want := Usage{User: 1230 * ms, System: 4560 * ms, RSS: 2500 * 4096}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, s := range []string{"", "1 (x", "1 (x) S 1 2 3", strings.Replace(statLine, "456", "x", 1)} {
		if _, err := parseStat(s, 4096); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

func TestParseDrops(t *testing.T) {
	if got, err := parseDrops(sockets, 57888); err != nil || got != 1469 {
		t.Errorf("got %d, %v, want 1469", got, err)
	}
	for name, s := range map[string]string{"empty": "", "not a number": strings.Replace(sockets, "1469", "many", 1)} {
		if _, err := parseDrops(s, 57888); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := parseDrops(sockets, 57889); err == nil || !strings.Contains(err.Error(), "00000000:E221") {
		t.Errorf("a port without socket: %v", err)
	}
}

// FuzzProc reads what no kernel writes.
func FuzzProc(f *testing.F) {
	f.Add(statLine)
	f.Add(sockets)
	f.Add(")")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := parseStat(s, 1); err != nil && u != (Usage{}) {
			t.Errorf("%+v, although %v", u, err)
		}
		if n, err := parseDrops(s, 57888); err == nil && !strings.Contains(s, strconv.FormatUint(n, 10)) &&
			!strings.Contains(s, "0") { // leading zeros
			t.Errorf("%d is not in the text", n)
		}
	})
}

// TestServer starts the program on one processor.
func TestServer(t *testing.T) {
	cpus, err := CPUs()
	if err != nil || len(cpus) == 0 {
		t.Fatalf("processors %v, %v", cpus, err)
	}
	cpu := cpus[len(cpus)-1]
	s := startServer(t, cpu)
	if got, want := allowed(t, s.cmd.Process.Pid), strconv.Itoa(cpu); got != want {
		t.Errorf("the server runs on %s, want %s", got, want)
	}
	u, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS < 1<<20 || u.RSS > 1<<30 || u.Dropped != 0 || u.CPU() < 0 || u.CPU() > time.Minute {
		t.Errorf("usage %+v cannot be", u)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
	if _, err := s.Usage(); err == nil {
		t.Error("a server that has ended uses something")
	}
}

// allowed returns on which processors a process may run, as /proc has it.
func allowed(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(b), "Cpus_allowed_list:")
	list, _, _ = strings.Cut(list, "\n")
	return strings.TrimSpace(list)
}

// TestStartServerFails starts what is no server.
func TestStartServerFails(t *testing.T) {
	hanging := filepath.Join(t.TempDir(), "hanging")
	if err := os.WriteFile(hanging, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		cpu  int
		want string
	}{
		{"/nonexistent", -1, "/nonexistent"},
		{"/bin/true", -1, "ended at once"},
		{program, 1000, "processor 1000"},
		{hanging, -1, "deadline"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		if _, err := StartServer(ctx, c.path, c.cpu); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.path, err, c.want)
		}
		cancel()
	}
}

// TestKeepOff moves the threads of this process, and those to come.
func TestKeepOff(t *testing.T) {
	all, err := CPUs()
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	undo, err := KeepOff(last)
	if err != nil {
		t.Fatal(err)
	}
	onThread := func() (cpus []int) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // most likely a new thread
			defer runtime.UnlockOSThread()
			cpus, err = CPUs()
		}()
		<-done
		return cpus
	}
	if got := onThread(); err != nil || len(all) > 1 && len(got) != len(all)-1 {
		t.Errorf("a thread may use %v, %v, want all of %v but %d", got, err, all, last)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if got := onThread(); err != nil || !slices.Equal(got, all) {
		t.Errorf("afterwards a thread may use %v, %v, want %v", got, err, all)
	}
}

// TestRun puts a small load on the program. Nothing may be lost.
func TestRun(t *testing.T) {
	s := startServer(t, -1)
	cfg := FleetConfig{Clients: 2000, Interval: sec, Asks: 200, Duration: 2 * sec}
	r, err := Run(t.Context(), Config{FleetConfig: cfg, Server: s.Addr(), Usage: s.Usage})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", r)
	if r.Pings != 4000 || r.Lost != 0 || r.Asks == 0 || r.Unanswered() != 0 {
		t.Errorf("%d PINGs, %d lost, %d ASKs, %d unanswered, want 4000, 0, some, 0", r.Pings, r.Lost, r.Asks, r.Unanswered())
	}
	if r.Rejects+r.Reconnects+r.Unexpected+r.HellosLost+int(r.Missed)+int(r.Server.Dropped) != 0 {
		t.Error("there was something out of the ordinary")
	}
	if r.Serve < 2*sec-10*ms || r.Register <= 0 || r.Pong.Quantile(0) <= 0 {
		t.Errorf("times cannot be: %v", r)
	}
	if r.Server.CPU() <= 0 || r.Server.RSS < 1<<20 {
		t.Errorf("the server has used %+v", r.Server)
	}
}

func TestRunRefuses(t *testing.T) {
	s := startServer(t, -1)
	fleet := FleetConfig{Clients: 2, Duration: sec}
	ended, end := context.WithCancel(t.Context())
	end()
	broken := errors.New("nothing to see")
	for _, c := range []struct {
		name   string
		ctx    context.Context
		change func(*Config)
		want   string
	}{
		{"one client", t.Context(), func(c *Config) { c.Clients = 1 }, "1 clients"},
		{"too many clients", t.Context(), func(c *Config) { c.Clients = maxClients + 1 }, "clients"},
		{"server elsewhere", t.Context(), func(c *Config) { c.Server = netip.MustParseAddrPort("192.0.2.1:57888") }, "192.0.2.1:57888"},
		{"interrupted", ended, func(*Config) {}, context.Canceled.Error()},
		{"no usage", t.Context(), func(c *Config) {
			c.Usage = func() (Usage, error) { return Usage{}, broken }
		}, broken.Error()},
	} {
		cfg := Config{FleetConfig: fleet, Server: s.Addr()}
		c.change(&cfg)
		if _, err := Run(c.ctx, cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}
