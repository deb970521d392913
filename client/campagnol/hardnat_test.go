package main

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/udp"
)

// TestHardBudget: the configuration's budget is the client's.
func TestHardBudget(t *testing.T) {
	for _, c := range []struct {
		cfg  conf.Client
		want hard.Budget
	}{
		{conf.Client{HardNAT: true, HardNATSockets: 256, HardNATProbes: 1400}, hard.DefaultBudget},
		{conf.Client{HardNAT: true, HardNATSockets: 10, HardNATProbes: 20}, hard.Budget{Sockets: 10, Probes: 20}},
		{conf.Client{HardNATSockets: 256, HardNATProbes: 1024}, hard.Budget{}},
	} {
		if got := hardBudget(&c.cfg); got != c.want {
			t.Errorf("%v, %d sockets, %d probes: %+v, want %+v", c.cfg.HardNAT, c.cfg.HardNATSockets, c.cfg.HardNATProbes, got, c.want)
		}
		if got := hardBudget(&c.cfg); got != got.Within() {
			t.Errorf("%+v is more than anybody gets", got)
		}
	}
}

// TestHardLimits: what the file may ask for is what a client gives.
func TestHardLimits(t *testing.T) {
	const base = "[NETWORK]\nserver_host = 192.0.2.1\n[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n" +
		"[SECURITY]\ncertificate = c.pem\nkey = k.pem\nca_certificates = ca.pem\n"
	for _, c := range []struct {
		key  string
		most int
	}{{"hard_nat_sockets", hard.MaxSockets}, {"hard_nat_probes", hard.MaxProbes}} {
		for d, good := range map[int]bool{0: true, 1: false} {
			_, _, err := conf.ParseClient("f", []byte(base+"[CLIENT]\n"+c.key+" = "+strconv.Itoa(c.most+d)+"\n"))
			if (err == nil) != good {
				t.Errorf("%s = %d: error %v, want one: %v", c.key, c.most+d, err, !good)
			}
		}
	}
}

// TestOpenSocket: extra sockets have ports of their own, at the same address, and carry
// datagrams both ways.
func TestOpenSocket(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	primary, err := udp.Listen(udp.Config{Addr: netip.AddrPortFrom(loopback, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer primary.Close()
	p := &parts{cfg: &conf.Client{}, conn: primary, where: &addresses{bind: primary.LocalAddr()}}
	ports := map[uint16]bool{primary.LocalAddr().Port(): true}
	for range 32 {
		conn, err := p.openSocket()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		at := conn.LocalAddr()
		if at.Addr() != loopback || ports[at.Port()] {
			t.Fatalf("a socket at %v, want a port of its own at %v", at, loopback)
		}
		ports[at.Port()] = true
		if err := primary.Send([]punch.Datagram{{Addr: at, Data: []byte("there")}}); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, conn, primary.LocalAddr(), "there")
		if err := conn.Send([]punch.Datagram{{Addr: primary.LocalAddr(), Data: []byte("back")}}); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, primary, at, "back")
	}
	p.where.bind = netip.MustParseAddrPort("192.0.2.1:1")
	if conn, err := p.openSocket(); err == nil || conn != nil {
		t.Errorf("a socket at an address that this host has not: %v, error %v", conn, err)
	}
}

// wantDatagram receives one datagram.
func wantDatagram(t *testing.T, conn punch.Conn, from netip.AddrPort, text string) {
	t.Helper()
	ds, err := conn.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if len(ds) != 1 || ds[0].Addr != from || string(ds[0].Data) != text {
		t.Errorf("received %+v, want %q from %v", ds, text, from)
	}
}

// TestStatusHardNAT: the text says what was spent, if anything was.
func TestStatusHardNAT(t *testing.T) {
	s := &control.Status{Time: noon, Started: noon}
	if got := statusText(s, nil, 0); strings.Contains(got, "hard_nat") {
		t.Errorf("says what was spent on nothing:\n%s", got)
	}
	s.HardNAT = control.HardNAT(client.Status{HardNAT: hard.Cost{Attempts: 1, Sockets: 256, Probes: 1024, Successes: 1}}.HardNAT)
	want := "\nways through symmetric NATs (hard_nat): looked for 1 time, found 1; 256 sockets opened, 1024 packets sent\n"
	if got := statusText(s, nil, 0); !strings.Contains(got, want) {
		t.Errorf("%swant%s", got, want)
	}
}
