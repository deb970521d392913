package client

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/logging"
	"campagnol/pki/pkitest"
	"campagnol/punch/simnet"
)

// A logText is what a script may look for in the log of Campagnol 0.3.5.
type logText struct {
	who   string // whose log
	text  string
	level int // that shows it in ours: 0 always, 1 with -v, 2 with -d
}

// logTexts are the texts of the original, with the values that they have in the
// lives below. Texts of failures are warnings of ours, which are always shown; the
// original shows the one with a level in its comment only from that level on.
//
// The texts that the program says, not this package, have a test there. One text
// of the original, "Internal MTU adjusted to N" (level 2), has nothing that
// corresponds to it: the record layer here has no such MTU.
var logTexts = []logText{
	{"alice", "Registering with the RDV server...", 1},
	{"alice", "Registration complete", 1},
	{"alice", "New DTLS connection opened with peer 10.9.0.2", 1},
	{"bob", "New DTLS connection opened with peer 10.9.0.1", 1},
	{"alice", "Closing DTLS connection with peer 10.9.0.2", 1},
	{"bob", "DTLS connection closed by peer 10.9.0.1", 1},
	{"alice", "Sending HELLO", 2},
	{"alice", "Adding new client 10.9.0.2", 2},
	{"bob", "Adding new client 10.9.0.1", 2},
	{"alice", "Punching 203.0.113.22 5000", 2},
	{"bob", "Punching 203.0.113.21 5000", 2},
	{"alice", "Session timeout: 10.9.0.2", 2},
	{"alice", "Deleting the client 10.9.0.2", 2},
	{"bob", "Cannot open a new connection: maximum number of connections reached", 2},

	{"stopped", "Sending BYE", 2},
	{"stopped", "Closing DTLS connection with peer 10.9.0.2", 1},

	{"twin", "The RDV server rejected the client", 0},
	{"lonely", "The connection with the RDV server failed", 0}, // 1
	{"lonely", "Sending BYE", 2},
	{"alice", "Error during DTLS handshake with peer 10.9.0.66", 0},
	{"mallory", "Error during DTLS handshake with peer 10.9.0.1", 0},
	{"misled", "The RDV server replied with something strange... (message code is 9)", 0},
	{"failed", "DTLS error, shutting down the connexion.", 0},
	{"failed", "DTLS connection closed by peer 10.9.0.2", 1},
}

// TestLogTexts lets clients live, with and without failures, at each verbosity,
// and looks for the original's texts in their logs as grep would: each is in one
// line, from its level on and not below.
func TestLogTexts(t *testing.T) {
	for level, name := range []string{"without options", "-v", "-d"} {
		t.Run(name, func(t *testing.T) {
			logs := map[string]*syncBuffer{}
			logged := func(who string) func(*Config) {
				logs[who] = new(syncBuffer)
				return func(c *Config) { c.Log = textLog(logs[who], level) }
			}
			inBubble(t, func(v *vpn) { liveTogether(v, logged) })
			for who, live := range map[string]func(r *replay){"misled": liveMisled, "failed": liveFailed} {
				synctest.Test(t, func(t *testing.T) {
					live(newReplay(t, sideA, sideB, logged(who)))
				})
			}
			for _, want := range logTexts {
				lines := grep(logs[want.who].String(), want.text)
				switch {
				case level >= want.level && len(lines) == 0:
					t.Errorf("%q is not in the log of %s:\n%s", want.text, want.who, logs[want.who].String())
				case level < want.level && len(lines) > 0:
					t.Errorf("%s, which level %d shows, is in the log of %s", lines[0], want.level, want.who)
				}
			}
		})
	}
}

// textLog returns the log of the program at a level.
func textLog(out *syncBuffer, level int) *slog.Logger {
	return logging.New(logging.Options{Stdout: out, Stderr: out, Level: logging.Level(level == 1, level-1)})
}

// grep returns the lines in which a text is.
func grep(log, text string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// liveTogether is the life of clients at one RDV. logged makes a client keep its
// log.
func liveTogether(v *vpn, logged func(who string) func(*Config)) {
	client := func(home int, who, vpnAddr string, edits ...func(*Config)) *node {
		edits = append(edits, logged(who))
		return v.node(v.home(home, simnet.NAT{}), "192.168.1.2:5000", vpnAddr, func(c *Config) {
			c.Timeout = 5 * time.Second
			for _, edit := range edits {
				edit(c)
			}
		})
	}
	alice := client(1, "alice", "10.9.0.1")
	bob := client(2, "bob", "10.9.0.2", func(c *Config) { c.MaxClients = 1 })
	pass(time.Second)
	alice.ping(bob, 5*time.Second)
	bob.send(netip.MustParseAddr("10.9.0.77"), "one too many")
	pass(10 * time.Second) // idle

	stopped := client(3, "stopped", "10.9.0.3")
	pass(time.Second)
	stopped.ping(bob, 5*time.Second)
	stopped.stop()

	client(4, "twin", "10.9.0.1") // as alice
	client(5, "lonely", "10.9.0.5", func(c *Config) { c.Servers = At(netip.MustParseAddrPort("198.51.100.99:57888")) })
	expired := v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"),
		pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)))
	mallory := client(6, "mallory", "10.9.0.66", use(expired))
	pass(time.Second)
	mallory.send(alice.vpn, "let me in")
	pass(15 * time.Second)
}

// liveMisled is the life of a client at whose RDV's address something else
// answers.
func liveMisled(r *replay) {
	r.play(join(gets(10*ms, replayRDV, punchB)), 2*sec)
}

// liveFailed is the life of a client whose peer ends the session with an error.
func liveFailed(r *replay) {
	r.play(join(registered, opened, does(2*sec, func(r *replay) { r.peer.fail() })), 3*sec)
}
