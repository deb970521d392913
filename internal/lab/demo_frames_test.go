package lab

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// framed is how the tests of frames play the demonstration.
var framed = DemoOptions{Mode: modeTAP, NATs: [2]Kind{PortRestricted, FullCone}}

func TestDemoFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		steps, err := play(t, t.Context(), s, framed)
		if err != nil {
			t.Fatal(err)
		}
		const want = `register: peer3 is registered as 10.9.0.3, over a channel in which both have shown their certificates (rdv)
mesh: 3 tunnels between 3 peers, without a packet that asked for one: the last is open 50ms after the first client was started
arp: peer1 asks all who has 10.9.0.2: 02:ca:0a:09:00:02 has it, after 1ms
ping: peer1 → peer2: 2 of 2 answered, first 2ms, median 2ms, slowest 2ms
stream: peer1 sends to 239.1.2.3, which nobody wants: of 100 datagrams in a second none has left its host
join: peer2 joins 239.1.2.3: the first datagram is there after 4ms
stream: of 100 datagrams in a second 100 were sent to peer2, which is in the group, and none to peer3, which is not
tables: peer1 knows: 02:ca:0a:09:00:02 at 10.9.0.2 (pinned), 02:ca:0a:09:00:03 at 10.9.0.3 (pinned) (campagnol fdb); 239.1.2.3 is wanted by 10.9.0.2 (campagnol mdb)
leave: peer2 leaves 239.1.2.3: nothing was sent to it any more after 2.01s
removed: programs ended; namespaces, NATs and files removed
`
		if got := texts(steps); !strings.HasSuffix(got, want) {
			t.Errorf("the demonstration said\n%s\nwant at its end\n%s", got, want)
		}
		for _, step := range steps {
			if !step.OK {
				t.Errorf("step %s is not OK: %s", step.Name, step.Text)
			}
		}
		for _, call := range []string{"Ping", "Bulk", "Broadcast"} {
			if s.called(call) {
				t.Errorf("%s was called, which is of the demonstration with packets", call)
			}
		}
	})
}

// TestDemoFramesFailures lets one thing go wrong at a time.
func TestDemoFramesFailures(t *testing.T) {
	broken := errors.New("broken")
	streamed := func(spoil func(*StreamResult)) func(*script) {
		return func(s *script) { s.streamed = spoil }
	}
	answers := func(command, answer string) func(*script) {
		return func(s *script) { s.answers[command] = answer }
	}
	for _, c := range []struct {
		name  string
		spoil func(*script)
		step  string
		want  string // part of the sentence
		logs  string // whose logs are shown
	}{
		{"no tunnel", func(s *script) { s.silent[msgOpened] = true }, "mesh", `peer1 did not log "New DTLS connection opened with peer" with peer 10.9.0.2: 20s have passed`, "peer1 peer2 rdv"},
		{"no ARP", func(s *script) { s.errs["Meet"] = broken }, "arp", "broken", "peer1 peer2"},
		{"ping lost", func(s *script) { s.pinged = func(r *PingResult) { r.RTT[1] = Lost } }, "arp", "not one was to be lost", "peer1 peer2"},
		{"no stream", func(s *script) { s.errs["Stream"] = broken }, "stream", "broken", "peer1 peer2"},
		{"flooded", streamed(func(r *StreamResult) { r.Before.ToOther = 7 }), "stream", "nobody wants 239.1.2.3, and 7 of 100 datagrams have left peer1", "peer1 peer2 peer3"},
		{"nothing sent", streamed(func(r *StreamResult) { r.Before.Sent = 0 }), "stream", "0 of 0 datagrams", "peer1 peer2 peer3"},
		{"late", streamed(func(r *StreamResult) { r.First = 2 * time.Second }), "join", "peer2 had the first datagram 2s after it had joined; that should take less than 1s", "peer1 peer2"},
		{"to another one", streamed(func(r *StreamResult) { r.During.ToOther = 1 }), "stream", "and 1 to peer3, which is not", "peer1 peer2 peer3"},
		{"not to the member", streamed(func(r *StreamResult) { r.During.ToMember = 60 }), "stream", "of 100 datagrams 60 went to peer2", "peer1 peer2 peer3"},
		{"not received", streamed(func(r *StreamResult) { r.During.Received = 60 }), "stream", "has 60", "peer1 peer2 peer3"},
		{"not pruned", streamed(func(r *StreamResult) { r.Pruned = 9 * time.Second }), "leave", "peer2 was sent the group for 9s after it had left", "peer1 peer2"},
		{"no answer", func(s *script) { s.errs["Ask"] = broken }, "stream", " of peer1: broken", "peer1 peer2"},
		{"nonsense", answers("mdb", "x"), "stream", "campagnol mdb of peer1: invalid character", "peer1 peer2"},
		{"an address is missing", answers("fdb", `{"macs":[{"mac":"02:ca:0a:09:00:02","vpn_address":"10.9.0.2"}]}`), "stream",
			"campagnol fdb of peer1 does not know an address of peer3", "peer1 peer2"},
		{"nobody in the group", answers("mdb", `{"groups":[]}`), "stream", `says that 239.1.2.3 is wanted by "", want "10.9.0.2"`, "peer1 peer2"},
		{"another one in the group", answers("mdb", `{"groups":[{"group":"239.1.2.3","members":[{"vpn_address":"10.9.0.2"},{"vpn_address":"10.9.0.3"}]}]}`), "stream",
			`wanted by "10.9.0.2, 10.9.0.3", want "10.9.0.2"`, "peer1 peer2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				c.spoil(s)
				_, err := play(t, t.Context(), s, framed)
				var failed *DemoError
				if !errors.As(err, &failed) || failed.Step != c.step || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error %v, want one of step %s with %q", err, c.step, c.want)
				}
				var who []string
				for _, l := range failed.Logs {
					who = append(who, l.Who)
				}
				if got := strings.Join(who, " "); got != c.logs || !s.called("Close") {
					t.Errorf("the logs of %q are shown, want those of %q, and everything removed", got, c.logs)
				}
			})
		})
	}
}

func TestDemoFramesOptions(t *testing.T) {
	o := framed
	if err := o.check(); err != nil || o.Peers != 3 || o.RDVMode != "strict" {
		t.Errorf("the defaults are %+v (%v), want 3 peers and strict", o, err)
	}
	symmetric := [2]Kind{Symmetric, Symmetric}
	for _, c := range []struct {
		o    DemoOptions
		want string
	}{
		{DemoOptions{Mode: "tup", Size: minTransfer}, `"tup" is not a mode of the VPN: use tun or tap`},
		{DemoOptions{Mode: modeTAP, Peers: 2}, "in mode tap there are 3 peers"},
		{DemoOptions{Mode: modeTAP, RDVMode: openRDV}, "needs a certificate"},
		{DemoOptions{Mode: modeTAP, NATs: symmetric}, "every pair needs a direct path, and between symmetric and symmetric, or symmetric and symmetric"},
		{DemoOptions{Mode: modeTAP, RDVMode: "shut"}, `"shut" is not a mode of the rendezvous server`},
	} {
		if err := Demo(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Demo(%+v) = %v, want an error with %q", c.o, err, c.want)
		}
	}
}
