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
			args := append([]string{"-v", "-c", "-L", "127.0.0.2", "-n", "20", "-z", "5", "-u", user, "-w", password,
				"-e", "127.0.0.3", "-r", strconv.Itoa(echo.LocalAddr().(*net.UDPAddr).Port), "-p", strconv.Itoa(int(r.at.Port()))}, c.options...)
			out, err := exec.CommandContext(t.Context(), program, append(args, "127.0.0.1")...).CombinedOutput()
			total := regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`).FindAllSubmatch(out, -1)
			if err != nil || len(total) == 0 {
				t.Fatalf("%v %v: %v\n%s", program, args, err, out)
			}
			last := total[len(total)-1]
			if sent, got := string(last[1]), string(last[2]); sent == "0" || sent != got {
				t.Errorf("of %s messages %s came back; counted %+v\n%s", sent, got, r.Stats(), out)
			}
		})
	}
}
