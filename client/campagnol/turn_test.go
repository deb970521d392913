package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"campagnol/client"
	"campagnol/conf"
)

// TestFindTURN: relays of the configuration are found, and those that are not are told.
func TestFindTURN(t *testing.T) {
	turn := func(host string, tcp, tls bool) conf.TURN {
		return conf.TURN{Server: conf.Server{Host: host, Port: 5000}, TCP: tcp, TLS: tls, User: "alice", Password: "geheim"}
	}
	cfg := &conf.Client{File: "f", TURN: []conf.TURN{turn("192.0.2.7", false, false), turn("2001:db8::7", true, false), turn("192.0.2.8", true, true)}}
	want := func(host, at, transport string, tls bool) client.TURNServer {
		return client.TURNServer{Name: host, Addrs: []netip.AddrPort{netip.MustParseAddrPort(at)}, Transport: transport, TLS: tls, User: "alice", Password: "geheim"}
	}
	v4, v6 := want("192.0.2.7", "192.0.2.7:5000", "udp", false), want("2001:db8::7", "[2001:db8::7]:5000", "tcp", false)
	overTLS := want("192.0.2.8", "192.0.2.8:5000", "tcp", true)
	for _, c := range []struct {
		bind    string
		want    []client.TURNServer
		unknown string
	}{
		{"[::]:0", []client.TURNServer{v4, v6, overTLS}, "[]"},
		{"0.0.0.0:0", []client.TURNServer{v4, overTLS}, `[f: relay "2001:db8::7" is not an IPv4 address]`},
	} {
		a := &addresses{bind: netip.MustParseAddrPort(c.bind)}
		a.findTURN(context.Background(), cfg)
		if !reflect.DeepEqual(a.turn, c.want) || fmt.Sprint(a.unknown) != c.unknown {
			t.Errorf("bound to %s: %v and %v, want %v and %s", c.bind, a.turn, a.unknown, c.want, c.unknown)
		}
	}
}

// TestEchoHidesPasswords: what -d shows of the file has no passwords in it.
func TestEchoHidesPasswords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	const text = "[NETWORK]\nrelay = turn:host alice geheim\nrelay = turn:host bob ${pw}\npw = geheim\nhttp_proxy = http://carol:geheim@proxy:3128\nrelay_only = no\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	echo(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), file)
	got := log.String()
	if strings.Contains(got, "geheim") {
		t.Errorf("a password is in\n%s", got)
	}
	for _, want := range []string{
		`line=2 section=NETWORK key=relay value="turn:host alice (not shown)"`,
		`line=3 section=NETWORK key=relay value="turn:host bob (not shown)"`,
		`line=4 section=NETWORK key=pw value="(not shown)"`,
		`line=5 section=NETWORK key=http_proxy value="http://carol:(not shown)@proxy:3128"`,
		`line=6 section=NETWORK key=relay_only value=no`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
