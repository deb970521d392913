package client

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// A flow is traffic between two nodes, of which each packet is different and counted.
type flow struct {
	v        *vpn
	ends     [2]*node
	speaks   [2]bool // of its own
	answers  bool    // each packet, as TCP does
	n        int
	seen     [2]map[string]int // what has arrived at each end, how often
	last     [2]time.Time      // when something arrived at each end last
	gap      [2]time.Duration  // the longest without, since reset
	sessions [2]time.Time      // when the nodes' sessions were opened
}

// The kinds of flows.
var flowKinds = []struct {
	name    string
	speaks  [2]bool
	answers bool
}{
	{"both ways", [2]bool{true, true}, false},
	{"from alice only", [2]bool{true, false}, false},
	{"from bob only", [2]bool{false, true}, false},
	{"request and answer", [2]bool{true, false}, true},
}

const flowStep = 10 * time.Millisecond

// step lets the speakers say something, time pass, and everything arrive.
func (f *flow) step() {
	for i, n := range f.ends {
		if f.speaks[i] {
			f.n++
			n.send(f.ends[1-i].vpn, fmt.Sprintf("say %d", f.n))
		}
	}
	pass(flowStep)
	for i, n := range f.ends {
		for _, text := range n.texts() {
			f.arrived(i, text)
			if request, ok := strings.CutPrefix(text, "say "); ok && f.answers {
				n.send(f.ends[1-i].vpn, "re "+request)
			}
		}
		if f.listens(i) {
			f.gap[i] = max(f.gap[i], time.Since(f.last[i]))
		}
	}
}

// listens reports whether something is to arrive at an end.
func (f *flow) listens(i int) bool { return f.speaks[1-i] || f.answers }

func (f *flow) arrived(i int, text string) {
	f.last[i] = time.Now()
	if f.seen[i][text]++; f.seen[i][text] > 1 {
		f.v.t.Errorf("%q arrived twice", text)
	}
}

// flowFor lets a flow pass for a time.
func (f *flow) flowFor(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		f.step()
	}
}

// reset begins to measure the gap.
func (f *flow) reset() {
	f.gap = [2]time.Duration{}
	for i := range f.last {
		f.last[i] = time.Now()
	}
}

// newFlow opens a session between two nodes and begins a flow over it.
func newFlow(v *vpn, alice, bob *node, kind int) *flow {
	v.t.Helper()
	f := &flow{v: v, ends: [2]*node{alice, bob}, speaks: flowKinds[kind].speaks, answers: flowKinds[kind].answers}
	f.seen = [2]map[string]int{{}, {}}
	for _, n := range f.ends { // what is left of another flow
		pass(100 * time.Millisecond)
		n.texts()
	}
	alice.ping(bob, 5*time.Second)
	for i, n := range f.ends {
		f.sessions[i] = n.status().Peers[0].Since
	}
	f.flowFor(2 * time.Second)
	f.reset()
	return f
}

// wantSame checks that the sessions are those of the beginning.
func (f *flow) wantSame() {
	f.v.t.Helper()
	for i, n := range f.ends {
		s := n.status().Peers
		if len(s) != 1 || s[0].Since != f.sessions[i] || s[0].State != "ESTABLISHED" {
			f.v.t.Errorf("%v: not the session of the beginning (%v): %+v", n.vpn, f.sessions[i], s)
		}
		if opened := n.logged("New DTLS connection"); opened != 1 {
			f.v.t.Errorf("%v has opened %d sessions, want 1", n.vpn, opened)
		}
	}
}

// wantGap checks that nothing was away for longer than most, and that all is well now.
func (f *flow) wantGap(most time.Duration) {
	f.v.t.Helper()
	for i, n := range f.ends {
		if f.gap[i] > most {
			f.v.t.Errorf("nothing arrived at %v for %v, want %v at most", n.vpn, f.gap[i], most)
		}
	}
	f.reset()
	f.flowFor(time.Second)
	for i, n := range f.ends {
		if f.listens(i) && f.gap[i] > 200*time.Millisecond {
			f.v.t.Errorf("afterwards nothing arrived at %v for %v", n.vpn, f.gap[i])
		}
	}
}

// A roamers is a VPN with an RDV that has a certificate, or has none.
type roamers struct {
	*vpn
	clear      bool
	alice, bob *node
}

// newRoamers starts the RDV and two nodes behind NATs, bound to no address of their
// hosts, as those are that move.
func newRoamers(v *vpn, inClear bool, nats ...simnet.NAT) *roamers {
	v.t.Helper()
	r := &roamers{vpn: v, clear: inClear}
	var edit func(*Config)
	if !inClear {
		v.ourServer(rdv.Mixed)
		edit = v.authentic(AuthYes, nil)
	}
	a, b := portRestricted, portRestricted
	if len(nats) == 2 {
		a, b = nats[0], nats[1]
	}
	r.alice = r.roamer(v.home(1, a), "192.168.1.2", "10.9.0.1", edit)
	r.bob = r.roamer(v.home(2, b), "192.168.2.2", "10.9.0.2", edit)
	pass(time.Second)
	return r
}

func (r *roamers) roamer(site *simnet.Site, addr, vpnAddr string, edit func(*Config)) *node {
	r.t.Helper()
	conn, err := site.Host(addr).Listen(netip.MustParseAddrPort("0.0.0.0:5000"))
	if err != nil {
		r.t.Fatal(err)
	}
	return r.nodeOn(conn, vpnAddr, edit)
}

// restartRDV has the RDV forget everything.
func (r *roamers) restartRDV() {
	r.stop()
	if r.clear {
		r.startRDV()
	} else {
		r.ourServer(rdv.Mixed)
	}
}

// inRoam runs f in a bubble.
func inRoam(t *testing.T, inClear bool, nats []simnet.NAT, f func(r *roamers)) {
	t.Helper()
	inBubble(t, func(v *vpn) { f(newRoamers(v, inClear, nats...)) })
}
