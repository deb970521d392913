package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/pki"
	"campagnol/pki/ocsp"
	"campagnol/pki/pkitest"

	xocsp "golang.org/x/crypto/ocsp"
)

// A web answers HTTP requests in memory.
type web func(*http.Request) (*http.Response, error)

// RoundTrip answers a request.
func (w web) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// respondFor plays the responder of a CA; by serial number, what is not in about is
// good.
func respondFor(t *testing.T, ca *pkitest.CA, about map[int64]int) web {
	return func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		q, err := xocsp.ParseRequest(body)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		der, err := xocsp.CreateResponse(ca.Cert, ca.Cert, xocsp.Response{
			Status: about[q.SerialNumber.Int64()], SerialNumber: q.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(time.Hour), RevokedAt: now,
		}, ca.Key)
		if err != nil {
			t.Error(err)
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(der))}, err
	}
}

// onlineTrust returns a trust in ca that asks a responder.
func onlineTrust(t *testing.T, ca *pkitest.CA, mode ocsp.Mode, answer http.RoundTripper) *trust {
	t.Helper()
	policy, err := pki.NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := pki.OpenPins("")
	if err != nil {
		t.Fatal(err)
	}
	return &trust{policy: policy, pins: pins, log: slog.New(slog.DiscardHandler),
		online: ocsp.Judge{Checker: ocsp.NewChecker(ocsp.Config{Transport: answer}), Mode: mode}}
}

// responderURL makes a certificate name a responder.
func responderURL(c *x509.Certificate) { c.OCSPServer = []string{"http://ocsp.example.org/"} }

// TestOnlineTrust: what responders say decides about peers, and less strictly about
// the rendezvous server, without which there are no peers.
func TestOnlineTrust(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t, "test CA", now)
	leaf := ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"), responderURL)
	server := ca.Issue(t, "rdv", serverURI, responderURL)
	unnamed := ca.Issue(t, "carol", pkitest.Addrs("10.9.0.2"))
	unplugged := web(func(*http.Request) (*http.Response, error) { return nil, errors.New("unplugged") })
	revoked := map[int64]int{leaf.Cert.SerialNumber.Int64(): xocsp.Revoked, server.Cert.SerialNumber.Int64(): xocsp.Revoked}
	for _, c := range []struct {
		name           string
		mode           ocsp.Mode
		answer         web
		leaf           *pkitest.Leaf
		peer, asServer string
	}{
		{"off", ocsp.Off, respondFor(t, ca, revoked), leaf, "", ""},
		{"good", ocsp.Yes, respondFor(t, ca, nil), leaf, "", ""},
		{"good, required", ocsp.Require, respondFor(t, ca, nil), leaf, "", ""},
		{"revoked", ocsp.Yes, respondFor(t, ca, revoked), leaf, "revoked", "revoked"},
		{"revoked, required", ocsp.Require, respondFor(t, ca, revoked), leaf, "revoked", "revoked"},
		{"no answer", ocsp.Yes, unplugged, leaf, "", ""},
		{"no answer, required", ocsp.Require, unplugged, leaf, "unplugged", ""},
		{"no responder", ocsp.Yes, unplugged, unnamed, "", ""},
		{"no responder, required", ocsp.Require, unplugged, unnamed, "names no responder", ""},
	} {
		tr := onlineTrust(t, ca, c.mode, c.answer)
		inquire := tr.inquirer()
		if (inquire == nil) != (c.mode == ocsp.Off) {
			t.Fatalf("%s: there is somebody to ask: %v", c.name, inquire != nil)
		}
		for _, isServer := range []bool{false, true} {
			if inquire != nil {
				inquire(t.Context(), c.leaf.Raw(), isServer)
				inquire(t.Context(), pkitest.NewCA(t, "another CA", now).Issue(t, "bob", responderURL).Raw(), isServer) // of whom nobody asks
			}
			wantError(t, c.name, tr.verify(time.Now(), netip.MustParseAddr("10.9.0.2"), c.leaf.Raw(), isServer), c.peer, "")
		}
		if peer := tr.shown(client.Shown{Chain: server.Raw(), Server: true}); inquire != nil {
			tr.judgeOf(netip.Addr{}).Inquire(t.Context(), peer)
		}
		_, err := tr.verifyServer(time.Now(), server.Raw())
		wantError(t, c.name+", the server", err, c.asServer, "")
	}
}

// TestRevokedIsNotPinned: a certificate without an address that is revoked does not
// get one.
func TestRevokedIsNotPinned(t *testing.T) {
	ca := pkitest.NewCA(t, "test CA", time.Now())
	gone, next := ca.Issue(t, "gone", responderURL), ca.Issue(t, "next", responderURL)
	tr := onlineTrust(t, ca, ocsp.Yes, respondFor(t, ca, map[int64]int{gone.Cert.SerialNumber.Int64(): xocsp.Revoked}))
	vpn := netip.MustParseAddr("10.9.0.2")
	for _, c := range []struct {
		leaf *pkitest.Leaf
		want string
	}{{gone, "revoked"}, {next, ""}, {gone, "revoked"}} {
		tr.inquirer()(t.Context(), c.leaf.Raw(), false)
		wantError(t, c.leaf.Cert.Subject.CommonName, tr.verify(time.Now(), vpn, c.leaf.Raw(), false), c.want, "")
	}
}

// TestOCSPConfiguration: the key decides, and nobody is asked without it.
func TestOCSPConfiguration(t *testing.T) {
	for value, want := range map[conf.OCSP]ocsp.Mode{conf.OCSPNo: ocsp.Off, conf.OCSPYes: ocsp.Yes, conf.OCSPRequire: ocsp.Require} {
		n, tr := &node{responders: ocsp.NewChecker(ocsp.Config{})}, &trust{}
		n.judge(&conf.Client{OCSP: value, Network: netip.MustParsePrefix("10.9.0.0/24")}, tr)
		if tr.online.Mode != want || (tr.online.Checker != nil) != (want != ocsp.Off) {
			t.Errorf("ocsp %v: mode %v, want %v", value, tr.online.Mode, want)
		}
		if doc := ocspDocument(tr.online); (doc.Mode == "") != (want == ocsp.Off) {
			t.Errorf("ocsp %v: document %+v", value, doc)
		}
	}
}

// TestOCSPStatus follows what a responder has said into the document and the text.
func TestOCSPStatus(t *testing.T) {
	ca := pkitest.NewCA(t, "test CA", time.Now())
	gone, bob := ca.Issue(t, "gone", pkitest.Addrs("10.9.0.3"), responderURL), ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"), responderURL)
	tr := onlineTrust(t, ca, ocsp.Require, respondFor(t, ca, map[int64]int{gone.Cert.SerialNumber.Int64(): xocsp.Revoked}))
	for _, l := range []*pkitest.Leaf{gone, bob} {
		tr.inquirer()(t.Context(), l.Raw(), false)
	}
	doc := ocspDocument(tr.online)
	text, err := json.Marshal(&control.Status{OCSP: doc})
	if err != nil || !strings.Contains(string(text), `"ocsp":{"mode":"require","asked":2,"good":1,"revoked":1,"unknown":0,"failed":0,"failures":[{"certificate":"gone","time":"`) {
		t.Errorf("the document is %s, %v", text, err)
	}
	s := sampleStatus()
	if got := statusText(s, nil, 0); strings.Contains(got, "OCSP") {
		t.Errorf("a client that asks nobody says %s", got)
	}
	doc.Failures[0].Time = noon.Add(-time.Minute)
	doc.Failures[0].Certificate = "go\x1bne"
	s.OCSP = doc
	got := statusText(s, nil, 0)
	for _, want := range []string{
		"\nresponders of certificates (OCSP, require): 1 good, 1 revoked, 0 unknown, 0 without answer\n",
		"\n  go?ne, 1m0s ago: its responder (OCSP) says that it was revoked on ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// TestCAResponders: the options of "campagnol ca" about responders, and what it says
// of them.
func TestCAResponders(t *testing.T) {
	r := newCARun(t)
	r.run("init", "--ocsp", "http://ocsp.example.org/")
	r.want(r.run("issue", "alice", "--ip", "10.9.0.1"), "responders: http://ocsp.example.org/\n")
	r.want(r.run("issue", "alice", "--renew", "--ocsp", "http://a.example.org/", "--ocsp", "http://b.example.org/"), "responders: http://a.example.org/, http://b.example.org/\n")
	r.want(r.run("sign", "CA/hosts/alice/certificate.pem"), "responders: http://a.example.org/, http://b.example.org/\n")
	r.want(r.run("show", "alice"), "responders:  http://ocsp.example.org/\n", "responders:  http://a.example.org/, http://b.example.org/\n")
	r.want(r.run("show", "alice", "--json"), "\"responders\": [\n      \"http://ocsp.example.org/\"\n    ]")
	if out := r.run("issue", "alice", "--renew", "--no-ocsp"); strings.Contains(out, "responders") {
		t.Errorf("without a responder: %s", out)
	}
	r.want(r.run("issue", "ocsp", "--responder", "--days", "30"),
		"openssl ocsp -port 8080 -index index.txt", "-rsigner CA/hosts/ocsp/certificate.pem -rkey CA/hosts/ocsp/key.pem")
	r.want(r.run("show", "ocsp"), "OCSPSigning")
	r.wantError([]string{"issue", "bob", "--ip", "10.9.0.2", "--ocsp", "https://x/"}, "over http only", "hint: ", "--ocsp http://HOST:PORT/")
	r.wantError([]string{"issue", "bob", "--ip", "10.9.0.2", "--responder"}, "no host of the VPN")
	r.wantError([]string{"init", "--dir", "other", "--ocsp", "nonsense"}, "nonsense")
}
