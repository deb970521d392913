package main

import (
	"bytes"
	"campagnol/internal/filewatch"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/client"
	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
)

// A testExchange asks some questions, and has a certificate after their answers.
type testExchange struct {
	questions []string
	answers   []string
	doubts    int
	result    *pkitest.Leaf
	newKey    bool
}

func (x *testExchange) Doubt() error { return errors.New("who says that?") }
func (x *testExchange) Doubts() int  { return x.doubts }

func (x *testExchange) Next() []byte { return []byte(x.questions[len(x.answers)]) }
func (x *testExchange) Done() bool   { return len(x.answers) == len(x.questions) }

func (x *testExchange) Take(answer []byte) error {
	switch string(answer) {
	case "no":
		return errors.New("the authority says no")
	case "forged":
		x.doubts++
		return nil
	}
	x.answers = append(x.answers, string(answer))
	return nil
}

func (x *testExchange) Certificate() ([]*x509.Certificate, crypto.Signer) {
	if x.newKey {
		return x.result.Chain, x.result.Key
	}
	return x.result.Chain, nil
}

// later makes a certificate good for longer.
func later(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }

// TestConverse: questions are asked in order, and again when there is no answer, or no
// time for one; any other error ends it.
func TestConverse(t *testing.T) {
	busy := &client.RefusedError{Reason: channel.Busy}
	unreachable := &client.RefusedError{Reason: channel.Unreachable}
	for _, c := range []struct {
		name      string
		questions int
		answers   []any // texts, or errors
		asked     string
		took      time.Duration
		want      string // "": done
	}{
		{"none", 0, nil, "", 0, ""},
		{"three", 3, []any{"a", "b", "c"}, "0 1 2", 0, ""},
		{"busy", 2, []any{"a", busy, busy, "b"}, "0 1 1 1", 2 * renewPause, ""},
		{"no answer", 1, []any{client.ErrNoAnswer, client.ErrTooMany, "a"}, "0 0 0", 2 * renewPause, ""},
		{"no authority", 2, []any{"a", unreachable}, "0 1", 0, "does not reach the VPN's authority"},
		{"no channel", 1, []any{client.ErrNoChannel}, "0", 0, "no authenticated channel"},
		{"the authority refuses", 2, []any{"a", "no"}, "0 1", 0, "the authority says no"},
		{"somebody else answers", 2, []any{"forged", "a", "forged", "b"}, "0 0 1 1", 2 * renewPause, ""},
		{"somebody else always answers", 1, []any{"forged", "forged", "forged"}, "0 0 0", 2 * renewPause, "who says that?"},
		{"always busy", 1, slices.Repeat([]any{busy}, 100), strings.TrimSpace(strings.Repeat("0 ", 13)), renewalTime, "too much to do"},
		{"no end", 1000, slices.Repeat([]any{"a"}, 100), "", 0, "comes to no end"},
	} {
		synctest.Test(t, func(t *testing.T) {
			x := new(testExchange)
			for i := range c.questions {
				x.questions = append(x.questions, fmt.Sprint(i))
			}
			var asked []string
			ctx, cancel := context.WithTimeout(t.Context(), renewalTime)
			defer cancel()
			start := time.Now()
			err := converse(ctx, x, func(_ context.Context, b []byte) ([]byte, error) {
				asked = append(asked, string(b))
				a := c.answers[len(asked)-1]
				if err, ok := a.(error); ok {
					return nil, err
				}
				return []byte(a.(string)), nil
			})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			if got := strings.Join(asked, " "); c.asked != "" && got != c.asked || len(asked) > renewalSteps {
				t.Errorf("%s: asked %s, want %s", c.name, got, c.asked)
			}
			if got := time.Since(start); got != c.took {
				t.Errorf("%s: it took %v, want %v", c.name, got, c.took)
			}
		})
	}
}

// TestRenewCertificate: the new certificate is in the files; one that is not good is
// not, and the error says why.
func TestRenewCertificate(t *testing.T) {
	for _, c := range []struct {
		name   string
		newKey bool
		issue  func(n *testNode, own *pki.Identity) *pkitest.Leaf
		begin  error
		want   string // "": renewed
		hint   string
	}{
		{"the same key", false, func(n *testNode, own *pki.Identity) *pkitest.Leaf {
			return n.ca.IssueKey(t, "alice", own.Key, pkitest.Addrs("10.9.0.1"), later)
		}, nil, "", ""},
		{"a new key", true, func(n *testNode, _ *pki.Identity) *pkitest.Leaf {
			return n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), later)
		}, nil, "", ""},
		{"a key that is not ours", false, func(n *testNode, _ *pki.Identity) *pkitest.Leaf {
			return n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), later)
		}, nil, "does not belong to the certificate", "the log of the VPN's authority"},
		{"another address", true, func(n *testNode, _ *pki.Identity) *pkitest.Leaf {
			return n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.2"), later)
		}, nil, "it names the addresses", "the log of the VPN's authority"},
		{"another authority", true, func(n *testNode, _ *pki.Identity) *pkitest.Leaf {
			return pkitest.NewCA(t, "evil", time.Now()).Issue(t, "alice", pkitest.Addrs("10.9.0.1"), later)
		}, nil, "evil", "campagnol status"},
		{"not longer", true, func(n *testNode, _ *pki.Identity) *pkitest.Leaf {
			return n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"))
		}, nil, "it ends on", ""},
		{"it cannot begin", false, nil, errors.New("no entropy"), "no entropy", ""},
	} {
		inBubble(t, c.name, func(t *testing.T) { // what is too early is waited for
			n := startTestNode(t, "")
			own := n.parts.trust.identity
			n.newExchange = func(_ time.Time, id *pki.Identity) (exchange, error) {
				if id != own {
					t.Error("the exchange is about another certificate")
				}
				if c.begin != nil {
					return nil, c.begin
				}
				return &testExchange{result: c.issue(n, own), newKey: c.newKey}, nil
			}
			e, err := n.renewCertificate(t.Context())
			now, loadErr := pki.LoadIdentity(own.CertFile, own.KeyFile)
			if loadErr != nil {
				t.Fatal(loadErr)
			}
			if c.want == "" {
				if err != nil || now.Chain[0].Equal(own.Chain[0]) || !e.At.Equal(now.Chain[0].NotAfter) || n.log.count("Our certificate was renewed") != 1 {
					t.Errorf("%v; until %v, %v in the file", err, e.At, now.Chain[0].NotAfter)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(renewalHint(err), c.hint) {
				t.Errorf("%v, want %q; hint %q, want %q", err, c.want, renewalHint(err), c.hint)
			}
			if !now.Chain[0].Equal(own.Chain[0]) {
				t.Error("the certificate was replaced")
			}
		})
	}
}

// TestRenewalIsUsed: a renewed certificate is used by the path for changed files.
func TestRenewalIsUsed(t *testing.T) {
	n := startTestNode(t, "")
	own := n.parts.trust.identity
	var files filewatch.Watch
	files.Look(trustFiles(n.cfg))
	n.newExchange = func(time.Time, *pki.Identity) (exchange, error) {
		return &testExchange{result: n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), later), newKey: true}, nil
	}
	if _, err := n.renewCertificate(t.Context()); err != nil {
		t.Fatal(err)
	}
	files.Look(trustFiles(n.cfg))
	if got, want := files.Look(trustFiles(n.cfg)), []string{own.CertFile, own.KeyFile}; !slices.Equal(got, want) {
		t.Fatalf("changed: %q, want %q", got, want)
	}
	n.renew(t.Context())
	if got := n.view.Load().trust.identity.Chain[0]; got.Equal(own.Chain[0]) {
		t.Error("the old certificate is in use")
	}
}

// TestRenewalErrors: one at a time; and where no authority can be asked, or no file
// written, the error says what to do.
func TestRenewalErrors(t *testing.T) {
	n := startTestNode(t, "")
	n.renewing.Lock()
	if _, err := n.renewCertificate(t.Context()); !errors.Is(err, errRenewing) {
		t.Errorf("while one runs: %v", err)
	}
	n.renewing.Unlock()
	n.newExchange = func(time.Time, *pki.Identity) (exchange, error) {
		return &testExchange{questions: []string{"?"}}, nil
	}
	if _, err := n.renewCertificate(t.Context()); !errors.Is(err, client.ErrNoChannel) || !strings.Contains(renewalHint(err), "rdv_auth") {
		t.Errorf("without channel: %v, %s", err, renewalHint(err))
	}
	if hint := renewalHint(&client.RefusedError{Reason: channel.Unreachable}); !strings.Contains(hint, "has to be running") {
		t.Errorf("without authority: %s", hint)
	}
	n.newExchange = func(time.Time, *pki.Identity) (exchange, error) {
		if err := os.Remove(n.parts.trust.identity.CertFile); err != nil {
			t.Error(err)
		}
		return &testExchange{result: n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), later), newKey: true}, nil
	}
	if _, err := n.renewCertificate(t.Context()); err == nil || !strings.Contains(renewalHint(err), "able to write") {
		t.Errorf("the file is gone: %v, %s", err, renewalHint(err))
	}
}

// TestRenewalPlan: a certificate is renewed when a third of its time is left, and after
// failures more and more seldom, but more often than its end comes nearer.
func TestRenewalPlan(t *testing.T) {
	leaf := &x509.Certificate{Raw: []byte{1}, NotBefore: noon, NotAfter: noon.Add(90 * 24 * time.Hour)}
	jitter := func(j float64) func() float64 { return func() float64 { return j } }
	for j, want := range map[float64]time.Duration{0: 60 * 24 * time.Hour, 1: 63 * 24 * time.Hour} {
		var p renewalPlan
		if got := p.due(leaf, jitter(j)).Sub(noon); got != want {
			t.Errorf("jitter %v: due after %v, want %v", j, got, want)
		}
		if got := p.due(leaf, jitter(1-j)).Sub(noon); got != want {
			t.Errorf("asked again: due after %v, want %v", got, want)
		}
	}
	var p renewalPlan
	now := p.due(leaf, jitter(0.5))
	var waits []time.Duration
	for range 20 {
		p.failed(now, jitter(0.5))
		waits = append(waits, p.at.Sub(now))
		now = p.at
	}
	if waits[0] != renewalFirst || waits[1] != 2*renewalFirst || waits[19] != renewalMost || !slices.IsSorted(waits) {
		t.Errorf("waits %v", waits)
	}
	now = leaf.NotAfter.Add(-16 * time.Minute)
	p.failed(now, jitter(0.5))
	if got := p.at.Sub(now); got != 2*time.Minute {
		t.Errorf("16 minutes before the end: again after %v, want 2m0s", got)
	}
	now = leaf.NotAfter.Add(time.Hour)
	p.failed(now, jitter(0.5))
	if got := p.at.Sub(now); got != renewalFirst {
		t.Errorf("after the end: again after %v, want %v", got, renewalFirst)
	}
	p.renewed(now)
	if got := p.due(leaf, jitter(0)).Sub(now); got < time.Hour {
		t.Errorf("after a renewal: again after %v", got)
	}
	next := &x509.Certificate{Raw: []byte{2}, NotBefore: now, NotAfter: now.Add(3 * time.Hour)}
	if got := p.due(next, jitter(0)).Sub(now); got != 2*time.Hour || p.tries != 0 {
		t.Errorf("the next certificate: due after %v, %d tries, want 2h0m0s and none", got, p.tries)
	}
}

// TestKeepCertificate: with the key, a certificate of which less than a third is left is
// renewed; without, it is not.
func TestKeepCertificate(t *testing.T) {
	for _, on := range []bool{true, false} {
		n := startTestNode(t, "renew_certificate = "+map[bool]string{true: "yes", false: "no"}[on]+"\n")
		short := n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), pkitest.Valid(time.Now().Add(-3*time.Hour), time.Now().Add(time.Hour)))
		short.WriteFiles(t, n.dir)
		n.apply(t.Context(), n.cfg, n.parts.client.Apply)
		asked := make(chan struct{}, 1)
		n.newExchange = func(time.Time, *pki.Identity) (exchange, error) {
			asked <- struct{}{}
			return nil, errors.New("not today")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); n.keepCertificate(ctx) }()
		if on {
			<-asked
			for end := time.Now().Add(20 * time.Second); n.log.count("Our certificate could not be renewed") == 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
		<-ended
		if got := n.log.count("not today"); (got == 1) != on || len(asked) > 0 {
			t.Errorf("renew_certificate %v: logged %d times", on, got)
		}
	}
}

// TestRenewRequest is the answer on the control socket.
func TestRenewRequest(t *testing.T) {
	n := startTestNode(t, "")
	ask := func() (*control.Renewal, error) {
		document, err := n.renewOnRequest(httptest.NewRequestWithContext(t.Context(), http.MethodPost, control.RenewPath, nil))
		r, _ := document.(*control.Renewal)
		return r, err
	}
	var refused *control.Error
	n.newExchange = func(time.Time, *pki.Identity) (exchange, error) { return nil, errors.New("no entropy") }
	if _, err := ask(); !errors.As(err, &refused) || refused.Status != http.StatusBadGateway || refused.Advice == "" {
		t.Errorf("cannot ask: %v", err)
	}
	n.renewing.Lock()
	if _, err := ask(); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
		t.Errorf("while one runs: %v", err)
	}
	n.renewing.Unlock()
	next := n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), later)
	n.newExchange = func(time.Time, *pki.Identity) (exchange, error) {
		return &testExchange{result: next, newKey: true}, nil
	}
	if r, err := ask(); err != nil || r.Name != "CN=alice" || r.Serial == "" || !r.Expires.Equal(next.Cert.NotAfter) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRenewCommand is the command.
func TestRenewCommand(t *testing.T) {
	dir := socketDir(t)
	run := func(args ...string) (string, string) {
		t.Helper()
		var out, errOut bytes.Buffer
		cmd := renewCommand(dir)
		cmd.SetOut(&out)
		cmd.SetErr(&errOut)
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			cli.Print(&errOut, program, err)
		}
		return out.String(), errOut.String()
	}
	if _, errOut := run(); !strings.HasPrefix(errOut, "campagnol: renew: no client runs on this host that has a control socket in "+dir) {
		t.Errorf("without a client: %s", errOut)
	}
	var answer any = &control.Renewal{Name: "CN=alice", Serial: "2A", Expires: noon}
	serveControl(t, filepath.Join(dir, "tun0.sock"), map[string]control.Handler{
		"POST " + control.RenewPath: func(*http.Request) (any, error) {
			if err, refused := answer.(error); refused {
				return nil, err
			}
			return answer, nil
		},
	})
	if out, errOut := run(); out != "The certificate CN=alice was renewed: it is good until 2026-03-01 12:00:00 UTC.\n" || errOut != "" {
		t.Errorf("%s%s", out, errOut)
	}
	answer = &control.Error{Status: 502, Text: "nobody answers", Advice: "wait"}
	if out, errOut := run("--socket", filepath.Join(dir, "tun0.sock")); out != "" || errOut != "campagnol: renew: nobody answers\nhint: wait\n" {
		t.Errorf("%s%s", out, errOut)
	}
	answer = "a text"
	if out, errOut := run(); out != "" || !strings.Contains(errOut, "whose answer this program cannot read") {
		t.Errorf("%s%s", out, errOut)
	}
}
