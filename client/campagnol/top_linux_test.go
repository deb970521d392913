package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// A terminal is a screen of tmux, with a server of its own.
type terminal struct {
	t      *testing.T
	socket string
}

// newTerminal runs a command on a screen.
func newTerminal(t *testing.T, width, height string, command ...string) *terminal {
	t.Helper()
	testenv.Tool(t, "tmux", "tmux")
	term := &terminal{t, filepath.Join(socketDir(t), "tmux")}
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", term.socket, "kill-server").Run() }) // it may have ended
	term.tmux(append([]string{"new-session", "-d", "-x", width, "-y", height}, command...)...)
	return term
}

func (term *terminal) tmux(args ...string) string {
	term.t.Helper()
	cmd := exec.CommandContext(term.t.Context(), "tmux", append([]string{"-u", "-f", "/dev/null", "-S", term.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	if err != nil {
		term.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// shows waits until all the texts are on the screen, which it returns.
func (term *terminal) shows(texts ...string) (screen string) {
	term.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		screen = term.tmux("capture-pane", "-p")
		missing := ""
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				missing = text
			}
		}
		if missing == "" {
			return screen
		}
		if time.Now().After(deadline) {
			term.t.Fatalf("%q is not on the screen:\n%s", missing, screen)
		}
	}
}

// TestTopForReal watches a client that runs, on a terminal, and makes docs/top.txt of it
// with -update.
func TestTopForReal(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "tmux", "tmux")
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	socket := a.withSocket()
	a.start()
	b.start()
	m.await(a.process, "The way to the Internet was examined")
	binary := filepath.Join(binaries, "campagnol")
	term := newTerminal(t, "80", "24", binary, "top", "--socket", socket)
	term.shows("10.9.0.1", "registered at ", "no tunnels", "EVENTS", "registered at the RDV server", "q quit")
	a.ping(b, 3)
	screen := term.shows("10.9.0.2        peer2      wan ", "tunnel to 10.9.0.2 (\"peer2\") opened")
	if *update {
		if err := os.WriteFile("../../docs/top.txt", []byte(screen), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	term.tmux("send-keys", "Enter")
	term.shows("DETAILS OF 10.9.0.2", "is reached directly at ")
	term.tmux("send-keys", "Escape")
	term.shows("EVENTS") // else it is taken for the beginning of a longer sequence
	term.tmux("send-keys", "/", "n", "o", "b", "o", "d", "y", "Enter")
	term.shows("filter: nobody", "no peer passes the filter")
	term.tmux("resize-window", "-x", "120", "-y", "40")
	term.tmux("send-keys", "Escape")
	term.shows("ADDRESS", "OPEN FOR", " wan ") // the filter is gone: else Escape and q are taken for one key
	asks(t, socket, 0, "was closed", "disconnect", "10.9.0.2")
	term.shows("tunnel to 10.9.0.2 (\"peer2\") closed: this host was asked to")
	term.tmux("send-keys", "q")
	eventually(t, "q does not quit", func() bool {
		return exec.Command("tmux", "-S", term.socket, "has-session").Run() != nil
	})

	dumb := newTerminal(t, "80", "24", "sh", "-c", "TERM=dumb "+binary+" top --socket "+socket+"; sleep 60")
	dumb.shows("cannot be drawn on", "campagnol status --watch")
	c := control.NewClient(socket)
	defer c.Close()
	if _, _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after all that the client: %v", err)
	}
}
