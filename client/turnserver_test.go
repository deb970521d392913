package client

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestTURNServerKeepsItsPassword: however a server is printed or logged, with what has
// it in it, its password is not there.
func TestTURNServerKeepsItsPassword(t *testing.T) {
	s := TURNServer{
		Name: "turn.example.org", Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:3478")},
		Transport: TransportTCP, TLS: true, User: "alice", Password: "geheim",
	}
	if got, want := s.String(), "turns:192.0.2.7:3478?transport=tcp alice"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := (TURNServer{Name: "x", Transport: TransportUDP}).String(), "turn:x?transport=udp "; got != want {
		t.Errorf("without addresses: got %q, want %q", got, want)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "server", s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "server", s)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&log, format+"\n", s)
		fmt.Fprintf(&log, format+"\n", []TURNServer{s})
		fmt.Fprintf(&log, format+"\n", Settings{TURN: []TURNServer{s}})
	}
	if strings.Contains(log.String(), s.Password) {
		t.Errorf("the password is in\n%s", &log)
	}
	if !strings.Contains(log.String(), "server=\"turns:192.0.2.7") {
		t.Errorf("the server is not in\n%s", &log)
	}
}

// TestSettingsOfRelaysContradict: a client that may use relays alone, and none, is none.
func TestSettingsOfRelaysContradict(t *testing.T) {
	for _, c := range []struct {
		only, never bool
		want        string
	}{
		{false, false, ""},
		{true, false, ""},
		{false, true, ""},
		{true, true, "client: relays alone, and no relays"},
	} {
		s := Settings{
			RelayOnly: c.only, RelayNever: c.never, Auth: AuthNo,
			Servers: []Server{{Name: "rdv:57888", Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:57888")}}},
			Verify:  func(time.Time, netip.Addr, [][]byte, bool) error { return nil },
		}
		got := ""
		if err := s.check(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("only %v, never %v: error %q, want %q", c.only, c.never, got, c.want)
		}
	}
}
