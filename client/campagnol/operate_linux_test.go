package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/control"
	"campagnol/internal/lab"
)

// asks runs a command for the client behind a socket, and checks its status and what it
// says.
func asks(t *testing.T, socket string, status int, want string, args ...string) (stdout string) {
	t.Helper()
	code, out, errOut := campagnol(t, append(args, "--socket", socket)...)
	if code != status || !strings.Contains(out+errOut, want) {
		t.Errorf("campagnol %s: status %d and\n%s%s\nwant %d and %q", strings.Join(args, " "), code, out, errOut, status, want)
	}
	return out
}

// TestCommandsForReal opens, measures and closes a tunnel, and lists peers and events, by
// the control socket of a client that runs.
func TestCommandsForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	socket, other := a.withSocket(), b.withSocket()
	a.start()
	b.start()

	asks(t, socket, 0, "no tunnels", "peers")
	out := asks(t, socket, 0, "answer from 10.9.0.2: seq=1 time=", "ping", "-c", "3", "-i", "0.05", "10.9.0.2")
	for _, want := range []string{`PING 10.9.0.2 ("peer2") inside the tunnel`, "a tunnel was opened in ", "3 sent, 3 answered, 0% loss", "rtt min/avg/max/mdev = "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	asks(t, socket, 0, "answer from 10.9.0.2: seq=1", "ping", "-c", "1", "PEER2")
	asks(t, socket, 1, "no answer from 10.9.0.77: seq=1: the RDV server does not know the peer", "ping", "-c", "1", "10.9.0.77")
	asks(t, socket, 1, "is the VPN address of this host", "ping", "-c", "1", "10.9.0.1")
	asks(t, socket, 1, "is no address of a peer", "ping", "-c", "1", "192.0.2.1")

	asks(t, socket, 0, "10.9.0.2  peer2  ESTABLISHED  ", "peers", "--interval", "100ms")
	asks(t, socket, 0, "CLOSED", "peers", "--all", "--interval", "0")
	asks(t, socket, 0, "the tunnel to 10.9.0.2 (\"peer2\") was closed; it was open for ", "disconnect", "10.9.0.2")
	asks(t, socket, 0, "there was no tunnel to 10.9.0.2", "disconnect", "10.9.0.2")
	eventually(t, "the peer is not told that the tunnel is closed", func() bool { return len(statusAt(t, other).Peers) == 0 })
	asks(t, socket, 0, "is connected for ", "connect", "10.9.0.2")
	asks(t, socket, 2, "10.9.0.77 is not connected: the RDV server does not know the peer", "connect", "10.9.0.77")

	c := control.NewClient(socket)
	defer c.Close()
	e, _, err := c.Events(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range e.Events {
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); !strings.HasPrefix(got, "registered opened ") || !strings.Contains(got, " failed closed opened") {
		t.Errorf("events: %s", got)
	}
}

// TestReloadForReal: "reload" says what has come of it, also if the socket moves by it, and
// log levels go back by themselves.
func TestReloadForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	a := m.peers[0]
	socket := a.withSocket()
	a.start()
	asks(t, socket, 0, a.conf+" was read again, and is used", "reload")
	a.configure("timeout = no time\n")
	asks(t, socket, 1, "nothing was changed: "+a.conf+":", "reload")
	a.edit("timeout = no time\n", "timeut = 60\n")
	asks(t, socket, 0, "warning: "+a.conf+":", "reload")
	next := filepath.Join(m.lab.Dir(), "next.sock")
	a.edit("control_socket = "+socket, "control_socket = "+next)
	asks(t, socket, 0, "was read again, and is used", "reload")
	awaitMode(t, next, "0600")
	awaitMode(t, socket, "none")
	a.configure("[NETWORK]\nlocal_port = 4511\n")
	asks(t, next, 0, "its changes close all tunnels, and the client begins anew", "reload")
	eventually(t, "the new port is not used", func() bool {
		code, out, _ := campagnol(t, "status", "--json", "--socket", next)
		return code == 0 && strings.Contains(out, `"local_address": "[::]:4511"`)
	})

	asks(t, next, 0, "info\n", "log-level", "info")
	asks(t, next, 0, "debug for 10m0s more, then info", "log-level", "debug", "--for", "10m")
	asks(t, next, 0, "warn\n", "log-level", "warn")
	asks(t, next, 0, "then warn", "log-level", "packet", "--for", "200ms")
	eventually(t, "the level does not go back", func() bool {
		_, out, _ := campagnol(t, "log-level", "--socket", next)
		return out == "warn\n"
	})
}

// TestBugReportForReal puts secrets everywhere and looks for them in the report of a client
// that runs.
func TestBugReportForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	socket := a.withSocket()
	key, err := os.ReadFile(filepath.Join(m.lab.Dir(), "ca", "hosts", a.Name(), "key.pem"))
	if err != nil || !strings.Contains(string(key), "PRIVATE KEY") {
		t.Fatal("the peer has no private key", err)
	}
	a.configure("# a comment with hush-comment\nmy_password = hush-unknown\n[VARIABLES]\nx = hush-variable\n[COMMANDS]\ndefault_down = no\ndown = \"true --password hush-command\"\n")
	a.start()
	b.start()
	a.ping(b, 3)
	asks(t, socket, 0, "packet", "log-level", "packet")
	asks(t, socket, 0, "was read again", "reload") // the log has the configuration now
	for _, anonymous := range []bool{false, true} {
		args := []string{"bugreport", "-o", "-"}
		if anonymous {
			args = append(args, "--anonymous")
		}
		out := asks(t, socket, 0, "==== contents.txt\ncampagnol bug report, ", args...)
		for _, want := range []string{"==== config.txt", "==== status.json", "==== explain.json", "==== log.txt", "==== goroutines.txt", "server_host"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing", want)
			}
		}
		for _, secret := range []string{"hush-", "PRIVATE KEY", strings.Split(string(key), "\n")[1]} {
			if i := strings.Index(out, secret); i >= 0 {
				t.Errorf("%q is in the report: %s", secret, out[max(0, i-200):min(len(out), i+50)])
			}
		}
		for _, name := range []string{"10.9.0.2", m.server.Addr().String(), `"peer2"`} {
			if strings.Contains(out, name) == anonymous {
				t.Errorf("anonymous %v: whether %s is in it", anonymous, name)
			}
		}
	}
	r := new(control.BugReport)
	if err := json.Unmarshal([]byte(asks(t, socket, 0, `"contents.txt"`, "bugreport", "--json")), r); err != nil {
		t.Error(err)
	}
}
