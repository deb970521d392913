package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/internal/lab"

	"golang.org/x/sys/unix"
)

// What the tests of relays look for in logs: the attribute with the relay of a path,
// which is not there, or empty, on a direct one, and the messages that have it.
const (
	relayAttr   = "relay"
	sessionOpen = "New DTLS connection opened with peer"
	pathChanged = "The path to the peer has changed"
)

// tries is how often a test with a time to keep is played: the machine may be busy for
// a moment.
const tries = 3

// inTime plays something that has a time to keep, again if it did not: play returns
// what took too long, "" for nothing. Whatever else is wrong fails the test at once.
func inTime(t *testing.T, play func() (late string)) {
	t.Helper()
	var late []string
	for range tries {
		l := play()
		if l == "" || t.Failed() {
			return
		}
		t.Log("too late: " + l)
		late = append(late, l)
	}
	t.Errorf("too late, every time:\n%s", strings.Join(late, "\n"))
}

// relayed makes a mesh whose server has a certificate, and these options, such as
// --relay. All of it is removed by the lab's Close, or with the test.
func relayed(t *testing.T, nats []lab.Kind, server ...string) *mesh {
	t.Helper()
	m := newMesh(t, nats...)
	m.restartServer(append(m.modeOf("strict"), server...)...)
	for _, p := range m.peers {
		p.configure("[NETWORK]\nrdv_auth = yes\n")
	}
	return m
}

// close removes the mesh before the end of the test.
func (m *mesh) close() {
	m.t.Helper()
	if m.t.Failed() {
		m.dumpLogs()
	}
	if err := m.lab.Close(); err != nil {
		m.t.Error(err)
	}
}

// startAll starts all peers, and waits until they know what NAT they are behind.
func (m *mesh) startAll() {
	m.t.Helper()
	for _, p := range m.peers {
		p.start()
	}
	for _, p := range m.peers {
		m.await(p.process, "The way to the Internet was examined")
	}
}

// opened returns by which relay the first session with a peer since a time began, ""
// for none, and when.
func (p *meshPeer) opened(to *meshPeer, since time.Time) (relay string, at time.Time) {
	p.m.t.Helper()
	l, ok := p.logged(to, since, 5*time.Second, sessionOpen)
	if !ok {
		p.m.t.Fatalf("%s has no session with %s", p.Name(), to.Name())
	}
	return l.Attr(relayAttr), l.Time
}

// logged waits for a message about a peer.
func (p *meshPeer) logged(to *meshPeer, since time.Time, within time.Duration, msg string) (lab.LogLine, bool) {
	p.m.t.Helper()
	deadline := time.Now().Add(within)
	for {
		lines, err := p.process.Log()
		if err != nil {
			p.m.t.Fatal(err)
		}
		for _, l := range lines {
			if !l.Time.Before(since) && (lab.Pattern{Message: msg, Peer: to.vpn.String()}).Matches(l) {
				return l, true
			}
		}
		if time.Now().After(deadline) {
			return lab.LogLine{}, false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// turns waits until the session with a peer goes by a relay, or directly, and returns
// how long after since it does; false: it does not within the time.
func (p *meshPeer) turns(to *meshPeer, relay bool, since time.Time, within time.Duration) (time.Duration, bool) {
	p.m.t.Helper()
	for from, deadline := since, since.Add(within); ; {
		l, ok := p.logged(to, from, time.Until(deadline), pathChanged)
		if !ok {
			return 0, false
		}
		if (l.Attr(relayAttr) != "") == relay {
			return l.Time.Sub(since), true
		}
		from = l.Time.Add(1)
	}
}

// relayNow returns by which relay the session with a peer goes, as the status has it.
func (p *meshPeer) relayNow(socket string, to *meshPeer) string {
	p.m.t.Helper()
	var out []byte
	err := p.Do(func() (err error) {
		out, err = exec.CommandContext(p.m.t.Context(), filepath.Join(binaries, "campagnol"), "status", "--json", "--socket", socket).Output()
		return err
	})
	if err != nil {
		p.m.t.Fatal(err)
	}
	var s struct {
		Peers []struct {
			VPN   netip.Addr `json:"vpn_address"`
			Relay *string    `json:"relay"`
		} `json:"peers"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		p.m.t.Fatal(err)
	}
	for _, peer := range s.Peers {
		if peer.VPN == to.vpn && peer.Relay != nil {
			return *peer.Relay
		}
	}
	return ""
}

// outer returns where datagrams for the peer go on the Internet.
func (p *meshPeer) outer() *lab.Node {
	if p.nat != nil {
		return p.nat.Node
	}
	return p.Host.Node
}

// direct counts the UDP that a peer gets straight from another.
func (p *meshPeer) direct(from *meshPeer) func() (packets, bytes uint64) {
	p.m.t.Helper()
	r, err := p.outer().Link().Count(lab.ToNode, lab.Match{Protocol: unix.IPPROTO_UDP, Src: netip.PrefixFrom(from.outer().Addr(), 32)})
	if err != nil {
		p.m.t.Fatal(err)
	}
	return func() (packets, bytes uint64) {
		packets, bytes, err := r.Hits()
		if err != nil {
			p.m.t.Fatal(err)
		}
		return packets, bytes
	}
}

// A pinging is a series of pings in the background.
type pinging struct {
	t        *testing.T
	interval time.Duration
	done     chan struct{}
	r        lab.PingResult
	err      error
}

// pings begins to ping a peer for a time.
func (p *meshPeer) pings(to *meshPeer, interval, length time.Duration) *pinging {
	g := &pinging{t: p.m.t, interval: interval, done: make(chan struct{})}
	go func() {
		defer close(g.done)
		g.r, g.err = p.Ping(p.m.t.Context(), to.vpn, lab.PingOptions{Count: int(length / interval), Interval: interval, Patience: time.Second})
	}()
	return g
}

// end waits for the end of the pings.
func (g *pinging) end() lab.PingResult {
	g.t.Helper()
	<-g.done
	if g.err != nil {
		g.t.Fatal(g.err)
	}
	return g.r
}

// The datagrams by which a rate is measured: what is inside one, and how large it is as
// a record of the tunnel, which is what relays count.
const (
	pouredSize   = 1200
	pouredRecord = pouredSize + 28 + 42 // headers of IP and UDP; of DTLS with a connection ID
)

// pour sends to a peer at a rate, in bytes per second. The result waits for its end, and
// returns at which rate records arrive there, after a second, for a time.
func (p *meshPeer) pour(to *meshPeer, rate float64, length time.Duration) (arrive func() float64) {
	t := p.m.t
	t.Helper()
	in, err := to.ListenUDP(netip.AddrPortFrom(to.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.ListenUDP(netip.AddrPortFrom(p.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(to.vpn, netip.MustParseAddrPort(in.LocalAddr().String()).Port())
	began := time.Now()
	start := began.Add(time.Second)
	end := start.Add(length)
	var both sync.WaitGroup
	both.Go(func() {
		defer out.Close()
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		b, sent := make([]byte, pouredSize), 0.0
		for now := range ticker.C {
			if now.After(end) {
				return
			}
			for ; sent < rate*now.Sub(began).Seconds(); sent += pouredRecord {
				out.WriteToUDPAddrPort(b, at) // what is lost here arrives nowhere
			}
		}
	})
	n := 0
	both.Go(func() {
		defer in.Close()
		in.SetReadDeadline(end)
		b := make([]byte, 2*pouredSize)
		for {
			if _, err := in.Read(b); err != nil {
				return
			}
			if !time.Now().Before(start) {
				n++
			}
		}
	})
	return func() float64 {
		both.Wait()
		return float64(n) * pouredRecord / length.Seconds()
	}
}

// watch sees all UDP at the server's host until the test ends.
func (m *mesh) watch() *lab.Watch {
	m.t.Helper()
	w, err := m.server.Interface("eth0").Watch(lab.WatchOptions{Filter: lab.FilterUDP(0)})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { w.Close() })
	return w
}

// tell sends a text to a peer in so many datagrams, and waits until the last can be
// there.
func (p *meshPeer) tell(to *meshPeer, text []byte, count int) {
	p.m.t.Helper()
	conn, err := p.ListenUDP(netip.AddrPortFrom(p.vpn, 0))
	if err != nil {
		p.m.t.Fatal(err)
	}
	defer conn.Close()
	for range count {
		if _, err := conn.WriteToUDPAddrPort(text, netip.AddrPortFrom(to.vpn, 9)); err != nil {
			p.m.t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
}

// soon returns a context that ends after a time, or with the test.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
