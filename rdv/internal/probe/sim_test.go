package probe

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// serverAddr is where simulated servers are.
var serverAddr = netip.MustParseAddrPort("198.51.100.1:57888")

// A server is what simulated servers are made by: it serves on a socket until
// that is closed.
type server func(t *testing.T, conn punch.Conn, limit int)

// ours is the real server, in memory.
func ours(t *testing.T, conn punch.Conn, limit int) {
	// Its Run ends, with an error, when the socket is closed.
	_ = rdv.New(rdv.Config{Conn: conn, MaxClients: limit}).Run(t.Context())
}

// simulate runs a check on a server of its own, in virtual time.
func simulate(t *testing.T, serve server, original bool, c Check) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		p := &Prober{Server: serverAddr, Original: original, Grace: 20 * time.Millisecond}
		hosts := map[netip.Addr]*simnet.Host{}
		for _, a := range []string{"203.0.113.21", "203.0.113.22", "203.0.113.23"} {
			h := n.Internet().Host(a)
			p.Hosts = append(p.Hosts, h.Addrs()[0])
			hosts[h.Addrs()[0]] = h
		}
		p.Listen = func(at netip.AddrPort) (punch.Conn, error) { return hosts[at.Addr()].Listen(at) }
		conn := n.Internet().Listen(serverAddr.String())
		limit := 0
		if c.Limited {
			limit = 2
		}
		var serving sync.WaitGroup
		serving.Go(func() { serve(t, conn, limit) })
		err = p.Run(t.Context(), c)
		conn.Close()
		serving.Wait()
		n.Close()
	})
	return err
}

// TestSimulated runs all checks on the server in memory.
func TestSimulated(t *testing.T) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			if err := simulate(t, ours, false, c); err != nil {
				t.Errorf("%s\n%v", c.Says, err)
			}
		})
	}
}
