//go:build long && unix

package client

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv/wire"
)

// crowdAt names, in the environment of TestCrowdPeers, the address that it sends
// to.
const crowdAt = "CAMPAGNOL_TEST_CROWD"

// crowdRate is how many keep-alives a second 10,000 peers send.
const crowdRate = 1000

// A diversion sends everything to one address.
type diversion struct {
	*udp.Conn
	to netip.AddrPort
	ds []punch.Datagram
}

func (d *diversion) Send(ds []punch.Datagram) error {
	d.ds = append(d.ds[:0], ds...)
	for i := range d.ds {
		d.ds[i].Addr = d.to
	}
	return d.Conn.Send(d.ds)
}

// TestCrowdPeers is the process that TestCrowdIdle starts: it sends what 10,000
// peers would, one by one, until it is killed.
func TestCrowdPeers(t *testing.T) {
	to := os.Getenv(crowdAt)
	if to == "" {
		return
	}
	conn, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	b := wire.Message{Type: wire.KeepAlive}.Append(nil)
	for range time.Tick(time.Second / crowdRate) {
		conn.Write(b)
	}
}

// TestCrowdIdle: 10,000 sessions without traffic, of which we keep the paths open,
// cost less than a hundredth of a processor. The datagrams really leave, to a socket
// that nobody reads. What it costs when the peers do the same is logged only: each
// of their datagrams wakes the process, and that costs what it costs the machine,
// since a packet must not wait for others.
func TestCrowdIdle(t *testing.T) {
	const n, spell, limit = 10_000, 20 * time.Second, 0.01
	socket, err := udp.Listen(udp.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // never read
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	conn := &diversion{Conn: socket, to: nobody.LocalAddr().(*net.UDPAddr).AddrPort()}
	c := newCrowd(t, conn, n, 10*time.Second, func(cfg *Config) { cfg.Timeout = time.Hour })
	measure := func() (part float64, st udp.Stats) {
		time.Sleep(time.Second)
		before, used, began := socket.Stats(), cpuTime(t), time.Now()
		time.Sleep(spell)
		part = float64(cpuTime(t)-used) / float64(time.Since(began))
		st = socket.Stats()
		st.Sent, st.Writes = st.Sent-before.Sent, st.Writes-before.Writes
		st.Received, st.Reads = st.Received-before.Received, st.Reads-before.Reads
		t.Logf("%.2f %% of a processor; sent %d in %d calls, received %d in %d", 100*part, st.Sent, st.Writes, st.Received, st.Reads)
		return part, st
	}
	part, st := measure()
	if part > limit {
		t.Errorf("%.2f %% of a processor, want at most %.0f %%", 100*part, 100*limit)
	}
	if want := uint64(n * spell / defaultKeepAlive); st.Sent < want*9/10 || st.Sent > want*11/10 {
		t.Errorf("%d keep-alives, want about %d", st.Sent, want)
	}

	peers := exec.Command(os.Args[0], "-test.run=^TestCrowdPeers$")
	peers.Env = append(os.Environ(), crowdAt+"="+socket.LocalAddr().String())
	if err := peers.Start(); err != nil {
		t.Fatal(err)
	}
	defer peers.Wait()
	defer peers.Process.Kill()
	measure()
	s, err := c.client.Status(t.Context())
	if err != nil || len(s.Peers) != n {
		t.Errorf("%d sessions (%v), want %d", len(s.Peers), err, n)
	}
}

// cpuTime returns the processor time that this process has used.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
