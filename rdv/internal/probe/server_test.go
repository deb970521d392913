package probe

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/udp"
)

// What TestServer probes, if it is not the program of this tree.
var (
	rdvFlag      = flag.String("rdv", "", "probe the server at `address:port`, which lets any number of clients register")
	limitedFlag  = flag.String("rdv-limited", "", "probe, for a full table, the server at `address:port`, which lets two clients register")
	originalFlag = flag.Bool("original", false, "expect the answers of Campagnol 0.3.5")
	hostsFlag    = flag.String("hosts", "", "three `addresses` of this host to send from, with commas between\n"+
		"(default 127.0.0.2 and so on, for a server on the loopback interface)")
)

// program is campagnol_rdv, built from this tree.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "campagnol-probe-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "campagnol_rdv")
	if out, err := exec.Command("go", "build", "-o", program, "campagnol/rdv/campagnol_rdv").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A process is a running server and what it has printed.
type process struct {
	addr netip.AddrPort

	mu    sync.Mutex
	more  *sync.Cond
	lines []string
	ended bool
}

// start runs the program on a free port, until the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	free, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(free.LocalAddr().(*net.UDPAddr).Port)
	free.Close()
	p := &process{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	p.more = sync.NewCond(&p.mu)
	cmd := exec.Command(program, append([]string{"-p", strconv.Itoa(int(port))}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() { p.read(bufio.NewScanner(out)) })
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		reader.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	p.await(t, "Server listening on port")
	return p
}

func (p *process) read(s *bufio.Scanner) {
	for s.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		p.mu.Unlock()
		p.more.Broadcast()
	}
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.more.Broadcast()
}

// await waits for a line with text, and returns all lines until then.
func (p *process) await(t *testing.T, text string) []string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := 0; ; p.more.Wait() {
		for ; n < len(p.lines); n++ {
			if strings.Contains(p.lines[n], text) {
				return p.lines[:n+1]
			}
		}
		if p.ended {
			t.Fatalf("the server has not printed %q, but %q", text, p.lines)
		}
	}
}

// listen opens a kernel's socket.
func listen(at netip.AddrPort) (punch.Conn, error) {
	return udp.Listen(udp.Config{Addr: at, RcvBuf: 1 << 18, SndBuf: 1 << 18, Batch: 2})
}

// hosts returns the addresses to probe a server from.
func hosts(t *testing.T, server netip.AddrPort) (addrs []netip.Addr) {
	t.Helper()
	list := *hostsFlag
	if list == "" && server.Addr().IsLoopback() {
		list = "127.0.0.2,127.0.0.3,127.0.0.4"
	}
	for _, text := range strings.Split(list, ",") {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() {
			t.Fatalf("-hosts %q: %q is no IPv4 address; a server that is not on the loopback interface needs -hosts", list, text)
		}
		addrs = append(addrs, a)
	}
	return addrs
}

// prober returns a prober for the server at address, or for one that it starts
// with these arguments.
func prober(t *testing.T, address string, args ...string) *Prober {
	t.Helper()
	var at netip.AddrPort
	if address == "" {
		at = start(t, args...).addr
	} else {
		var err error
		if at, err = netip.ParseAddrPort(address); err != nil {
			t.Fatal(err)
		}
	}
	p := &Prober{Server: at, Original: *originalFlag, Hosts: hosts(t, at), Listen: listen, Grace: 5 * time.Millisecond}
	if !at.Addr().IsLoopback() {
		p.Grace = 300 * time.Millisecond
	}
	return p
}

// lanes says which checks a prober runs one after the other, because they need
// a server for themselves: one that the test starts for each, or that which the
// flag names.
func lanes(t *testing.T, exclusive []Check) map[*Prober][]Check {
	t.Helper()
	lanes := map[*Prober][]Check{}
	switch {
	case *limitedFlag != "":
		lanes[prober(t, *limitedFlag)] = exclusive
	case *rdvFlag == "":
		for _, c := range exclusive {
			lanes[prober(t, "", "-m", "2")] = []Check{c}
		}
	}
	return lanes
}

// TestServer runs all checks on the program, or on the server that the flags
// name. They wait most of the time, and so run all at once.
func TestServer(t *testing.T) {
	server := prober(t, *rdvFlag, "-m", "0")
	results := map[string]chan error{}
	var exclusive []Check
	for _, c := range Checks() {
		results[c.Name] = make(chan error, 1)
		if c.Limited {
			exclusive = append(exclusive, c)
		}
	}
	limited := lanes(t, exclusive)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, c := range Checks() {
		if !c.Limited {
			running.Go(func() { results[c.Name] <- server.Run(ctx, c) })
		}
	}
	for p, checks := range limited {
		running.Go(func() {
			for _, c := range checks {
				results[c.Name] <- p.Run(ctx, c)
			}
		})
	}
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			if c.Limited && len(limited) == 0 {
				t.Skip("the server at -rdv has no limit of two clients: -rdv-limited names one that has")
			}
			if err := <-results[c.Name]; err != nil {
				t.Errorf("%s\n%v", c.Says, err)
			}
		})
	}
}
