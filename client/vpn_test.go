package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/tunnel/device"
)

// A vpn is a rendezvous server and some nodes on a simulated Internet. It lives
// in a synctest bubble.
type vpn struct {
	t      *testing.T
	net    *simnet.Net
	server netip.AddrPort
	place  *simnet.Host // of the RDV, which serves both families there; nil: server is all
	ca     *pkitest.CA
	policy *pki.Policy
	nodes  []*node
	stop   func() // the RDV
}

// newVPN starts the RDV.
func newVPN(t *testing.T, seed uint64) *vpn {
	t.Helper()
	v := &vpn{
		t:      t,
		net:    simnet.New(seed, simnet.Delay(10*time.Millisecond)),
		server: netip.MustParseAddrPort("198.51.100.1:57888"),
		ca:     pkitest.NewCA(t, "test CA", time.Now()),
	}
	var err error
	if v.policy, err = pki.NewPolicy([]*x509.Certificate{v.ca.Cert}, nil, 0); err != nil {
		t.Fatal(err)
	}
	v.startRDV()
	t.Cleanup(func() {
		for _, n := range v.nodes {
			n.stop()
		}
		v.stop()
		v.net.Close()
		if t.Failed() {
			v.net.Dump(t.Output())
			for _, n := range v.nodes {
				fmt.Fprintf(t.Output(), "log of %v:\n%s", n.vpn, n.log.String())
			}
		}
	})
	return v
}

func (v *vpn) startRDV() { v.startServer(rdv.Config{}) }

// startServer starts the RDV with a configuration in which the socket is missing.
func (v *vpn) startServer(cfg rdv.Config) {
	if cfg.Conn == nil {
		cfg.Conn = v.listen()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := rdv.New(cfg).Run(ctx); err != nil {
			v.t.Errorf("rdv: %v", err)
		}
	})
	v.stop = func() { cancel(); wg.Wait() }
}

// listen opens the socket of the RDV.
func (v *vpn) listen() *simnet.Conn {
	v.t.Helper()
	if v.place == nil {
		return v.net.Internet().Listen(v.server.String())
	}
	conn, err := v.place.ListenDual(v.server.Port())
	if err != nil {
		v.t.Fatal(err)
	}
	return conn
}

// A node is a client with its device.
type node struct {
	t      *testing.T
	vpn    netip.Addr
	dev    *device.Memory
	client *Client
	conn   *simnet.Conn
	log    *syncBuffer
	stop   func()
	killed atomic.Bool
}

// kill ends the node without a good-bye.
func (n *node) kill() {
	n.killed.Store(true)
	n.conn.Close()
	n.stop()
}

// A syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// node starts a client at a site. edit may change its configuration.
func (v *vpn) node(site *simnet.Site, udp, vpnAddr string, edit func(*Config)) *node {
	v.t.Helper()
	return v.nodeOn(site.Listen(udp), vpnAddr, edit)
}

func (v *vpn) nodeOn(conn *simnet.Conn, vpnAddr string, edit func(*Config)) *node {
	v.t.Helper()
	n := &node{t: v.t, vpn: netip.MustParseAddr(vpnAddr), dev: device.NewMemory("tun0"), conn: conn, log: new(syncBuffer)}
	leaf := v.ca.Issue(v.t, "host "+vpnAddr, pkitest.Addrs(vpnAddr))
	pins, err := pki.OpenPins("")
	if err != nil {
		v.t.Fatal(err)
	}
	cfg := Config{
		VPNAddr:   n.vpn,
		Network:   netip.MustParsePrefix("10.9.0.0/24"),
		Broadcast: netip.MustParseAddr("10.9.0.255"),
		Conn:      conn,
		Device:    n.dev,
		Log:       slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Jitter:    func() float64 { return 0.5 },
	}
	cfg.Settings = Settings{
		Servers:     At(v.server),
		LocalAddr:   conn.LocalAddr(),
		Certificate: tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key},
		Verify: func(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
			role := pki.Client
			if server {
				role = pki.Server
			}
			peer, err := v.policy.Verify(now, chain, role)
			if err != nil {
				return err
			}
			return pins.Check(now, vpn, peer, false)
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	if n.client, err = New(cfg); err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.client.Run(ctx); err != nil && !n.killed.Load() {
			v.t.Errorf("client %v: %v", vpnAddr, err)
		}
	})
	n.stop = func() { cancel(); wg.Wait() }
	v.nodes = append(v.nodes, n)
	return n
}

// packetTo returns a packet (UDP, without a good checksum) with a text in it, of the
// family of dst.
func packetTo(src, dst netip.Addr, text string) []byte {
	if dst.Is6() {
		return packetTo6(src, dst, text)
	}
	b := make([]byte, 28, 28+len(text))
	b[0], b[8], b[9] = 0x45, 64, 17
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	b = append(b, text...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// send makes the node's host send a packet to a VPN address.
func (n *node) send(to netip.Addr, text string) {
	n.t.Helper()
	if !n.dev.Inject(packetTo(n.vpn, to, text)) {
		n.t.Fatal("the device took no packet")
	}
}

// wants waits for a packet with the given text and reports how long it took.
func (n *node) wants(text string, within time.Duration) time.Duration {
	n.t.Helper()
	start := time.Now()
	timeout := time.After(within)
	for {
		select {
		case p := <-n.dev.Delivered():
			if got := textOf(p); got != text {
				n.t.Errorf("%v received %q, want %q", n.vpn, got, text)
				continue
			}
			return time.Since(start)
		case <-timeout:
			n.t.Errorf("%v has not received %q in %v", n.vpn, text, within)
			return within
		}
	}
}

// texts returns what has been delivered and was not asked for yet.
func (n *node) texts() []string {
	var got []string
	for {
		select {
		case p := <-n.dev.Delivered():
			got = append(got, textOf(p))
		default:
			return got
		}
	}
}

// ping sends there and back again and returns the time until the answer.
func (n *node) ping(other *node, within time.Duration) time.Duration {
	n.t.Helper()
	start := time.Now()
	n.send(other.vpn, "ping")
	other.wants("ping", within)
	if n.t.Failed() {
		return 0
	}
	other.send(n.vpn, "pong")
	n.wants("pong", within)
	return time.Since(start)
}

func (n *node) status() Status {
	n.t.Helper()
	s, err := n.client.Status(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// state returns the state in which the node sees another.
func (n *node) state(of *node) string {
	n.t.Helper()
	for _, p := range n.status().Peers {
		if p.VPNAddr == of.vpn {
			return p.State
		}
	}
	return "CLOSED"
}

// logged returns how often a text stands in the node's log.
func (n *node) logged(text string) int { return strings.Count(n.log.String(), text) }

// home returns a site behind a NAT.
func (v *vpn) home(number int, nat simnet.NAT) *simnet.Site {
	return v.net.Internet().Behind(fmt.Sprintf("203.0.113.%d", 20+number), nat)
}

// portRestricted is the most common NAT at homes.
var portRestricted = simnet.NAT{Filtering: simnet.AddressAndPortDependent, Ports: simnet.Random}

// pair starts alice (10.9.0.1) and bob (10.9.0.2) at two homes, and lets them
// register.
func (v *vpn) pair(edit func(*Config)) (alice, bob *node) {
	v.t.Helper()
	alice = v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", edit)
	bob = v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", edit)
	pass(time.Second)
	return alice, bob
}

// pass lets virtual time pass, and everything happen that belongs to it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// inBubble runs f in a synctest bubble with a VPN.
func inBubble(t *testing.T, f func(v *vpn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newVPN(t, 1)) })
}
