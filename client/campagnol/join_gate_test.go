package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
	"campagnol/rdv/wire"
)

var (
	joinStart  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	joinRDV    = netip.MustParseAddrPort("192.0.2.1:57888")
	joinRDV6   = netip.MustParseAddrPort("[2001:db8::1]:57888")
	joinCookie = [wire.CookieSize]byte{1, 2, 3}
)

// A gateRun drives a joinGate on a clock of its own.
type gateRun struct {
	t     *testing.T
	g     *joinGate
	now   time.Time
	token *enroll.Token
	out   []joinDatagram // that were sent since the last look
}

func newGateRun(t *testing.T, servers ...netip.AddrPort) *gateRun {
	t.Helper()
	token, err := enroll.NewToken(rand.Reader, pki.KeyID{1}, "rdv.example.org:57888")
	if err != nil {
		t.Fatal(err)
	}
	ex, err := enroll.NewEnrolment(rand.Reader, token, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return &gateRun{t: t, now: joinStart, token: token, g: newJoinGate(joinStart, rand.Reader, ex, servers)}
}

// advance lets time pass.
func (r *gateRun) advance(d time.Duration) {
	end := r.now.Add(d)
	for !r.g.due.After(end) {
		r.now = maxTime(r.now, r.g.due)
		r.out = r.g.advance(r.now, r.out)
	}
	r.now = end
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sent returns the gate messages that were sent since the last call.
func (r *gateRun) sent() (types []wire.Gate, last wire.GateMessage) {
	r.t.Helper()
	for _, d := range r.out {
		m, err := wire.ParseGate(d.data)
		if err != nil {
			r.t.Fatalf("sent %x: %v", d.data, err)
		}
		types, last = append(types, m.Type), m
	}
	r.out = nil
	return types, last
}

func (r *gateRun) receive(from netip.AddrPort, m wire.GateMessage) {
	r.g.receive(r.now, joinDatagram{addr: from, data: m.Append(nil)})
	r.out = r.g.advance(r.now, r.out)
}

// letIn answers a KNOCK, and returns the request that follows.
func (r *gateRun) letIn() wire.GateMessage {
	r.t.Helper()
	r.advance(0)
	r.out = nil
	r.receive(joinRDV, wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: joinCookie})
	types, m := r.sent()
	if !slices.Equal(types, []wire.Gate{wire.Apply}) || m.Cookie != joinCookie {
		r.t.Fatalf("after a cookie: %v with cookie %x, want an Apply with ours", types, m.Cookie)
	}
	return m
}

// wantOver lets time pass until the end, which must be an error with these parts.
func (r *gateRun) wantOver(within time.Duration, parts ...string) {
	r.t.Helper()
	for end := r.now.Add(within); !r.now.After(end); r.advance(time.Second) {
		over, err := r.g.over(r.now)
		if !over {
			continue
		}
		text := cliText(err)
		for _, p := range parts {
			if !strings.Contains(text, p) {
				r.t.Errorf("the end is %q, want it to contain %q", text, p)
			}
		}
		return
	}
	r.t.Errorf("no end after %v, want %q", within, parts)
}

// cliText is an error as the user sees it.
func cliText(err error) string {
	if err == nil {
		return "success"
	}
	var b bytes.Buffer
	cli.Print(&b, program, err)
	return b.String()
}

// TestGateKnocks repeats, at each address of the server.
func TestGateKnocks(t *testing.T) {
	r := newGateRun(t, joinRDV, joinRDV6)
	r.advance(3500 * time.Millisecond) // at 0, 0.5, 1.5 and 3.5 s
	if len(r.out) != 8 || r.out[0].addr != joinRDV || r.out[1].addr != joinRDV6 || len(r.out[0].data) != wire.KnockSize {
		t.Errorf("%d datagrams: %v, want 4 to each address", len(r.out), r.out)
	}
	r.out = nil
	r.advance(40 * time.Second)
	if n := len(r.out); n != 20 {
		t.Errorf("%d datagrams in the 40 s that follow, want one to each address every 4 s", n)
	}
	r.wantOver(time.Minute, "does not answer at 192.0.2.1:57888, [2001:db8::1]:57888", "firewalls", "--rdv")
	if age := r.now.Sub(joinStart); age < joinSilence || age > joinSilence+2*time.Second {
		t.Errorf("given up after %v, want %v", age, joinSilence)
	}
}

// TestGateSecondAddress goes on where the server answers.
func TestGateSecondAddress(t *testing.T) {
	r := newGateRun(t, joinRDV, joinRDV6)
	r.advance(0)
	r.out = nil
	r.receive(netip.AddrPortFrom(joinRDV6.Addr(), joinRDV6.Port()), wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: joinCookie})
	if len(r.out) != 1 || r.out[0].addr != joinRDV6 {
		t.Errorf("after a cookie from the second: %v, want an Apply there", r.out)
	}
}

// TestGateApplies repeats a request, with the same ID, and knocks again in the end.
func TestGateApplies(t *testing.T) {
	r := newGateRun(t, joinRDV)
	first := r.letIn()
	r.advance(20 * time.Second)
	types, last := r.sent()
	want := []wire.Gate{wire.Apply, wire.Apply, wire.Apply, wire.Apply, wire.Knock, wire.Knock, wire.Knock, wire.Knock, wire.Knock}
	if !slices.Equal(types[:5], want[:5]) || last.Type != wire.Knock {
		t.Errorf("sent %v, want %v", types, want)
	}
	if req, err := enroll.ParseRequest(first.Data); err != nil || req.ID != r.token.ID {
		t.Errorf("request %+v, %v, want one for the invitation", req, err)
	}
	r.wantOver(joinLimit, "the authority behind it does not")
}

// TestGateAway tries again while the server does not reach the authority.
func TestGateAway(t *testing.T) {
	r := newGateRun(t, joinRDV)
	m := r.letIn()
	for n := range 6 {
		r.receive(joinRDV, wire.GateMessage{Type: wire.Reply, ID: m.ID})
		if types, _ := r.sent(); len(types) != 0 {
			t.Fatalf("answer %d: %v at once, want to wait", n, types)
		}
		for len(r.out) == 0 {
			r.advance(100 * time.Millisecond)
		}
		last := m.ID
		if _, m = r.sent(); m.Type != wire.Apply || m.ID == last {
			t.Fatalf("after answer %d: %+v, want a new request", n, m.Type)
		}
	}
	if p := r.g.phase(); !strings.Contains(p, "does not reach the authority") {
		t.Errorf("phase %q", p)
	}
	r.wantOver(joinAway, "does not reach the authority", "docs/ca.md")
}

// TestGateWaits obeys a server that has too much to do, and nobody else.
func TestGateWaits(t *testing.T) {
	r := newGateRun(t, joinRDV)
	r.letIn()
	r.receive(joinRDV, wire.GateMessage{Type: wire.Wait, Cookie: [wire.CookieSize]byte{9}, Millis: 20000})
	r.receive(netip.MustParseAddrPort("198.51.100.9:57888"), wire.GateMessage{Type: wire.Wait, Cookie: joinCookie, Millis: 20000})
	r.advance(600 * time.Millisecond)
	if types, _ := r.sent(); !slices.Equal(types, []wire.Gate{wire.Apply}) {
		t.Errorf("after forged WAITs: %v, want an Apply", types)
	}
	r.receive(joinRDV, wire.GateMessage{Type: wire.Wait, Cookie: joinCookie, Millis: 20000})
	r.advance(19 * time.Second)
	if types, _ := r.sent(); len(types) != 0 {
		t.Errorf("while it has to wait: %v", types)
	}
	r.advance(2 * time.Second)
	if types, _ := r.sent(); !slices.Equal(types, []wire.Gate{wire.Knock, wire.Knock}) {
		t.Errorf("after the wait: %v, want two KNOCKs", types)
	}
}

// TestGateRefused tells what kind of server it is.
func TestGateRefused(t *testing.T) {
	closed := wire.GateMessage{Type: wire.Closed}.Append(nil)
	original := make([]byte, wire.Size)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{{"no certificate", closed, "has no certificate"}, {"Campagnol 0.3.5", original, "Campagnol 0.3.5"}} {
		t.Run(c.name, func(t *testing.T) {
			r := newGateRun(t, joinRDV)
			r.advance(0)
			for range joinWitness - 1 {
				r.g.receive(r.now, joinDatagram{addr: joinRDV, data: c.data})
			}
			r.advance(10 * time.Second)
			if over, err := r.g.over(r.now); over {
				t.Fatalf("two answers, which may be forged, are the end: %v", err)
			}
			r.g.receive(r.now, joinDatagram{addr: joinRDV, data: c.data})
			r.wantOver(time.Second, c.want)
		})
	}
	// Whoever forges that it is closed does not keep us from a server that is not.
	r := newGateRun(t, joinRDV)
	r.advance(5 * time.Second)
	for range 100 {
		r.g.receive(r.now, joinDatagram{addr: netip.MustParseAddrPort("198.51.100.9:57888"), data: closed})
	}
	r.letIn()
	for range 100 {
		r.g.receive(r.now, joinDatagram{addr: joinRDV, data: closed})
	}
	if over, err := r.g.over(r.now); over {
		t.Errorf("it is over: %v", err)
	}
}

// TestGateAnswers takes answers of the authority.
func TestGateAnswers(t *testing.T) {
	r := newGateRun(t, joinRDV)
	m := r.letIn()
	request := func() *enroll.Request {
		t.Helper()
		req, err := enroll.ParseRequest(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	reply := func(id uint32, data []byte) {
		r.receive(joinRDV, wire.GateMessage{Type: wire.Reply, ID: id, Data: data})
	}
	reply(m.ID+1, request().Busy())
	if r.g.ex.Doubts() != 0 {
		t.Error("a reply to nothing was taken")
	}
	reply(m.ID, []byte("noise"))
	if types, _ := r.sent(); len(types) != 0 || r.g.apply == nil {
		t.Errorf("after noise: %v, want to go on waiting", types)
	}
	for n := range joinWitness {
		reply(m.ID, request().Unknown())
		for len(r.out) == 0 {
			r.advance(100 * time.Millisecond)
		}
		_, m = r.sent()
		if got := r.g.ex.Doubts(); got != n+1 {
			t.Fatalf("%d doubts, want %d", got, n+1)
		}
	}
	r.wantOver(joinUnknown, "does not know the invitation", "not proved", "ca invitations")

	r = newGateRun(t, joinRDV)
	m = r.letIn()
	csr, err := request().Open(r.token.Master())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := request().Seal(rand.Reader, r.token.Master(), csr, (&enroll.Refusal{Code: enroll.Used, Text: "used on Tuesday"}).Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	reply(m.ID, sealed)
	r.wantOver(0, "the authority refuses: used on Tuesday", "ca revoke")
}

// TestJoinRefused has a hint for each reason.
func TestJoinRefused(t *testing.T) {
	for code, want := range map[enroll.Code]string{
		enroll.Used: "somebody else is in the VPN", enroll.Expired: "another token", enroll.Withdrawn: "another token", enroll.Superseded: "another token",
		enroll.Revoked: "administrator", enroll.Denied: "the same token works", enroll.BadKey: "the same token works", 200: "the same token works",
	} {
		if got := cliText(joinRefused(&enroll.Refusal{Code: code, Text: "why"})); !strings.Contains(got, want) || !strings.Contains(got, "refuses: why") {
			t.Errorf("code %d: %q, want it to contain %q", code, got, want)
		}
	}
	if err := joinRefused(nil); err != nil {
		t.Errorf("success became %v", err)
	}
	if got := cliText(joinRefused(errors.New("x"))); got != "campagnol: join: x\n" {
		t.Errorf("another error became %q", got)
	}
}
