package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// netip24 returns the peer's VPN address with the VPN's network.
func netip24(p *meshPeer) netip.Prefix { return netip.PrefixFrom(p.vpn, 24) }

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLogTexts runs the program from its start to SIGTERM at each verbosity and
// looks in what it prints for the texts of Campagnol 0.3.5, as a script with grep
// would. Those that need more of a life, and failures, have their test in package
// client.
func TestLogTexts(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "ip", "iproute2")
	for level, option := range []string{"", "-v", "-d"} {
		t.Run("option "+option, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, lab.None, lab.None)
			a, b := m.peers[0], m.peers[1]
			a.configure("[COMMANDS]\ndefault_up = no\nup = ip address add %V/24 dev %D\nup = ip link set %D mtu %M up\nup = exit 7\n")
			b.start()
			args := []string{a.conf}
			if option != "" {
				args = append(args, option)
			}
			var err error
			if a.process, err = a.Start("campagnol", filepath.Join(binaries, "campagnol"), args...); err != nil {
				t.Fatal(err)
			}
			m.await(a.process, "Starting VPN")
			if _, err := a.PingUntil(t.Context(), b.vpn, 100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if err := a.process.Stop(); err != nil {
				t.Fatal(err)
			}
			checkTexts(t, readText(t, a.process.LogPath()), level, map[string]int{
				"Starting VPN":                                   0,
				"Received signal 15, exiting...":                 0,
				"Configuration:":                                 1,
				"Socket opened":                                  1,
				"TUN interface initialization":                   1,
				"TUN interface configuration (tun0 MTU 1419)":    1,
				"Registering with the RDV server...":             1,
				"Registration complete":                          1,
				"New DTLS connection opened with peer 10.9.0.2":  1,
				"Closing DTLS connection with peer 10.9.0.2":     1,
				"Running: ip address add 10.9.0.1/24 dev 'tun0'": 2,
				"Running: ip link set 'tun0' mtu 1419 up":        2,
				"Exited with status 0":                           2,
				"Exited with status 7":                           2,
				"Sending HELLO":                                  2,
				"Sending BYE":                                    2,
				"Adding new client 10.9.0.2":                     2,
				fmt.Sprintf("Punching %v ", b.Addr()):            2,
				fmt.Sprintf("[%s:2] [NETWORK] 'server_host' = '%v'", a.conf, m.server.Addr()):    2,
				fmt.Sprintf("[%s:15] [COMMANDS] 'up' = 'ip address add %%V/24 dev %%D'", a.conf): 2,
			})
		})
	}
}

// checkTexts checks that each text is in a line of the log, if level is at least
// that which is noted with the text, and else is not.
func checkTexts(t *testing.T, log string, level int, texts map[string]int) {
	t.Helper()
	for text, from := range texts {
		if got, want := strings.Contains(log, text), level >= from; got != want {
			t.Errorf("%q is in the log: %v, want %v", text, got, want)
		}
	}
	if t.Failed() {
		t.Logf("the log:\n%s", log)
	}
}
