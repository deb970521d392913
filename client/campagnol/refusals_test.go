package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/pki/policy"
	"campagnol/rdv/channel"
)

// refusalTable is the table of docs/refusals.md.
func refusalTable() string {
	text := "| code | meaning | at fault | what to do |\n|---|---|---|---|\n"
	for _, k := range refusalKinds {
		text += fmt.Sprintf("| `%s` | %s | %s | %s |\n", k.code, k.meaning, k.fault, k.fix)
	}
	return text
}

// TestRefusalsAreDocumented compares docs/refusals.md with the code, both ways.
func TestRefusalsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/refusals.md")
	if err != nil {
		t.Fatal(err)
	}
	want := refusalTable()
	_, rest, _ := strings.Cut(string(text), "\n## Codes\n\n")
	got, _, _ := strings.Cut(rest, "\n\n")
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	for _, fault := range []string{faultPeer, faultHere, faultServer, faultOrders, faultUnknown} {
		if !strings.Contains(string(text), "\n- `"+fault+"`: ") {
			t.Errorf("the fault %q is not explained", fault)
		}
	}
}

// TestRefusalKindsComplete: every error that is a refusal has a code of the table, and
// the table no others.
func TestRefusalKindsComplete(t *testing.T) {
	used := map[string]bool{
		client.CodeLegacy: true, client.CodeRefusedUs: true, client.CodeEndedByPeer: true,
		client.CodeNoChannel: true, client.CodeNoProtocol: true, client.CodeRegistration: true,
	}
	for _, r := range pki.Reasons() {
		used[r.String()] = true
	}
	for r := range channel.Reason(20) {
		used[(&client.RefusedError{Reason: r}).Code()] = true
	}
	rules, err := memberRefusals(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range append(rules, &roleError{}, &roleError{rendezvous: true}, &client.ClaimError{}) {
		var coded interface{ Code() string }
		if !errors.As(err, &coded) {
			t.Errorf("%v has no code", err)
			continue
		}
		used[coded.Code()] = true
	}
	seen := map[string]bool{}
	for _, k := range refusalKinds {
		switch {
		case seen[k.code]:
			t.Errorf("%s is there twice", k.code)
		case !used[k.code]:
			t.Errorf("%s is in the table, and no refusal", k.code)
		case k.meaning == "" || k.fix == "" || strings.ContainsAny(k.code+k.meaning+k.fix, "|\n"):
			t.Errorf("%s is not explained", k.code)
		}
		seen[k.code] = true
	}
	for code := range used {
		if !seen[code] {
			t.Errorf("%s is not in the table", code)
		}
	}
}

// memberRefusals returns what permit says about a certificate whose attributes make
// no sense, and about a member whom the policy does not allow.
func memberRefusals(t *testing.T) (list []error, err error) {
	tr, ca := policyTrust(t, "deny all <-> all\n")
	for _, edit := range []pkitest.Edit{
		func(c *x509.Certificate) { c.URIs = append(c.URIs, mustURL(t, "campagnol:unknown:x")) },
		func(*x509.Certificate) {},
	} {
		leaf := ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"), edit)
		err := tr.permit(netip.MustParseAddr("10.9.0.2"), pki.PeerOf(leaf.Cert))
		if err == nil {
			return nil, errors.New("a peer that must be refused is not")
		}
		list = append(list, err)
	}
	return list, nil
}

func TestRefusalDocuments(t *testing.T) {
	cfg := &conf.Client{CRLFile: "/etc/crl.pem", CACertificatesDir: "/etc/ca", PolicyFile: "/etc/policy", StateDir: "/var/lib/x", Certificate: "/etc/c.pem"}
	berlin := time.FixedZone("CET", 3600)
	revoked := &pki.Refusal{Reason: pki.Revoked, Subject: "CN=mallory", Serial: "1F", Issuer: "CN=CA", Detail: "revoked by CN=CA",
		NotBefore: noon.AddDate(-1, 0, 0).In(berlin), NotAfter: noon.AddDate(1, 0, 0).In(berlin)}
	got := refusalDocuments(cfg, []client.Refusal{
		{Code: "revoked", VPNAddr: netip.MustParseAddr("10.9.0.66"), Count: 7, First: noon.In(berlin), Last: noon.Add(time.Minute).In(berlin),
			Err: fmt.Errorf("handshake: %w", revoked)},
		{Code: "rdv_full", Count: 1, First: noon, Last: noon, Err: &client.RefusedError{Reason: channel.Full}},
	})
	want := []control.Refusal{
		{Code: "revoked", VPNAddress: netip.MustParseAddr("10.9.0.66"), Count: 7, First: noon, Last: noon.Add(time.Minute),
			Reason:  "handshake: certificate CN=mallory (serial 1F, issued by CN=CA, valid 2025-03-01 to 2027-03-01) refused: revoked by CN=CA",
			Meaning: "the certificate is on the revocation list", Fault: "peer", Fix: kindOf("revoked").fix, File: "/etc/crl.pem",
			Certificate: control.RefusedCertificate{Subject: "CN=mallory", Serial: "1F", Issuer: "CN=CA",
				ValidFrom: noon.AddDate(-1, 0, 0), ValidUntil: noon.AddDate(1, 0, 0)}},
		{Code: "rdv_full", Server: true, Count: 1, First: noon, Last: noon, Reason: "refused: the server is full",
			Meaning: "the server takes no more clients", Fault: "server", Fix: "raise its --max-clients"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if b, err := json.Marshal(refusalDocuments(cfg, nil)); err != nil || string(b) != "[]" {
		t.Errorf("nothing becomes %s, %v, want []", b, err)
	}
	b, err := json.Marshal(got[1])
	if err != nil || strings.Contains(string(b), "vpn_address") || strings.Contains(string(b), "certificate") {
		t.Errorf("about the server: %s, %v", b, err)
	}
	for code, file := range map[string]string{"unknown_ca": "/etc/ca", "policy": "/etc/policy", "other_key": "/var/lib/x/pins", "rdv_taken": "/etc/c.pem", "expired": "", "none such": ""} {
		if got := refusalDocuments(cfg, []client.Refusal{{Code: code, Err: errors.New("x")}})[0]; got.File != file {
			t.Errorf("%s: file %q, want %q", code, got.File, file)
		}
	}
	if k := kindOf("of tomorrow"); k.fault != faultUnknown || k.code != "of tomorrow" {
		t.Errorf("an unknown code is %+v", k)
	}
}

func TestStatusTextRefusals(t *testing.T) {
	s := &control.Status{Time: noon, Refusals: []control.Refusal{
		{Code: "revoked", VPNAddress: netip.MustParseAddr("10.9.0.66"), Count: 7, Last: noon.Add(-time.Minute), Reason: "certificate CN=m\x1b refused", Fix: "nothing", File: "/etc/crl.pem"},
		{Code: "rdv_full", Server: true, Count: 1, Last: noon.Add(-time.Hour), Reason: "refused: the server is full"},
	}}
	_, got, _ := strings.Cut(statusText(s, nil, 0), "\nrefused:\n")
	const want = "  10.9.0.66, 1m0s ago, 7 times, revoked: certificate CN=m? refused\n    to do: nothing (/etc/crl.pem)\n" +
		"  the RDV server, 1h0m ago, rdv_full: refused: the server is full\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusTextIdentities(t *testing.T) {
	s := sampleStatus()
	s.Peers[0].Name = "gate\x07"
	s.Peers[0].Addresses = []netip.Addr{s.Peers[0].VPNAddress, netip.MustParseAddr("10.9.0.30")}
	s.Peers[0].Networks = []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("fd00:7::/64")}
	s.Peers[1].Addresses = []netip.Addr{s.Peers[1].VPNAddress}
	_, got, _ := strings.Cut(statusText(s, nil, 0), "\nreached through peers:\n")
	got, _, _ = strings.Cut(got, "\n\n")
	if want := `  10.9.0.2 ("gate?"): 10.9.0.30, 192.168.7.0/24, fd00:7::/64`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if text := statusText(sampleStatus(), nil, 0); strings.Contains(text, "reached through") || strings.Contains(text, "refused:") {
		t.Errorf("without any of it:\n%s", text)
	}
}

// TestIdentify: a certificate's addresses and networks, as far as they are of this
// VPN and no newer certificate has them.
func TestIdentify(t *testing.T) {
	tr, ca := policyTrust(t, "")
	var warnings strings.Builder
	tr.log = plainLog(&warnings)
	main := netip.MustParseAddr("10.9.0.2")
	addrs := []string{"10.9.0.2", "10.9.0.3", "10.9.0.4", "192.0.2.1"}
	route := func(c *x509.Certificate) {
		c.URIs = append(c.URIs, mustURL(t, "campagnol:route:192.168.7.0/24"), mustURL(t, "campagnol:group:gates"))
	}
	older := func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(-time.Hour) }
	newer := ca.Issue(t, "newer", pkitest.Addrs("10.9.0.4"))
	if err := tr.verify(time.Now(), netip.MustParseAddr("10.9.0.4"), newer.Raw(), false); err != nil {
		t.Fatal(err)
	}
	gate := ca.Issue(t, "gate", pkitest.Addrs(addrs...), route, older)
	got := tr.identify(time.Now(), main, gate.Raw())
	if fmt.Sprint(got.Addrs, got.Routes) != "[10.9.0.3] [192.168.7.0/24]" || got.Name != "gate" ||
		got.Key != pki.KeyOf(gate.Cert) || !got.Issued.Equal(gate.Cert.NotBefore) {
		t.Errorf("identity %+v", got)
	}
	if !strings.Contains(warnings.String(), "10.9.0.4") || !strings.Contains(warnings.String(), `\"newer\"`) {
		t.Errorf("the log does not say which address is another's: %s", &warnings)
	}
	if err := tr.verify(time.Now(), netip.MustParseAddr("10.9.0.3"), ca.Issue(t, "late", pkitest.Addrs("10.9.0.3"), older, older).Raw(), false); err == nil {
		t.Error("the other address can be taken by an older certificate")
	}

	plain := ca.Issue(t, "plain", func(c *x509.Certificate) { c.IPAddresses = nil })
	if got := tr.identify(time.Now(), main, plain.Raw()); len(got.Addrs)+len(got.Routes) != 0 || !got.Issued.IsZero() || got.Name != "plain" {
		t.Errorf("a certificate without addresses: %+v", got)
	}
	strange := ca.Issue(t, "strange", pkitest.Addrs("10.9.0.2", "10.9.0.9"), route,
		func(c *x509.Certificate) { c.URIs = append(c.URIs, mustURL(t, "campagnol:unknown:x")) })
	if got := tr.identify(time.Now(), main, strange.Raw()); len(got.Routes) != 0 || len(got.Addrs) != 1 {
		t.Errorf("a certificate that cannot be understood: %+v", got)
	}
	if got := tr.identify(time.Now(), main, [][]byte{{1}}); !reflect.DeepEqual(got, client.Identity{}) {
		t.Errorf("what is no certificate: %+v", got)
	}
	many := addrs[:1]
	for i := range 100 {
		many = append(slices.Clone(many), fmt.Sprintf("10.9.0.%d", 100+i))
	}
	if got := tr.identify(time.Now(), main, ca.Issue(t, "many", pkitest.Addrs(many...)).Raw()); len(got.Addrs) != client.MaxPeerAddrs {
		t.Errorf("%d addresses of 101 are taken, want %d", len(got.Addrs), client.MaxPeerAddrs)
	}
}

// policyTrust returns a trust in an authority, with a policy ("": none) for 10.9.0.1.
func policyTrust(t *testing.T, text string) (*trust, *pkitest.CA) {
	t.Helper()
	ca := pkitest.NewCA(t, "test CA", time.Now())
	p, err := pki.NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := pki.OpenPins("")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trust{policy: p, pins: pins, network: netip.MustParsePrefix("10.9.0.0/24"), log: slog.New(slog.DiscardHandler)}
	if text != "" {
		if tr.rules, err = policy.Parse("policy", text); err != nil {
			t.Fatal(err)
		}
		tr.self = policy.Member{Names: []string{"alice"}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}
	}
	return tr, ca
}

func plainLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestHostAddrs(t *testing.T) {
	all := hostAddrs(netip.Addr{})
	if len(all) == 0 {
		t.Fatal("this host has no addresses")
	}
	if got := hostAddrs(all[0]); len(got) != len(all)-1 || slices.Contains(got, all[0]) {
		t.Errorf("without %v: %v, of %v", all[0], got, all)
	}
	for _, a := range all {
		if !a.IsValid() || a.Is4In6() {
			t.Errorf("%v is not as addresses are compared", a)
		}
	}
}
