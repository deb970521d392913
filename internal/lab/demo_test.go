package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// play runs the demonstration in a script and returns what it reports.
func play(t *testing.T, ctx context.Context, s *script, o DemoOptions) (steps []Step, err error) {
	t.Helper()
	if o.Size == 0 {
		o.Size = 100_000_000
	}
	o.Report = func(step Step) { steps = append(steps, step) }
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	s.mode, s.tap = o.RDVMode, o.Mode == modeTAP
	return steps, runDemo(ctx, s, o)
}

// texts returns the lines of steps, for comparison.
func texts(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Text)
	}
	return b.String()
}

func TestDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		steps, err := play(t, t.Context(), s, DemoOptions{NATs: [2]Kind{PortRestricted, None}})
		if err != nil {
			t.Fatal(err)
		}
		want := `network: lab test1: the Internet 203.0.113.0/24, a rendezvous server at 203.0.113.10, 2 peers
network: peer1 is at 192.168.1.2, behind nat1 with the outer address 203.0.113.20
network: peer2 is at 203.0.113.21, without NAT
nat: peer1 measured: mapping endpoint-independent, filtering address-and-port-dependent = port-restricted, as asked for
nat: peer2 measured: mapping endpoint-independent, filtering endpoint-independent = none, as asked for
certificates: a certificate authority, and 2 certificates that bind the VPN addresses 10.9.0.1 to 10.9.0.2
rdv: the rendezvous server listens (campagnol_rdv, in PATH)
register: peer1 is registered as 10.9.0.1
register: peer2 is registered as 10.9.0.2
connect: peer1 → peer2: the first packet had its answer after 13ms: asked the RDV +1ms, punched +2ms, path open +4ms, DTLS (AES_256_GCM) +12ms
ping: peer1 → peer2: 20 of 20 answered, first 13ms, median 300µs, slowest 13ms
broadcast: a broadcast of peer1 reached 1 of 1 peers, the slowest after 1ms
transfer: peer1 → peer2: 100.0 MB over TCP in 1s, 800.0 Mbit/s, SHA-256 abababababababab… the same on both sides
direct: all of it went directly: meanwhile the rendezvous server saw 5 packets, 500 B
idle: peer1 and peer2 are silent now; their time-out is 5s
idle: peer1 has closed the session with peer2 after 5s, and peer2 has noticed
removed: programs ended; namespaces, NATs and files removed
`
		if got := texts(steps); got != want {
			t.Errorf("the demonstration said\n%s\nwant\n%s", got, want)
		}
		for _, step := range steps {
			if !step.OK {
				t.Errorf("step %s is not OK: %s", step.Name, step.Text)
			}
		}
		if s.called("Keep") || !s.called("Close") {
			t.Errorf("the calls were %q, want Close at the end", s.calls)
		}
	})
}

// TestDemoAuthenticated has an RDV with a certificate: registration in clear is not
// what was to be seen then.
func TestDemoAuthenticated(t *testing.T) {
	for _, mode := range []string{"mixed", "strict"} {
		synctest.Test(t, func(t *testing.T) {
			steps, err := play(t, t.Context(), newScript(), DemoOptions{RDVMode: mode})
			if err != nil {
				t.Fatal(err)
			}
			got := texts(steps)
			for _, want := range []string{
				"bind the VPN addresses 10.9.0.1 to 10.9.0.2, and one for the rendezvous server\n",
				"rdv: the rendezvous server listens (campagnol_rdv, in PATH, mode " + mode + ")\n",
				"register: peer2 is registered as 10.9.0.2, over a channel in which both have shown their certificates (rdv)\n",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("the demonstration said\n%s\nwant in it %q", got, want)
				}
			}
			s := newScript()
			s.inClear = true
			_, err = play(t, t.Context(), s, DemoOptions{RDVMode: mode})
			if want := "register: peer1 is registered in clear, and the rendezvous server has a certificate"; err == nil || err.Error() != want {
				t.Errorf("in clear: error %v, want %s", err, want)
			}
		})
	}
}

// TestDemoFailures lets one thing go wrong at a time.
func TestDemoFailures(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		spoil func(*script)
		step  string
		want  string // part of the sentence
		logs  string // whose logs are shown
	}{
		{"network", func(s *script) { s.errs["Build"] = broken }, "network", "broken", ""},
		{"NAT not measured", func(s *script) { s.errs["Measure"] = broken }, "nat", "broken", ""},
		{"NAT of another kind", func(s *script) { s.measured[1] = Symmetric.Behaviour() }, "nat",
			"the NAT of peer2 was to be port-restricted (mapping endpoint-independent, filtering address-and-port-dependent), and has mapping address-and-port-dependent", ""},
		{"certificates", func(s *script) { s.errs["Certify"] = broken }, "certificates", "broken", ""},
		{"server does not start", func(s *script) { s.errs["StartServer"] = broken }, "rdv", "broken", ""},
		{"server does not listen", func(s *script) { s.silent["Server listening on port {port}"] = true }, "rdv",
			`rdv did not log "Server listening on port": 15s have passed`, "rdv"},
		{"client does not start", func(s *script) { s.errs["StartClient"] = broken }, "register", "broken", ""},
		{"client is not registered", func(s *script) { s.silent[msgRegistered] = true }, "register",
			`peer1 did not log "Registration complete": 15s have passed`, "peer1 rdv"},
		{"traffic of the RDV unknown", func(s *script) { s.errs["ServerTraffic"] = broken }, "direct", "broken", ""},
		{"ping fails", func(s *script) { s.errs["Ping"] = broken }, "connect", "broken", "peer1 peer2 rdv"},
		{"first packet lost", func(s *script) { s.pinged = func(r *PingResult) { r.RTT[0] = Lost } }, "connect",
			"19 of 20 answered, first lost, median 300µs, slowest 300µs; not one was to be lost, the first included", "peer1 peer2 rdv"},
		{"nobody asks", func(s *script) { s.silent[msgAsking] = true }, "connect",
			`peer1 did not log "Asking the RDV server for peer" with peer 10.9.0.2: 3s have passed`, "peer1 peer2 rdv"},
		{"no DTLS", func(s *script) { s.silent[msgOpened] = true }, "connect", `did not log "New DTLS connection opened with peer"`, "peer1 peer2 rdv"},
		{"peer lost before the broadcast", func(s *script) {
			s.pinged = func(r *PingResult) {
				if len(r.RTT) == 1 {
					r.RTT[0] = Lost
				}
			}
		}, "broadcast", "peer1 does not reach peer2 any more", "peer1 peer2 rdv"},
		{"broadcast fails", func(s *script) { s.errs["Broadcast"] = broken }, "broadcast", "broken", "peer1"},
		{"broadcast lost", func(s *script) { s.delivered = func(d []Delivery) { d[0].After = Lost } }, "broadcast",
			"peer2 did not receive the broadcast of peer1 within 3s", "peer1 peer2"},
		{"broadcast doubled", func(s *script) { s.delivered = func(d []Delivery) { d[0].Copies = 2 } }, "broadcast",
			"peer2 received the broadcast of peer1 2 times", "peer1 peer2"},
		{"broadcast of somebody else", func(s *script) {
			s.delivered = func(d []Delivery) { d[0].Source = netip.MustParseAddrPort("10.9.0.7:1") }
		}, "broadcast", "from 10.9.0.7:1", "peer1 peer2"},
		{"transfer", func(s *script) { s.errs["Bulk"] = broken }, "transfer", "broken", "peer1 peer2"},
		{"payload through the RDV", func(s *script) { s.traffic = 100_000_000 }, "direct",
			"100.0 MB went through the rendezvous server's interface; the introductions take less than 80.0 kB", "rdv"},
		{"no idle time-out", func(s *script) { s.silent[msgTimeout] = true }, "idle", "20s have passed", "peer1 peer2"},
		{"peer is not told", func(s *script) { s.silent[msgClosed] = true }, "idle",
			`peer2 did not log "DTLS connection closed by peer" with peer 10.9.0.1`, "peer1 peer2"},
		{"not removed", func(s *script) { s.errs["Close"] = broken }, "removed", "broken", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				c.spoil(s)
				steps, err := play(t, t.Context(), s, DemoOptions{NATs: [2]Kind{PortRestricted, PortRestricted}})
				var failed *DemoError
				if !errors.As(err, &failed) || failed.Step != c.step || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error %v, want one of step %s with %q", err, c.step, c.want)
				}
				var who []string
				for _, l := range failed.Logs {
					who = append(who, l.Who)
					if l.Tail != "the last words of "+l.Who+"\n" {
						t.Errorf("the log of %s is %q", l.Who, l.Tail)
					}
				}
				if got := strings.Join(who, " "); got != c.logs {
					t.Errorf("the logs of %q are shown, want those of %q", got, c.logs)
				}
				if !s.called("Close") {
					t.Error("nothing was removed after the failure")
				}
				i := slices.IndexFunc(steps, func(s Step) bool { return !s.OK })
				if i < 0 || steps[i].Name != c.step || !strings.Contains(steps[i].Text, "FAILED: ") || !strings.Contains(steps[i].Text, c.want) {
					t.Errorf("the demonstration said\n%swant the failure of %s", texts(steps), c.step)
				}
			})
		})
	}
}

// TestDemoHopeless plays pairs without a direct path.
func TestDemoHopeless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		steps, err := play(t, t.Context(), s, DemoOptions{NATs: [2]Kind{Symmetric, PortRestricted}})
		if err != nil {
			t.Fatal(err)
		}
		want := `no-path: peer1 → peer2: no direct path expected between symmetric and port-restricted; trying for 8s
no-path: peer1 → peer2: no answer to 8 packets, as theory says
skipped: no pair has a direct path: no broadcast, no transfer
removed: programs ended; namespaces, NATs and files removed
`
		if got := texts(steps); !strings.HasSuffix(got, want) {
			t.Errorf("the demonstration said\n%s\nwant at its end\n%s", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.miracle = true
		_, err := play(t, t.Context(), s, DemoOptions{NATs: [2]Kind{Symmetric, Symmetric}})
		var failed *DemoError
		want := "peer1 reaches peer2 through symmetric and symmetric (8 of 8 answered"
		if !errors.As(err, &failed) || failed.Step != "no-path" || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	})
}

// TestDemoManyPeers plays five peers of which three, behind symmetric NATs,
// reach the two others only.
func TestDemoManyPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		began := time.Now()
		steps, err := play(t, t.Context(), s, DemoOptions{Peers: 5, NATs: [2]Kind{Symmetric, Restricted}})
		if err != nil {
			t.Fatal(err)
		}
		var pings []string
		for _, c := range s.calls {
			if strings.HasPrefix(c, "Ping ") {
				pings = append(pings, strings.TrimPrefix(c, "Ping "))
			}
		}
		slices.Sort(pings)
		want := []string{
			"0 1 20", "0 2 8", "0 3 20", "0 4 8", "1 0 1", "1 2 1", "1 2 20", "1 3 1", "1 3 20", "1 4 1", "1 4 20",
			"2 3 20", "2 4 8", "3 4 20",
		}
		if !slices.Equal(pings, want) {
			t.Errorf("pings (from, to, count)\n%q, want\n%q", pings, want)
		}
		// peer2 has the most paths.
		for _, call := range []string{"Broadcast 1 [0 2 3 4]", "Bulk 1 0 100000000"} {
			if !slices.Contains(s.calls, call) {
				t.Errorf("no call %q among %q", call, s.calls)
			}
		}
		if got := texts(steps); !strings.Contains(got, "a broadcast of peer2 reached 4 of 4 peers, the slowest after 4ms") {
			t.Errorf("the demonstration said\n%s", got)
		}
		// The hopeless pairs are tried at the same time: three times eight
		// seconds would not fit.
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("the demonstration took %v", took)
		}
	})
}

func TestDemoKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		steps, err := play(t, t.Context(), s, DemoOptions{Keep: true})
		if err != nil || !s.called("Keep") || s.called("Close") {
			t.Errorf("error %v, calls %q, want Keep and no Close", err, s.calls)
		}
		if got, want := steps[len(steps)-1].Text, "enter it so"; got != want {
			t.Errorf("the last line is %q, want %q", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a failure is kept, too: to be looked at
		s := newScript()
		s.errs["Bulk"] = errors.New("broken")
		if _, err := play(t, t.Context(), s, DemoOptions{Keep: true}); err == nil || !s.called("Keep") || s.called("Close") {
			t.Errorf("error %v, calls %q, want an error and Keep", err, s.calls)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.errs["Keep"] = os.ErrClosed
		if _, err := play(t, t.Context(), s, DemoOptions{Keep: true}); !errors.Is(err, os.ErrClosed) || !s.called("Close") {
			t.Errorf("error %v, calls %q, want %v and Close", err, s.calls, os.ErrClosed)
		}
	})
}

func TestDemoInterrupted(t *testing.T) {
	for _, method := range []string{"Build", "Certify", "StartServer", "Ping", "Bulk"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				reached := make(chan struct{})
				s.blocked[method] = reached
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					<-reached
					cancel()
				}()
				steps, err := play(t, ctx, s, DemoOptions{Keep: true})
				if !errors.Is(err, ErrInterrupted) {
					t.Errorf("error %v, want %v", err, ErrInterrupted)
				}
				if s.called("Keep") || !s.called("Close") {
					t.Errorf("calls %q, want Close and no Keep", s.calls)
				}
				if got, want := texts(steps), "interrupted: interrupted, removing everything\nremoved: "; !strings.Contains(got, want) {
					t.Errorf("the demonstration said\n%swant %q", got, want)
				}
			})
		})
	}
}

func TestDemoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.silent[msgRegistered] = true
		_, err := play(t, t.Context(), s, DemoOptions{Timeout: 2 * time.Second})
		if want := "the demonstration has taken 2s"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if !s.called("Close") {
			t.Error("nothing was removed after the time-out")
		}
	})
}

func TestDemoOptions(t *testing.T) {
	o := DemoOptions{Size: minTransfer}
	if err := o.check(); err != nil || o.Peers != 2 || o.Timeout != 3*time.Minute {
		t.Errorf("the defaults are %+v (%v), want 2 peers and 3 minutes", o, err)
	}
	for _, c := range []struct {
		o    DemoOptions
		want string
	}{
		{DemoOptions{Peers: 1, Size: minTransfer}, "1 peers are not possible, 2 to 100 are"},
		{DemoOptions{Peers: 101, Size: minTransfer}, "101 peers are not possible"},
		{DemoOptions{Size: minTransfer - 1}, "a transfer of 1.0 MB proves nothing"},
		{DemoOptions{Size: -1}, "a transfer of 0 B proves nothing"},
		{DemoOptions{Size: minTransfer, Underlay: "ipv5"}, `"ipv5" cannot be below the VPN: use ipv4, ipv6, dual`},
		{DemoOptions{Size: minTransfer, Underlay: "ipv6", RDVMode: "open"}, "over IPv6 clients register with a certificate alone"},
		{DemoOptions{Size: minTransfer, Timeout: -1}, "a time-out of -1ns is not possible"},
	} {
		if err := Demo(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Demo(%+v) = %v, want an error with %q", c.o, err, c.want)
		}
	}
}

func TestHub(t *testing.T) {
	for _, c := range []struct {
		plan     []Kind
		direct   int
		hopeless int
		from     int
		to       []int
	}{
		{[]Kind{PortRestricted, PortRestricted}, 1, 0, 0, []int{1}},
		{[]Kind{Symmetric, Symmetric}, 0, 1, 0, nil},
		{[]Kind{Symmetric, PortRestricted, FullCone}, 2, 1, 2, []int{0, 1}},
		{[]Kind{None, Symmetric, None, Symmetric}, 5, 1, 0, []int{1, 2, 3}},
	} {
		direct, hopeless := pairs(c.plan, Direct)
		from, to := hub(direct)
		if len(direct) != c.direct || len(hopeless) != c.hopeless || from != c.from || !slices.Equal(to, c.to) {
			t.Errorf("%v: %d direct, %d hopeless, from %d to %v, want %d, %d, %d, %v",
				c.plan, len(direct), len(hopeless), from, to, c.direct, c.hopeless, c.from, c.to)
		}
	}
}
