package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
)

// inBubble runs a part of a test whose time passes when everybody waits.
func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// rotated makes a node whose authority has got another key, and which is asked for new
// certificates by that; it needs a list.
func rotated(t *testing.T) (n *testNode, next *pkitest.CA) {
	t.Helper()
	n = startTestNode(t, "crl_file = none.pem\n")
	_, list := n.list(t, 1)
	n.receivesList(t, list)
	next = pkitest.NewCA(t, "test CA 2", time.Now())
	n.newExchange = func(_ time.Time, id *pki.Identity) (exchange, error) {
		return &testExchange{result: next.IssueKey(t, "alice", id.Key, pkitest.Addrs("10.9.0.1"), later)}, nil
	}
	return n, next
}

// receivesList gives the node a revocation list, and makes it count.
func (n *testNode) receivesList(t *testing.T, der []byte) {
	t.Helper()
	if err := n.objects().Take(objectOf(der), der); err != nil {
		t.Fatal(err)
	}
	if !n.told() {
		t.Error("the node was not told of a list")
	}
	n.useNews(t.Context())
}

// TestRenewalTooEarly: a certificate by the authority's new key that is here before the
// bulletin, and before the new key's list, is used when both have come.
func TestRenewalTooEarly(t *testing.T) {
	inBubble(t, "they come", func(t *testing.T) {
		n, next := rotated(t)
		start := time.Now()
		result := make(chan error, 1)
		go func() { _, err := n.renewCertificate(t.Context()); result <- err }()
		time.Sleep(3 * time.Second)
		if err := n.receives(t, signBulletin(t, 1, "", 2, next, n.ca)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if synctest.Wait(); len(result) > 0 {
			t.Errorf("without a list: %v", <-result)
		}
		n.receivesList(t, next.CRL(t, time.Now(), time.Now().Add(time.Hour)))
		if err := <-result; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 13*time.Second+trustLook {
			t.Errorf("it took %v, though all was there after 13 s", took)
		}
		own := n.parts.trust.identity
		if now, err := pki.LoadIdentity(own.CertFile, own.KeyFile); err != nil || now.Chain[0].CheckSignatureFrom(next.Cert) != nil {
			t.Errorf("the new certificate is not in the file: %v", err)
		}
	})
	inBubble(t, "a bulletin for an answer that nobody trusted", func(t *testing.T) {
		n, next := rotated(t)
		good := n.newExchange
		n.newExchange = func(now time.Time, id *pki.Identity) (exchange, error) {
			if n.view.Load().trust.superseded() {
				return good(now, id)
			}
			return nil, fmt.Errorf("%w: x509", enroll.ErrUntrusted)
		}
		result := make(chan error, 1)
		go func() { _, err := n.renewCertificate(t.Context()); result <- err }()
		time.Sleep(time.Second)
		if err := n.receives(t, signBulletin(t, 1, "", 2, next, n.ca)); err != nil {
			t.Fatal(err)
		}
		n.receivesList(t, next.CRL(t, time.Now(), time.Now().Add(time.Hour)))
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

// TestRenewalNeverTrusted: what does not come is waited for within bounds, and the error
// says what is missing.
func TestRenewalNeverTrusted(t *testing.T) {
	for _, c := range []struct {
		name     string
		bulletin bool
		want     string
		hint     string
	}{
		{"no bulletin", false, "test CA 2", `"campagnol status" names the authorities`},
		{"no list", true, "there is no revocation list of its issuer CN=test CA 2", "has not brought the list of the authority's new key yet: ask again in a moment"},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			n, next := rotated(t)
			if c.bulletin {
				if err := n.receives(t, signBulletin(t, 1, "", 2, next, n.ca)); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			_, err := n.renewCertificate(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(renewalHint(err), c.hint) {
				t.Errorf("%v, hint %q; want %q, %q", err, renewalHint(err), c.want, c.hint)
			}
			if err != nil && strings.Contains(err.Error(), "remove crl_file") {
				t.Errorf("%v blames crl_file", err)
			}
			if took := time.Since(start); took != trustPatience {
				t.Errorf("it took %v, want %v", took, trustPatience)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if start = time.Now(); n.awaitTrust(ctx, n.view.Load().trust) || time.Since(start) != 0 {
				t.Errorf("the end of the request is waited for: %v", time.Since(start))
			}
		})
	}
}

// TestTooEarly: what waiting may help against, and what not.
func TestTooEarly(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{fmt.Errorf("%w: x509", enroll.ErrUntrusted), true},
		{&pki.Refusal{Reason: pki.NoCRL}, true},
		{fmt.Errorf("so: %w", &pki.Refusal{Reason: pki.UnknownCA}), true},
		{&pki.Refusal{Reason: pki.Revoked}, false},
		{enroll.ErrNotDue, false},
		{enroll.ErrNoLater, false},
		{errors.New("no entropy"), false},
		{cli.WithHint(errors.New("no such file"), "x"), false},
	} {
		if got := tooEarly(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	if hint := renewalHint(enroll.ErrNoLater); !strings.Contains(hint, "campagnol ca rotate") {
		t.Errorf("a certificate that ends no later: %q", hint)
	}
}
