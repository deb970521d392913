package control

import (
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rdvRoutes are those of a server that tells samples.
func rdvRoutes(asked *string) map[string]Handler {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return map[string]Handler{
		"GET " + RDVStatusPath: func(*http.Request) (any, error) { return &RDVStatus{Version: "1", Time: now, Clients: 7}, nil },
		"GET " + RDVClientsPath: func(*http.Request) (any, error) {
			return &RDVClients{Version: "1", Time: now, Clients: []RDVClient{{VPNAddresses: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}}}, nil
		},
		"GET " + RDVEventsPath: func(r *http.Request) (any, error) {
			*asked = r.URL.RawQuery
			return &RDVEvents{Version: "1", Time: now, Last: 9, Events: []RDVEvent{{Number: 9, Kind: "left"}}}, nil
		},
	}
}

// TestRDV asks all that a rendezvous server tells.
func TestRDV(t *testing.T) {
	var asked string
	s, _ := serve(t, Config{Routes: rdvRoutes(&asked), Owner: OfRDV, Program: "campagnol_rdv/1.2.3"})
	c := NewRDVClient(s.Path())
	t.Cleanup(c.Close)
	if got, raw, err := c.RDVStatus(t.Context()); err != nil || got.Clients != 7 || !strings.Contains(string(raw), `"clients":7`) {
		t.Errorf("status: %+v, %s, %v", got, raw, err)
	}
	if got, _, err := c.RDVClients(t.Context()); err != nil || len(got.Clients) != 1 || got.Clients[0].VPNAddresses[0].String() != "10.9.0.1" {
		t.Errorf("clients: %+v, %v", got, err)
	}
	if got, _, err := c.RDVEvents(t.Context(), 8, true); err != nil || got.Last != 9 || got.Events[0].Kind != "left" || asked != "after=8&wait=true" {
		t.Errorf("events: %+v, %v; asked for %q", got, err, asked)
	}
}

// TestRDVWords: errors about a server's socket speak of a server, and of its options.
func TestRDVWords(t *testing.T) {
	dir := newDir(t)
	absent := filepath.Join(dir, "absent.sock")
	_, _, err := NewRDVClient(absent).RDVStatus(t.Context())
	wantError(t, err, "no rendezvous server runs with the control socket "+absent, "start the server; if it runs with another --control-socket, name that with --socket")

	client, _ := serve(t, Config{Path: filepath.Join(dir, "tun0.sock")})
	_, _, err = NewRDVClient(client.Path()).RDVStatus(t.Context())
	wantError(t, err, "what listens on "+client.Path()+" is not a rendezvous server: it answers with status 404", "name the control socket of a rendezvous server with --socket")

	_, err = Listen(Config{Path: client.Path(), Owner: OfRDV})
	var used *InUseError
	if !errors.As(err, &used) || used.Hint() != "give each server a --control-socket of its own, or --control-socket none" {
		t.Errorf("a socket in use: %v", err)
	}
	_, err = Listen(Config{Path: absent, Group: "no-such-group", Owner: OfRDV})
	wantError(t, err, `control socket: there is no group "no-such-group" on this host`, "give --control-group the name of a group that exists, or leave it out")
}

// TestSocketsOfClients: a rendezvous server on the same host is not taken for a client.
func TestSocketsOfClients(t *testing.T) {
	dir := newDir(t)
	var asked string
	serve(t, Config{Path: filepath.Join(dir, "rdv.sock"), Routes: rdvRoutes(&asked), Owner: OfRDV})
	client, _ := serve(t, Config{Path: filepath.Join(dir, "tun0.sock")})
	found, err := Sockets(dir)
	if err != nil || len(found) != 1 || found[0] != client.Path() {
		t.Errorf("Sockets = %q, %v, want %q alone", found, err, client.Path())
	}
}
