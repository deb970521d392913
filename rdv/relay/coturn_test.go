//go:build unix

package relay

import (
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"campagnol/internal/testenv"
	"campagnol/punch/udp"
)

// TestCoturn: the client of another implementation has everything relayed that it
// sends: over channels and by Send indications, to a peer and from client to client.
func TestCoturn(t *testing.T) {
	program := testenv.Tool(t, "turnutils_uclient", "coturn")
	conn, err := udp.Listen(udp.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	r := startRig(t, conn, conn.LocalAddr(), Config{
		Listen: listenSmall, May: netip.Addr.IsLoopback, PerMember: 50,
		Own: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
	})
	echo := startEcho(t)
	for _, c := range []struct {
		name    string
		options []string
	}{
		{"channels", nil},
		{"indications", []string{"-s"}},
		{"padding", []string{"-D", "-l", "101"}},
		{"client to client", []string{"-y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // each takes seconds, which it sleeps
			user, password := r.cfg.Secret.Issue(time.Now(), alice)
			runCoturn(t, r, program, echo, append([]string{"-L", "127.0.0.2", "-u", user, "-w", password}, c.options...))
		})
	}
}

// TestCoturnStream: and over TCP, to which it adds padding, and of which it takes that.
func TestCoturnStream(t *testing.T) {
	program := testenv.Tool(t, "turnutils_uclient", "coturn")
	r := startStreamRig(t, Config{PerMember: 50})
	echo := startEcho(t)
	for _, c := range []struct {
		name    string
		options []string
	}{
		{"channels", nil},
		{"odd lengths", []string{"-l", "101"}},
		{"indications", []string{"-s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			user, password := r.cfg.Secret.Issue(time.Now(), alice)
			runCoturn(t, r, program, echo, append([]string{"-t", "-L", "127.0.0.2", "-u", user, "-w", password}, c.options...))
		})
	}
}

// startEcho returns the port of a peer at 127.0.0.3 that sends everything back.
func startEcho(t *testing.T) int {
	t.Helper()
	echo := socketAt(t, "127.0.0.3:0")
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := echo.ReadFrom(b)
			if err != nil {
				return
			}
			echo.WriteTo(b[:n], from)
		}
	}()
	return echo.LocalAddr().(*net.UDPAddr).Port
}

// runCoturn has coturn's client send datagrams by the relay, all of which have to come
// back.
func runCoturn(t *testing.T, r *rig, program string, echo int, options []string) {
	t.Helper()
	args := append([]string{"-v", "-c", "-n", "20", "-z", "5", "-e", "127.0.0.3", "-r", strconv.Itoa(echo), "-p", strconv.Itoa(int(r.at.Port()))}, options...)
	out, err := exec.CommandContext(t.Context(), program, append(args, "127.0.0.1")...).CombinedOutput()
	total := regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`).FindAllSubmatch(out, -1)
	if err != nil || len(total) == 0 {
		t.Fatalf("%v %v: %v\n%s", program, args, err, out)
	}
	last := total[len(total)-1]
	if sent, got := string(last[1]), string(last[2]); sent == "0" || sent != got {
		t.Errorf("of %s messages %s came back; counted %+v\n%s", sent, got, r.Stats(), out)
	}
}
