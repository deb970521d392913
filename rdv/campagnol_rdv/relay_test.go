//go:build unix

package main

import (
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/rdv"
	"campagnol/rdv/channel"
	"campagnol/rdv/relay"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// TestRelayRefused: what makes no sense is an error that says so, and what to do.
func TestRelayRefused(t *testing.T) {
	good := relayOptions{on: true, ports: "50000-50999", clients: 10, perMember: 2}
	for _, c := range []struct {
		name string
		mode rdv.Mode
		edit func(*relayOptions)
		want string // "": nothing is wrong
	}{
		{"good", rdv.Mixed, func(*relayOptions) {}, ""},
		{"off, whatever else is asked for", rdv.Open, func(o *relayOptions) { *o = relayOptions{ports: "x"} }, ""},
		{"without a certificate", rdv.Open, func(*relayOptions) {}, "--relay needs --certificate"},
		{"no range", rdv.Mixed, func(o *relayOptions) { o.ports = "50000" }, `"50000" is not a range of ports`},
		{"no numbers", rdv.Mixed, func(o *relayOptions) { o.ports = "a-b" }, `"a-b" is not a range of ports`},
		{"backwards", rdv.Mixed, func(o *relayOptions) { o.ports = "50001-50000" }, "is not a range of ports"},
		{"port 0", rdv.Mixed, func(o *relayOptions) { o.ports = "0-50000" }, "is not a range of ports"},
		{"beyond", rdv.Mixed, func(o *relayOptions) { o.ports = "50000-65536" }, "is not a range of ports"},
		{"one port", rdv.Mixed, func(o *relayOptions) { o.ports, o.clients = "50000-50000", 1 }, ""},
		{"more clients than ports", rdv.Mixed, func(o *relayOptions) { o.clients = 1001 }, "--relay-ports has 1000 ports"},
		{"no clients", rdv.Mixed, func(o *relayOptions) { o.clients = 0 }, "--relay-clients: 0 is out of range"},
		{"none each", rdv.Mixed, func(o *relayOptions) { o.perMember = 0 }, "--relay-per-client: 0 is out of range"},
		{"negative", rdv.Mixed, func(o *relayOptions) { o.rate = -1 }, "--relay-rate: -1 is out of range"},
		{"beyond all", rdv.Mixed, func(o *relayOptions) { o.totalRate = 1 << 40 }, "--relay-total-rate:"},
		{"a name", rdv.Mixed, func(o *relayOptions) { o.addrs = []string{"rdv.example.org"} }, `"rdv.example.org" is not an address`},
		{"a group", rdv.Mixed, func(o *relayOptions) { o.addrs = []string{"224.0.0.1"} }, "is not an address that a host can have"},
		{"two of a kind", rdv.Mixed, func(o *relayOptions) { o.addrs = []string{"192.0.2.1", "192.0.2.2"} }, "are of the same kind"},
	} {
		o := good
		c.edit(&o)
		err := o.check(c.mode)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if hint, ok := err.(interface{ Hint() string }); err != nil && (!ok || hint.Hint() == "") {
			t.Errorf("%s: no hint", c.name)
		}
	}
	o := good
	o.addrs = []string{"192.0.2.1", "2001:db8::1"}
	got, err := o.addresses()
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("addresses %v, %v", got, err)
	}
}

// TestRelayUnreachable: a host behind a NAT is told so.
func TestRelayUnreachable(t *testing.T) {
	for list, want := range map[string]bool{
		"127.0.0.1 ::1 10.0.0.5 fe80::1": true,
		"127.0.0.1 192.168.1.2":          true,
		"127.0.0.1 203.0.113.7":          false,
		"127.0.0.1 10.0.0.5 2001:db8::1": false,
		"":                               true,
	} {
		var own []netip.Addr
		for _, a := range strings.Fields(list) {
			own = append(own, netip.MustParseAddr(a))
		}
		if unreachable(own) != want {
			t.Errorf("%q: %v", list, !want)
		}
	}
}

// TestRelayNeedsCertificate: the program says so before it begins.
func TestRelayNeedsCertificate(t *testing.T) {
	t.Parallel()
	code, _, stderr := startDaemon(t, "--relay")
	if code != 1 || !strings.Contains(stderr, "--relay needs --certificate") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("status %d, %q", code, stderr)
	}
}

// asks sends a request over a channel and returns the answer.
func (c *client) asks(r *handshake.Result, q channel.Message, want channel.Type) channel.Message {
	c.t.Helper()
	b, err := r.Seal.Seal(nil, q.Append(nil), record.ApplicationData, new(record.Scratch))
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
	typ, payload := c.hear(r)
	m, err := channel.Parse(payload)
	if typ != record.ApplicationData || err != nil || m.Type != want {
		c.t.Fatalf("%v is answered with %+v, record %d, %v", q.Type, m, typ, err)
	}
	return m
}

// TestRelayServed: a member gets credentials from the program, and with them a relayed
// address of the range that it was told.
func TestRelayServed(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	p := start(t, f.args("--relay", "--relay-ports", "61000-61099", "--relay-clients", "5", "-v")...)
	c := dial(t, "127.0.0.1", "127.0.0.1", p.port)
	r := c.channel(f.alice)
	d := dial(t, "127.0.0.1", "127.0.0.1", p.port)
	other := d.open(f.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2")))
	peer := []netip.Addr{netip.MustParseAddr("10.9.0.2")}
	d.asks(other, channel.Message{Type: channel.Register, ID: 1, VPN: peer}, channel.Registered)
	g := c.asks(r, channel.Message{Type: channel.Relay, ID: 77, VPN: peer}, channel.Relayed)
	if g.ID != 77 || g.Lease != uint32(relay.Lifetime/time.Second) {
		t.Fatalf("answered %+v", g)
	}

	local, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(p.port)).String(),
		Username:       g.User, Password: string(g.Password), Conn: local,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(relayed.LocalAddr().String())
	if at.Addr().String() != "127.0.0.1" || at.Port() < 61000 || at.Port() > 61099 {
		t.Errorf("relayed address %v", at)
	}
	p.waitLine("10.9.0.1 relays by " + at.String())
	for _, ip := range []string{"127.0.0.2", "10.1.2.3", "169.254.169.254"} {
		if err := client.CreatePermission(&net.UDPAddr{IP: net.ParseIP(ip), Port: 80}); err == nil {
			t.Errorf("the relay sends to %s", ip)
		}
	}
	relayed.Close()
	p.waitLine("10.9.0.1 relays no more by " + at.String())
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("status %d", code)
	}
}
