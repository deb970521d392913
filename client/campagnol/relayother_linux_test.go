package main

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// The account at the TURN server of another implementation.
const (
	turnUser     = "alice"
	turnPassword = "not-so-secret"
)

// startCoturn starts coturn on a host of its own, and returns that.
func (m *mesh) startCoturn() *lab.Host {
	m.t.Helper()
	program := testenv.Tool(m.t, "turnserver", "coturn")
	h, err := m.lab.AddHost("turn", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	dir := m.lab.Dir()
	_, err = h.Start("turnserver", program, "-n", "--listening-ip="+h.Addr().String(), "--relay-ip="+h.Addr().String(),
		"--lt-cred-mech", "--realm=lab", "--user="+turnUser+":"+turnPassword, "--no-tls", "--no-dtls", "--no-cli",
		"--min-port=49152", "--max-port=49200", "--log-file=stdout", "--simple-log",
		"--userdb="+filepath.Join(dir, "turn.db"), "--pidfile="+filepath.Join(dir, "turn.pid"))
	if err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, "coturn does not listen", func() bool {
		conn, err := h.DialTCP(m.t.Context(), netip.AddrPortFrom(h.Addr(), 3478))
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			return false
		}
		conn.Close()
		return true
	})
	return h
}

// TestRelayCoturn: a TURN server that the configuration names relays, reached over UDP
// and over TCP; the rendezvous server is none. The password is in no log.
func TestRelayCoturn(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			m := relayed(t, hardPair)
			a, b := m.peers[0], m.peers[1]
			h := m.startCoturn()
			for _, p := range m.peers {
				p.configure(fmt.Sprintf("relay = turn:%v:3478?transport=%s %s %s\n", h.Addr(), transport, turnUser, turnPassword))
			}
			m.startAll()
			r, err := a.PingUntil(soon(t, 20*time.Second), b.vpn, 50*time.Millisecond)
			if err != nil {
				t.Fatalf("the peer is not reached: %v", err)
			}
			a.ping(b, 20)
			relay, _ := a.opened(b, time.Time{})
			t.Logf("reached after %v, by %q", r, relay)
			if !strings.Contains(relay, h.Addr().String()) {
				t.Errorf("the relay is %q, want coturn at %v", relay, h.Addr())
			}
			bulk, err := lab.Bulk(t.Context(), a.Node, b.Node, netip.AddrPortFrom(b.vpn, 0), lab.BulkOptions{Size: 2_000_000})
			if err != nil {
				t.Errorf("a transfer by coturn: %v", err)
			}
			t.Logf("%d bytes in %v", bulk.Bytes, bulk.Took)
			for _, p := range m.peers {
				lines, err := p.process.Log()
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range lines {
					if strings.Contains(fmt.Sprint(l), turnPassword) {
						t.Errorf("%s has logged the password: %v", p.Name(), l)
					}
				}
			}
		})
	}
}

// TestMemberRelays: the rendezvous server is no relay, and a third member that is one
// carries what two others send each other, which it cannot read.
func TestMemberRelays(t *testing.T) {
	t.Parallel()
	m := relayed(t, append(append([]lab.Kind{}, hardPair...), lab.None))
	a, b, c := m.peers[0], m.peers[1], m.peers[2]
	c.configure("relay = yes\n")
	m.startAll()
	w, err := c.Interface("eth0").Watch(lab.WatchOptions{Filter: lab.FilterUDP(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	device, err := c.Interface("tun0").Watch(lab.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	took, err := a.PingUntil(soon(t, 20*time.Second), b.vpn, 50*time.Millisecond)
	if err != nil {
		t.Fatalf("the peer is not reached: %v", err)
	}
	a.ping(b, 20)
	relay, _ := a.opened(b, time.Time{})
	t.Logf("reached after %v, by %q", took, relay)
	if relay == "" {
		t.Error("the session is not relayed, through symmetric NATs")
	}
	text := []byte("the member must not be able to read this")
	a.tell(b, text, 100)
	if seen := lab.Inspect(w.Seen(), text); seen.Leaks > 0 || seen.Pieces[lab.Record] < 200 {
		t.Errorf("at the member that relays: %v, want records alone", seen)
	}
	if seen := lab.Inspect(device.Seen(), text); seen.Leaks > 0 {
		t.Errorf("behind the tunnel of the member that relays: %v", seen)
	}
}

// rateTolerance is how far a rate may be from its bound.
const rateTolerance = 0.05

// TestRelayQuota: the server relays no more than it is told for each client, and not
// much less.
func TestRelayQuota(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, hardPair, "--relay", "--relay-rate", "500")
		defer m.close()
		m.connectFirst()
		return m.withinQuota(500_000, m.peers[0].pour(m.peers[1], 1_000_000, 4*time.Second)())
	})
}

// TestMemberRelayQuota: a member that relays gives no more than it says for all together,
// and not much less. Two send at the same time, since one alone may not get all of it.
func TestMemberRelayQuota(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, append(append([]lab.Kind{}, hardPair...), lab.None))
		defer m.close()
		a, b, c := m.peers[0], m.peers[1], m.peers[2]
		c.configure("relay = yes\nrelay_max_rate = 500\n")
		m.connectFirst()
		there := a.pour(b, 800_000, 4*time.Second)
		back := b.pour(a, 800_000, 4*time.Second)
		return m.withinQuota(500_000, there()+back())
	})
}

// connectFirst starts all, and opens the session of the first two peers.
func (m *mesh) connectFirst() {
	m.t.Helper()
	m.startAll()
	if _, err := m.peers[0].PingUntil(soon(m.t, 20*time.Second), m.peers[1].vpn, 50*time.Millisecond); err != nil {
		m.t.Fatalf("the peer is not reached: %v", err)
	}
}

// withinQuota says by how much a rate is too far from what it is to be, if it is; both
// are in bytes per second.
func (m *mesh) withinQuota(want, got float64) string {
	m.t.Logf("%.0f bytes a second of %.0f", got, want)
	if math.Abs(got-want) > rateTolerance*want {
		return fmt.Sprintf("%.0f bytes a second are relayed, want %.0f within %.0f %%", got, want, 100*rateTolerance)
	}
	return ""
}

// TestRelayThroughput: a transfer by a relay on the same machine is half as fast as a
// direct one in the same run, or faster.
func TestRelayThroughput(t *testing.T) {
	inTime(t, func() string {
		m := relayed(t, []lab.Kind{lab.None, lab.None}, "--relay", "--relay-rate", "0", "--relay-total-rate", "0")
		defer m.close()
		a, b := m.peers[0], m.peers[1]
		rate := func() float64 {
			r, err := lab.Bulk(t.Context(), a.Node, b.Node, netip.AddrPortFrom(b.vpn, 0), lab.BulkOptions{Size: 60_000_000, NoChecksum: true})
			if err != nil {
				t.Fatal(err)
			}
			return r.Rate()
		}
		m.startAll()
		a.ping(b, 5)
		a.awaitDirect(b)
		rate() // the first takes longer
		direct := rate()
		for _, p := range m.peers {
			if err := p.process.Stop(); err != nil {
				t.Fatal(err)
			}
			p.configure("relay_only = yes\n")
		}
		since := time.Now()
		m.startAll()
		a.ping(b, 5)
		here, _ := a.opened(b, since)
		if there, _ := b.opened(a, since); here == "" && there == "" { // one of both has the relay
			t.Fatal("the session is not relayed")
		}
		rate()
		byRelay := rate()
		t.Logf("direct %s, by the relay %s", lab.FormatRate(direct), lab.FormatRate(byRelay))
		if byRelay < direct/2 {
			return fmt.Sprintf("direct %s, by the relay %s, want half of it", lab.FormatRate(direct), lab.FormatRate(byRelay))
		}
		return ""
	})
}
