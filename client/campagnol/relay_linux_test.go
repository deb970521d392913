package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// hardPair are NATs between which there is no direct path, easyPair such between which
// there is one.
var (
	hardPair = []lab.Kind{lab.Symmetric, lab.Symmetric}
	easyPair = []lab.Kind{lab.PortRestricted, lab.PortRestricted}
)

// firstRelayed is the time that the first reply may take if there is a relay.
const firstRelayed = 100 * time.Millisecond

// TestRelayBetweenHardNATs: there is no direct path, and the first reply comes in no
// time all the same, by the relay. No packet is lost.
func TestRelayBetweenHardNATs(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, hardPair, "--relay")
		defer m.close()
		a, b := m.peers[0], m.peers[1]
		sockets := []string{a.withSocket(), b.withSocket()}
		m.startAll()
		r := a.ping(b, 40)
		for i, p := range m.peers {
			other := m.peers[1-i]
			if relay, _ := p.opened(other, time.Time{}); relay == "" {
				t.Errorf("%s has opened the session directly, through symmetric NATs", p.Name())
			}
			if relay := p.relayNow(sockets[i], other); !strings.Contains(relay, m.server.Addr().String()) {
				t.Errorf("the status of %s has the relay %q, want that of the server at %v", p.Name(), relay, m.server.Addr())
			}
		}
		t.Logf("first reply after %v", r.Reply())
		if r.Reply() > firstRelayed {
			return fmt.Sprintf("the first reply took %v, want at most %v", r.Reply(), firstRelayed)
		}
		return ""
	})
}

// TestRelayFirst: where there is a direct path, the first reply does not wait for it,
// the session has it within two seconds, and no packet is lost or doubled on the way.
func TestRelayFirst(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, easyPair, "--relay")
		defer m.close()
		a, b := m.peers[0], m.peers[1]
		m.startAll()
		const directWithin = 2 * time.Second
		since := time.Now()
		r := a.pings(b, 10*time.Millisecond, directWithin+time.Second).end()
		if r.Received() != len(r.RTT) || r.Duplicates > 0 {
			t.Errorf("%v, want all answered once", r)
		}
		relay, at := a.opened(b, since)
		after := at.Sub(since)
		if relay != "" {
			var ok bool
			if after, ok = a.turns(b, false, since, directWithin); !ok {
				return fmt.Sprintf("no direct path within %v", directWithin)
			}
		}
		t.Logf("first reply after %v, by the relay %q; direct after %v", r.Reply(), relay, after)
		if r.Reply() > firstRelayed {
			return fmt.Sprintf("the first reply took %v, want at most %v", r.Reply(), firstRelayed)
		}
		return ""
	})
}

// TestRelayToDirect: a session that goes by a relay, since the direct path is dark, moves
// to it when it is not any more, and a stream inside loses nothing and gets nothing twice.
func TestRelayToDirect(t *testing.T) {
	t.Parallel()
	m := relayed(t, easyPair, "--relay")
	a, b := m.peers[0], m.peers[1]
	dark, err := lab.Separate(a.nat.Node, b.nat.Node)
	if err != nil {
		t.Fatal(err)
	}
	m.startAll()
	a.ping(b, 10)
	if relay, _ := a.opened(b, time.Time{}); relay == "" {
		t.Fatal("the session began directly, where nothing gets through")
	}
	if n, err := dark.Lost(); err != nil || n == 0 {
		t.Errorf("%d packets were lost on the direct path (%v), want that it was tried", n, err)
	}
	straight := b.direct(a)
	s, err := lab.StartSequence(t.Context(), a.Node, b.Node, b.vpn, "moving", lab.SequenceOptions{Rate: 400, Size: 600})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if err := dark.End(); err != nil {
		t.Fatal(err)
	}
	healed := time.Now()
	took, moved := a.turns(b, false, healed, 15*time.Second)
	time.Sleep(500 * time.Millisecond)
	tally, err := s.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, bytes := straight()
	t.Logf("direct %v after the path was there: %v; %d bytes went straight", took, tally, bytes)
	if !moved || bytes < 50_000 {
		t.Errorf("the session has not moved (%v), or %d bytes go straight", moved, bytes)
	}
	if tally.Lost > 0 || tally.Duplicated > 0 || tally.Sent < 200 {
		t.Errorf("%v; want none lost or doubled", tally)
	}
}

// TestRelayOnlyAndNever: relay_only keeps a session from a direct path that there is,
// relay_never from the relay that there is, if one side says so.
func TestRelayOnlyAndNever(t *testing.T) {
	t.Parallel()
	t.Run("only", func(t *testing.T) {
		t.Parallel()
		m := relayed(t, easyPair, "--relay")
		a, b := m.peers[0], m.peers[1]
		a.configure("relay_only = yes\n")
		straight := b.direct(a)
		m.startAll()
		r := a.pings(b, 20*time.Millisecond, 4*time.Second).end()
		if r.Received() != len(r.RTT) {
			t.Errorf("%v, want all answered", r)
		}
		if relay, _ := a.opened(b, time.Time{}); relay == "" {
			t.Error("the session began directly")
		}
		if took, moved := a.turns(b, false, r.Start, 0); moved {
			t.Errorf("the session became direct after %v", took)
		}
		if n, _ := straight(); n > 0 {
			t.Errorf("%s has sent %d packets straight to the peer", a.Name(), n)
		}
	})
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		m := relayed(t, hardPair, "--relay")
		a, b := m.peers[0], m.peers[1]
		b.configure("relay_never = yes\n")
		m.startAll()
		for _, pair := range [][2]*meshPeer{{a, b}, {b, a}} {
			if r := pair[0].pings(pair[1], 100*time.Millisecond, 3*time.Second).end(); r.Received() > 0 {
				t.Errorf("%s reaches %s: %v", pair[0].Name(), pair[1].Name(), r)
			}
		}
	})
}

// TestRelayForbidden: a policy without a rule that allows to relay, at the server, lets
// nothing be relayed, and explain says so; a rule that does lets it.
func TestRelayForbidden(t *testing.T) {
	t.Parallel()
	m := newMesh(t, hardPair...)
	file := filepath.Join(m.lab.Dir(), "rdv.policy")
	if err := os.WriteFile(file, []byte("allow all <-> all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(m.modeOf("strict"), "--relay", "--policy", file)
	m.restartServer(args...)
	a, b := m.peers[0], m.peers[1]
	socket := a.withSocket()
	for _, p := range m.peers {
		p.configure("[NETWORK]\nrdv_auth = yes\n")
	}
	w := m.watch()
	m.startAll()
	out, _, status := a.explain("--try", b.vpn.String(), "--socket", socket)
	if said := strings.ToLower(out); status != notReached || !strings.Contains(said, "policy") || !strings.Contains(said, "relay") {
		t.Errorf("status %d; want that the peer is not reached, and that the policy forbids to relay", status)
	}
	if r := a.pings(b, 100*time.Millisecond, time.Second).end(); r.Received() > 0 {
		t.Errorf("%v, against the policy", r)
	}
	if seen := lab.Inspect(w.Seen()); seen.Pieces[lab.ChannelData] > 0 || seen.Relayed[lab.Record] > 0 {
		t.Errorf("the server has relayed: %v", seen)
	}
	if err := os.WriteFile(file, []byte("allow all <-> all\nallow relay: all <-> all through all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.restartServer(args...)
	if _, err := a.PingUntil(soon(t, 30*time.Second), b.vpn, 100*time.Millisecond); err != nil {
		t.Errorf("where the policy allows it: %v", err)
	}
}

// TestRelaySeesCiphertext: of what is sent inside, the relay sees only records, and what
// it changes or repeats arrives nowhere.
func TestRelaySeesCiphertext(t *testing.T) {
	t.Parallel()
	m := relayed(t, hardPair, "--relay")
	a, b := m.peers[0], m.peers[1]
	m.startAll()
	a.ping(b, 5)
	if relay, _ := a.opened(b, time.Time{}); relay == "" {
		t.Fatal("the session is not relayed")
	}
	inside, err := b.Interface("tun0").Watch(lab.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	w := m.watch()
	text := []byte("the relay must not be able to read this")
	const messages = 200
	a.tell(b, text, messages)
	seen, got := lab.Inspect(w.Seen(), text), lab.Inspect(inside.Seen(), text)
	t.Logf("at the relay: %v", seen)
	if got.Leaks < messages/2 {
		t.Errorf("the text is in %d packets behind the tunnel of %d that were sent: this test sees nothing", got.Leaks, messages)
	}
	// Each comes in channel data, from who has the relayed address, and goes on as it is.
	if seen.Leaks > 0 || seen.Relayed[lab.Record] < messages*9/10 || seen.Pieces[lab.Record] < 2*messages*9/10 || seen.Pieces[lab.Unknown] > 0 {
		t.Errorf("at the relay: %v, of them such as\n%x\nwant nothing but records relayed", seen, seen.Odd)
	}
	if n, err := w.Dropped(); err != nil || n > 0 {
		t.Errorf("%d frames were not seen (%v)", n, err)
	}

	s, err := lab.StartSequence(t.Context(), a.Node, b.Node, b.vpn, "forged", lab.SequenceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := len(w.Seen())
	time.Sleep(500 * time.Millisecond)
	forged := forge(t, w, w.Seen()[before:])
	time.Sleep(500 * time.Millisecond)
	tally, err := s.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d datagrams forged: %v", forged, tally)
	if forged < 20 || tally.Lost > 0 || tally.Duplicated > 0 {
		t.Errorf("%d datagrams forged: %v; want all of the true ones once", forged, tally)
	}
	a.ping(b, 5)
	if n := a.count(sessionOpen); n != 1 {
		t.Errorf("there were %d sessions, want the first to live on", n)
	}
}

// forge sends again what the server has relayed to peers: as it was, and with one bit
// changed. It returns how many datagrams that were.
func forge(t *testing.T, w *lab.Watch, seen []lab.Sighting) (forged int) {
	t.Helper()
	for _, s := range seen {
		const head, limit = 14 + 20 + 8, 1514 // Ethernet, IPv4 without options, UDP
		pieces := lab.Dissect(s.Frame.Payload)
		if !s.Outgoing || len(s.Raw) <= head || len(s.Raw) > limit || len(pieces) == 0 ||
			pieces[len(pieces)-1].Content != lab.Record || pieces[len(pieces)-1].Data[0] != 25 {
			continue
		}
		for _, flip := range []byte{0, 1} {
			b := bytes.Clone(s.Raw)
			b[40], b[41] = 0, 0 // no checksum (RFC 768): the kernel has left it to hardware
			b[len(b)-1] ^= flip
			if err := w.Send(b); err != nil {
				t.Fatal(err)
			}
			forged++
		}
	}
	return forged
}

// TestRelayLab: the demonstration with a relay, in both cases.
func TestRelayLab(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ nat, path string }{{"symmetric", "relay"}, {"port-restricted", "direct"}} {
		t.Run(c.nat, func(t *testing.T) {
			t.Parallel()
			steps := runLabBinary(t, "--relay", "--nat-a", c.nat, "--nat-b", c.nat)
			last := ""
			for _, s := range steps {
				if path, ok := s.Data["path"].(string); ok && s.Step != "transfer" {
					last = path
					t.Log(s.Text)
				}
			}
			if last != c.path {
				t.Errorf("the path is %q in the end, want %s", last, c.path)
			}
		})
	}
}
