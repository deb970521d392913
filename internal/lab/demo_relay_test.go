package lab

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const someRelay = "203.0.113.10:57888"

// behind returns the lines of a demonstration from the one about the first packets on.
func behind(steps []Step) string {
	_, text, _ := strings.Cut(texts(steps), "\nconnect: ")
	return "connect: " + text
}

// TestDemoRelay: by which path the first packets go, and when the direct one takes over.
func TestDemoRelay(t *testing.T) {
	const removed = "removed: programs ended; namespaces, NATs and files removed\n"
	for _, c := range []struct {
		name  string
		nats  [2]Kind
		spoil func(*script)
		want  string
	}{
		{"symmetric", [2]Kind{Symmetric, Symmetric}, func(s *script) { s.relay, s.traffic = someRelay, 200_000_000 },
			"connect: peer1 → peer2: the first packet had its answer after 13ms, by the relay 203.0.113.10:57888\n" +
				"path: peer1 → peer2: stays on the relay: no direct path within 3s\n" +
				"transfer: peer1 → peer2: 100.0 MB over TCP in 1s, 800.0 Mbit/s, SHA-256 abababababababab… the same on both sides, by the relay 203.0.113.10:57888; the rendezvous server's host saw 200.0 MB meanwhile\n"},
		{"cone", [2]Kind{PortRestricted, Restricted}, func(s *script) { s.relay, s.direct = someRelay, 1200*ms },
			"connect: peer1 → peer2: the first packet had its answer after 13ms, by the relay 203.0.113.10:57888\n" +
				"path: peer1 → peer2: direct after 1.2s; 10 of 10 answered, first 13ms, median 300µs, slowest 13ms\n" +
				"transfer: peer1 → peer2: 100.0 MB over TCP in 1s, 800.0 Mbit/s, SHA-256 abababababababab… the same on both sides, directly; the rendezvous server's host saw 200 B meanwhile\n"},
		{"direct from the first", [2]Kind{None, None}, func(*script) {},
			"connect: peer1 → peer2: the first packet had its answer after 13ms, directly\n" +
				"transfer: peer1 → peer2: 100.0 MB over TCP in 1s, 800.0 Mbit/s, SHA-256 abababababababab… the same on both sides, directly; the rendezvous server's host saw 200 B meanwhile\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				c.spoil(s)
				steps, err := play(t, t.Context(), s, DemoOptions{NATs: c.nats, Relay: true})
				if err != nil {
					t.Fatal(err)
				}
				if got := behind(steps); got != c.want+removed {
					t.Errorf("the demonstration said\n%s\nwant\n%s", got, c.want+removed)
				}
				if all := texts(steps); !strings.Contains(all, "rdv: the rendezvous server listens (campagnol_rdv, in PATH, mode strict, and relays)\n") {
					t.Errorf("the demonstration said\n%s\nand not that the server relays", all)
				}
			})
		})
	}
}

// TestDemoRelayData: what programs read.
func TestDemoRelayData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.relay, s.direct = someRelay, 1200*ms
		steps, err := play(t, t.Context(), s, DemoOptions{NATs: [2]Kind{FullCone, FullCone}, Relay: true, RDVMode: "mixed"})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			data, _ := step.Data.(map[string]any)
			switch {
			case step.Name == "connect" && (data["path"] != "relay" || data["relay"] != someRelay || data["reply_ms"] != 13.0 || data["received"] != 20),
				step.Name == "path" && (data["path"] != "direct" || data["direct_ms"] != 1200.0),
				step.Name == "transfer" && (data["path"] != "direct" || data["bytes"] != int64(100_000_000)):
				t.Errorf("step %s has the data %v", step.Name, data)
			}
		}
	})
}

// TestDemoRelayFailures lets one thing go wrong at a time.
func TestDemoRelayFailures(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		nat   Kind
		spoil func(*script)
		step  string
		want  string
	}{
		{"no answer", Symmetric, func(s *script) { s.relay = "" }, "connect", "0 of 20 answered; not one was to be lost"},
		{"ping fails", FullCone, func(s *script) { s.errs["Ping"] = broken }, "connect", "broken"},
		{"no session", FullCone, func(s *script) { s.silent[msgOpened] = true }, "connect", "did not log"},
		{"a packet lost on the way from the relay", FullCone, func(s *script) {
			s.direct = 1200 * ms
			s.pinged = func(r *PingResult) {
				if len(r.RTT) != firstPings.Count {
					r.RTT[3] = Lost
				}
			}
		}, "path", "by the relay, and from there on: 9 of 10 answered"},
		{"transfer", FullCone, func(s *script) { s.errs["Bulk"] = broken }, "transfer", "broken"},
		{"traffic of the RDV unknown", FullCone, func(s *script) { s.errs["ServerTraffic"] = broken }, "transfer", "broken"},
		{"relayed, and not by the relay", Symmetric, func(*script) {}, "transfer", "the relay has seen 200 B of 100.0 MB"},
		{"direct, and by the relay", FullCone, func(s *script) { s.direct, s.traffic = 100*ms, 100_000_000 }, "transfer",
			"100.0 MB went through the rendezvous server's interface, and the path is direct"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				s.relay = someRelay
				c.spoil(s)
				_, err := play(t, t.Context(), s, DemoOptions{NATs: [2]Kind{c.nat, c.nat}, Relay: true})
				var failed *DemoError
				if !errors.As(err, &failed) || failed.Step != c.step || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want one of step %s with %q", err, c.step, c.want)
				}
			})
		})
	}
}

// TestDemoRelayRefused: what cannot be shown with a relay.
func TestDemoRelayRefused(t *testing.T) {
	for _, c := range []struct {
		o    DemoOptions
		want string
	}{
		{DemoOptions{Relay: true, Mode: "tap"}, "is shown with IP packets"},
		{DemoOptions{Relay: true, RDVMode: "open"}, "for members with a certificate alone"},
		{DemoOptions{Relay: true, RDVMode: "mixed"}, ""},
		{DemoOptions{Relay: true, Underlay: "ipv6"}, ""},
	} {
		c.o.Size, c.o.Timeout = minTransfer, time.Minute
		err := c.o.check()
		if c.want == "" && (err != nil || !c.o.authenticates()) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: error %v, want %q", c.o, err, c.want)
		}
	}
}
