package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// These tests run the demonstration, "campagnol lab": real processes of both
// programs, real TUN devices, real NATs of the kernel.

// labStep is a line of "campagnol lab --json".
type labStep struct {
	Step string         `json:"step"`
	Text string         `json:"text"`
	Data map[string]any `json:"data"`
}

// runLabBinary runs the command and returns its steps.
func runLabBinary(t *testing.T, args ...string) []labStep {
	t.Helper()
	testenv.Root(t)
	cmd := exec.Command(filepath.Join(binaries, "campagnol"), append([]string{"lab", "--json", "--size", "5MB"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("campagnol lab %q: %v\n%s\n%s", args, err, out, stderr.Bytes())
	}
	var steps []labStep
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var s labStep
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%v in line %q", err, lines.Bytes())
		}
		steps = append(steps, s)
	}
	return steps
}

func TestFirstLight(t *testing.T) {
	for _, c := range []struct {
		a, b   string
		direct bool
	}{
		{"port-restricted", "port-restricted", true},
		{"full-cone", "symmetric", true},
		{"symmetric", "restricted", true},
		{"none", "port-restricted", true},
		{"symmetric", "port-restricted", false},
	} {
		t.Run(c.a+" and "+c.b, func(t *testing.T) {
			t.Parallel()
			steps := runLabBinary(t, "--nat-a", c.a, "--nat-b", c.b)
			var names []string
			for _, s := range steps {
				names = append(names, s.Step)
				if reply, ok := s.Data["reply_ms"].(float64); s.Step == "connect" && (!ok || reply > 1000) {
					t.Errorf("the first reply took longer than a second: %s", s.Text)
				}
			}
			all := strings.Join(names, " ")
			want := []string{"connect", "ping", "broadcast", "transfer", "direct", "idle", "removed"}
			if !c.direct {
				want = []string{"no-path", "removed"}
			}
			for _, w := range want {
				if !strings.Contains(all, w) {
					t.Errorf("step %q is missing in %q", w, all)
				}
			}
		})
	}
}

// TestKilledPeer: a client that is killed and started again is reached while the
// other side still holds its session and keeps sending.
func TestKilledPeer(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b := m.peers[0], m.peers[1]
	a.start()
	b.start()
	a.ping(b, 5)
	if err := b.process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-b.process.Exited()
	since := time.Now()
	b.start()
	registered := time.Now()
	took, err := a.PingUntil(t.Context(), b.vpn, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("registered after %v, reached %v later", registered.Sub(since), took)
	if took > 3*time.Second {
		t.Errorf("reached %v after it was registered, want at most 3 s", took)
	}
	a.ping(b, 5)
	b.ping(a, 5)
}

// TestHostileDatagrams: clients and the server are sent garbage at their ports
// while they work.
func TestHostileDatagrams(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	for _, p := range m.peers {
		p.configure("[NETWORK]\nlocal_port = 5000\n")
		p.start()
	}
	a.ping(b, 5)
	attacker, err := m.lab.AddHost("attacker", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := attacker.ListenUDP(netip.AddrPortFrom(attacker.Addr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		to := []netip.AddrPort{
			netip.AddrPortFrom(m.server.Addr(), 57888),
			netip.AddrPortFrom(a.Addr(), 5000), netip.AddrPortFrom(b.Addr(), 5000),
		}[i%3]
		size := []int{0, 1, 10, 11, 11, 11, 12, 13, 40, 200, 1400, 9000}[rng.IntN(12)]
		d := make([]byte, size)
		for j := range d {
			d[j] = byte(rng.Uint32())
		}
		if size > 0 && rng.IntN(2) == 0 {
			d[0] = []byte{0, 2, 6, 9, 11, 12, 20, 21, 22, 23, 25, 64}[rng.IntN(12)]
		}
		if _, err := conn.WriteToUDPAddrPort(d, to); err != nil && !errors.Is(err, syscall.EMSGSIZE) {
			t.Fatal(err)
		}
	}
	a.ping(b, 5)
	b.ping(a, 5)
	for _, p := range []*lab.Process{a.process, b.process, m.rdv} {
		select {
		case <-p.Exited():
			t.Errorf("%v has ended", p)
		default:
		}
	}
}
