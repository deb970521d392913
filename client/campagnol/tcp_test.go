package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/punch"
	"campagnol/punch/stream"
)

// streams returns candidates of that kind.
func streams(scope string, addrs ...string) (list []punch.Candidate) {
	for _, a := range addrs {
		list = append(list, punch.Candidate{Addr: netip.MustParseAddrPort(a), Kind: punch.Stream, Scope: scope})
	}
	return list
}

// TestTCPPlaces: where peers are told that they can connect: what the configuration says,
// and without that this host's addresses, as by UDP.
func TestTCPPlaces(t *testing.T) {
	outside := []conf.External{{Addr: netip.MustParseAddrPort("203.0.113.7:443")}, {Addr: netip.MustParseAddrPort("[2001:db8::5]:0"), Scope: ""}}
	hosts := state("192.168.1.2", "192.168.1.2", "2001:db8::2")
	for _, c := range []struct {
		name       string
		cfg        conf.Client
		configured []punch.Candidate
		own        []punch.Candidate
		seen       uint16
	}{
		{"off", conf.Client{UseLocalAddr: true}, nil, nil, 0},
		{"off, but for outside", conf.Client{UseLocalAddr: true, ExternalTCP: outside}, nil, nil, 0},
		{"on", conf.Client{UseLocalAddr: true, TCPPort: 8443}, nil, streams("", "192.168.1.2:8443", "[2001:db8::2]:8443"), 8443},
		{"on, not told", conf.Client{TCPPort: 8443}, nil, nil, 8443},
		{"outside", conf.Client{UseLocalAddr: true, TCPPort: 8443, ExternalTCP: outside}, streams("", "203.0.113.7:443", "[2001:db8::5]:8443"), nil, 0},
		{"with a scope", conf.Client{TCPPort: 8443, ExternalTCP: []conf.External{{Addr: netip.MustParseAddrPort("10.1.2.3:1"), Scope: "office"}}}, streams("office", "10.1.2.3:1"), nil, 0},
	} {
		a := &addresses{bind: netip.MustParseAddrPort("[::]:5000")}
		if got := configuredTCP(&c.cfg); !slices.Equal(got, c.configured) {
			t.Errorf("%s: configured %v, want %v", c.name, got, c.configured)
		}
		if got := a.ownTCP(&c.cfg, hosts); !slices.Equal(got, c.own) {
			t.Errorf("%s: our own %v, want %v", c.name, got, c.own)
		}
		if got := seenPort(&c.cfg); got != c.seen {
			t.Errorf("%s: port %d where we are seen, want %d", c.name, got, c.seen)
		}
	}
}

// freeTCP returns a port that nobody listens at.
func freeTCP(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// TestListenTCP: datagrams go over a connection between two clients' ways to make one, both
// ways, with addresses that are none of UDP.
func TestListenTCP(t *testing.T) {
	n := &node{log: slog.New(slog.DiscardHandler)}
	local := netip.MustParseAddr("127.0.0.1")
	cfg := &conf.Client{File: "f", TCPPort: freeTCP(t)}
	l, err := n.listenTCP(t.Context(), cfg, local)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &parts{cfg: &conf.Client{}, where: &addresses{bind: netip.AddrPortFrom(local, 0)}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	at := netip.AddrPortFrom(local, cfg.TCPPort)
	conn, err := p.peerDialer(n)(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Send([]punch.Datagram{{Addr: stream.Zone(at), Data: []byte("hello")}}); err != nil {
		t.Fatal(err)
	}
	ds, err := l.Receive()
	if err != nil || len(ds) != 1 || string(ds[0].Data) != "hello" || !stream.IsStream(ds[0].Addr) {
		t.Fatalf("received %v, %v", ds, err)
	}
	if err := l.Send([]punch.Datagram{{Addr: ds[0].Addr, Data: []byte("you, too")}}); err != nil {
		t.Fatal(err)
	}
	if ds, err = conn.Receive(); err != nil || len(ds) != 1 || string(ds[0].Data) != "you, too" || ds[0].Addr != stream.Zone(at) {
		t.Errorf("received %v, %v, want it from %v", ds, err, stream.Zone(at))
	}
	if got := conn.Transport() + l.Transport(); got != "tcptcp" {
		t.Errorf("the two ends go over %s", got)
	}
}

// TestListenTCPRefused: a port that is in use is told with the key and what to do; without
// a port there is nothing; and where nobody listens, nobody is reached.
func TestListenTCPRefused(t *testing.T) {
	n := &node{log: slog.New(slog.DiscardHandler)}
	local := netip.MustParseAddr("127.0.0.1")
	if l, err := n.listenTCP(t.Context(), &conf.Client{}, local); l != nil || err != nil {
		t.Errorf("without a port: %v, %v", l, err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).AddrPort().Port()
	_, err = n.listenTCP(t.Context(), &conf.Client{File: "f.conf", TCPPort: port}, local)
	var hinted *cli.HintError
	if !errors.As(err, &hinted) || !strings.HasPrefix(err.Error(), fmt.Sprintf("f.conf: tcp_port %d: ", port)) || !strings.Contains(hinted.Hint(), "choose another tcp_port") {
		t.Errorf("%v, want the key, and a hint", err)
	}
	p := &parts{cfg: &conf.Client{}, where: &addresses{bind: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)}}
	if conn, err := p.peerDialer(n)(t.Context(), netip.AddrPortFrom(local, freeTCP(t))); conn != nil || err == nil {
		t.Errorf("connected to nobody: %v, %v", conn, err)
	}
}

// TestOverTCPText: what explain says of a path over a connection.
func TestOverTCPText(t *testing.T) {
	d := explanation{}
	d.Path.Kind, d.Path.Found, d.Path.Address = "tcp", "stream", netip.MustParseAddrPort("203.0.113.7:443")
	got := d.reachedText()
	for _, want := range []string{"over a connection by TCP at 203.0.113.7:443", "where the peer takes connections"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q has no %q", got, want)
		}
	}
}
