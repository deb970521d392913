//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
)

// command runs the program to its end.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit status says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// stay keeps a client registered until the test ends.
func (c *client) stay() *client {
	done := make(chan struct{})
	c.t.Cleanup(func() { close(done) })
	go func() {
		b := make([]byte, 11)
		b[0] = 1 // PING
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				_, _ = c.conn.Write(b)
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return c
}

// withClients starts a server with a socket, alice and bob over channels, and one in
// clear. Alice has asked for both.
func withClients(t *testing.T, options ...string) (p *process, socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rdv-") // short enough for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "x.sock")
	f := newFiles(t)
	p = start(t, f.args(append(options, "--control-socket", socket)...)...)
	a := dial(t, "127.0.0.1", "127.0.0.1", p.port)
	alice := a.channel(f.alice)
	b := dial(t, "127.0.0.1", "127.0.0.1", p.port)
	bob := b.open(f.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.3")))
	b.asks(bob, channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{netip.MustParseAddr("10.9.0.3")}, Software: "campagnol 9.9"}, channel.Registered)
	c := dial(t, "127.0.0.2", "127.0.0.1", p.port)
	c.send(hello2)
	c.receive(ok)
	for _, v := range []string{"10.9.0.2", "10.9.0.3"} {
		a.asks(alice, channel.Message{Type: channel.Ask, ID: 9, VPN: []netip.Addr{netip.MustParseAddr(v)}}, channel.Peer)
	}
	a.stay()
	b.stay()
	c.stay()
	return p, socket
}

// TestCommands asks a server that runs, with all commands.
func TestCommands(t *testing.T) {
	t.Parallel()
	_, socket := withClients(t)
	for _, c := range []struct {
		args string
		want []string // in the output
		not  string
	}{
		{"status", []string{"clients: 3 (2 authenticated, mode mixed; at most 100 may register)", "pairs that were introduced within a day: 2", "behind: in clear 1, not examined 2", "introductions 2"}, "relay:"},
		{"status --json", []string{`"clients": 3`, `"mode": "mixed"`, `"introductions": 2`}, ""},
		{"clients", []string{"VPN ", "10.9.0.1  alice", "10.9.0.2  - ", "10.9.0.3  bob", "channel", "clear"}, ""},
		{"clients --sort name", []string{"10.9.0.2  - "}, ""},
		{"clients bob", []string{"VPN address:       10.9.0.3\n", "software:          campagnol 9.9\n", "wanted 1 times"}, "alice"},
		{"clients 10.9.0.1", []string{"name:              alice\n", "has asked 2 times"}, "bob"},
		{"clients --json ALICE", []string{`"name": "alice"`, `"registration": "authenticated"`}, "bob"},
		{"events", []string{"10.9.0.2         registered at 127.0.0.2:", "10.9.0.1         introduced to 10.9.0.3\n", "alice            authenticated at 127.0.0.1:"}, "forgotten"},
		{"events --json", []string{`"kind": "introduced"`, `"peer": "10.9.0.3"`}, ""},
	} {
		args := append(strings.Fields(c.args), "--socket", socket)
		stdout, stderr, code := command(t, args...)
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit status %d, standard error %q", c.args, code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: %q is missing in\n%s", c.args, want, stdout)
			}
		}
		if c.not != "" && strings.Contains(stdout, c.not) {
			t.Errorf("%s: %q is in\n%s", c.args, c.not, stdout)
		}
		if strings.Contains(c.args, "--json") && !json.Valid([]byte(stdout)) {
			t.Errorf("%s: no JSON:\n%s", c.args, stdout)
		}
	}
}

// TestCommandsRefused: what cannot be answered is explained.
func TestCommandsRefused(t *testing.T) {
	t.Parallel()
	_, socket := withClients(t)
	for _, c := range []struct {
		args string
		want []string // in standard error
	}{
		{"status --socket /nowhere/x.sock", []string{"campagnol_rdv: status: no rendezvous server runs with the control socket /nowhere/x.sock", "hint: start the server"}},
		{"clients carol --socket " + socket, []string{`nobody is registered with the VPN address or the name "carol"`, "hint: "}},
		{"clients --sort colour --socket " + socket, []string{`--sort: nothing is sorted by "colour"`, "hint: it is one of: address, expires"}},
		{"events more --socket " + socket, []string{`there is no use for the argument "more"`}},
		{"stattus", []string{`there is no use for the argument "stattus"`}},
	} {
		stdout, stderr, code := command(t, strings.Fields(c.args)...)
		if code != 1 || stdout != "" {
			t.Errorf("%s: exit status %d, output %q", c.args, code, stdout)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: %q is missing in %q", c.args, want, stderr)
			}
		}
	}
}

// TestEventsFollow: what happens is told at once, an event a line.
func TestEventsFollow(t *testing.T) {
	t.Parallel()
	p, socket := withClients(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "events", "--follow", "--json", "--socket", socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	lines := bufio.NewScanner(out)
	var last uint64
	for asked := false; lines.Scan(); {
		var e control.RDVEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Number != last+1 {
			t.Fatalf("%q after event %d: %v", lines.Text(), last, err)
		}
		last = e.Number
		if e.Kind == "registered" && e.VPN.String() == "10.9.0.8" {
			return
		}
		if !asked && e.Kind == "introduced" {
			asked = true
			c := dial(t, "127.0.0.3", "127.0.0.1", p.port)
			c.send("0000000a09000800000000") // HELLO of 10.9.0.8
			c.receive(ok)
		}
	}
	t.Errorf("the output ended after event %d", last)
}

// TestControlSocketGoes: the socket is gone with the server, and one that was asked for
// has to be there.
func TestControlSocketGoes(t *testing.T) {
	t.Parallel()
	p, socket := withClients(t)
	file := filepath.Join(filepath.Dir(socket), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		socket: "is in use by process", file: "is there already, and not a socket", "/tmp/rdv.sock": "everybody can write to the folder /tmp",
	} {
		_, stderr, code := command(t, "-p", fmt.Sprint(freePort(t)), "--control-socket", path)
		if code != 1 || !strings.Contains(stderr, want) || strings.Contains(stderr, "control_socket") || strings.Contains(stderr, "client") {
			t.Errorf("a second server with the socket %s: exit status %d, %q, want %q", path, code, stderr, want)
		}
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket after its server: %v", err)
	}
}
