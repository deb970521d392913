package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
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
	"campagnol/punch"
	"campagnol/punch/path"
)

// at returns a place where a peer may be.
func at(addr string, kind punch.CandidateKind) punch.Candidate {
	return punch.Candidate{Addr: netip.MustParseAddrPort(addr), Kind: kind}
}

// placesOf returns a line for each candidate of a document.
func placesOf(ds []control.ExplainedCandidate) string {
	var lines []string
	for _, d := range ds {
		star := ""
		if d.Path {
			star = "*"
		}
		lines = append(lines, fmt.Sprintf("%s%v %s: %s", star, d.Address, d.Found, d.Outcome))
	}
	return strings.Join(lines, "\n")
}

// TestCandidateDocuments: the places that a session knows come before those of the try
// that it came from.
func TestCandidateDocuments(t *testing.T) {
	tried := &client.Tried{Outcomes: []punch.Outcome{
		{Candidate: at("192.168.1.3:5", punch.Host), Tried: true},
		{Candidate: at("192.168.1.4:5", punch.Host)},
		{Candidate: at("203.0.113.2:5", punch.Observed), Tried: true, Heard: true},
		{Candidate: at("203.0.113.3:5", punch.Mapped), Tried: true, Heard: true, Chosen: true},
		{Candidate: at("203.0.113.4:5", punch.Configured), Tried: true, Heard: true, Chosen: true, Rejected: true},
	}}
	e := client.Explanation{Tried: tried}
	const failed = `192.168.1.3:5 host: did not answer
192.168.1.4:5 host: was not tried
203.0.113.2:5 observed: answered, but another was faster
203.0.113.3:5 mapped: answered, and was chosen
203.0.113.4:5 configured: answered, but no session came about`
	if got := placesOf(candidateDocuments(&e)); got != failed {
		t.Errorf("a try: got\n%s\nwant\n%s", got, failed)
	}
	e.Chain, e.Status = [][]byte{{1}}, &client.PeerStatus{Addr: netip.MustParseAddrPort("203.0.113.3:5")}
	if got := placesOf(candidateDocuments(&e)); !strings.Contains(got, "\n*203.0.113.3:5 mapped: is the path\n") {
		t.Errorf("with a session of an original: got\n%s", got)
	}
	e.Paths = []path.Report{
		{View: path.View{Addr: netip.MustParseAddrPort("203.0.113.3:5"), RTT: 20 * time.Millisecond}, Kind: punch.Mapped, Path: true, Answered: noon},
		{View: path.View{Addr: netip.MustParseAddrPort("[2001:db8::1]:5")}, Kind: punch.Host, Why: "has never answered"},
	}
	if got, want := placesOf(candidateDocuments(&e)), "*203.0.113.3:5 mapped: is the path\n[2001:db8::1]:5 host: has never answered"; got != want {
		t.Errorf("with a session: got\n%s\nwant\n%s", got, want)
	}
	if d := candidateDocuments(&e); d[0].RTTSeconds != 0.02 || !d[0].LastAnswered.Equal(noon) {
		t.Errorf("with a session: %+v", d[0])
	}
	e.Dark = true
	if got := placesOf(candidateDocuments(&e)); !strings.HasPrefix(got, "*203.0.113.3:5 mapped: is the path, and does not answer\n") {
		t.Errorf("in the dark: got\n%s", got)
	}
	if got := candidateDocuments(&client.Explanation{}); got == nil || len(got) != 0 {
		t.Errorf("of nothing: %#v, want an empty list", got)
	}
}

// TestFamilyDocuments: an address of a family at either end is what counts.
func TestFamilyDocuments(t *testing.T) {
	server4 := client.RDVStatus{Registered: true, Addr: netip.MustParseAddrPort("203.0.113.10:5")}
	six := at("[2001:db8::1]:5", punch.Host)
	for _, c := range []struct {
		name string
		e    client.Explanation
		want string
	}{
		{"nothing", client.Explanation{}, "ipv4 false false, ipv6 false false"},
		{"registered", client.Explanation{RDVs: []client.RDVStatus{server4}}, "ipv4 true false, ipv6 false false"},
		{"not registered", client.Explanation{RDVs: []client.RDVStatus{{Addr: server4.Addr}}}, "ipv4 false false, ipv6 false false"},
		{"IPv6 here", client.Explanation{Offered: []punch.Candidate{six}, RDVs: []client.RDVStatus{server4}}, "ipv4 true false, ipv6 true false"},
		{"IPv6 there", client.Explanation{Tried: &client.Tried{Outcomes: []punch.Outcome{{Candidate: six}}}}, "ipv4 false false, ipv6 false true"},
		{"a session", client.Explanation{Chain: [][]byte{{1}}, Status: &client.PeerStatus{Addr: server4.Addr},
			Paths: []path.Report{{View: path.View{Addr: six.Addr}}}}, "ipv4 false true, ipv6 false true"},
	} {
		var got []string
		for _, f := range familyDocuments(&c.e) {
			got = append(got, fmt.Sprintf("%s %v %v", f.Family, f.Ours, f.Theirs))
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}

// TestExplainedTrust: the certificate of a session, and the line of the policy that
// decides about its peer; without a session, as far as the address tells.
func TestExplainedTrust(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t, "test CA", now)
	trusted, err := pki.NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	bob := netip.MustParseAddr("10.9.0.2")
	tr := &trust{policy: trusted, self: policy.Member{Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}}
	leaf := ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))
	e := &client.Explanation{VPNAddr: bob, Chain: leaf.Raw(), Status: &client.PeerStatus{}}
	if d := tr.certificateOf(now, e); d.Name != "bob" || !d.Good || d.Code+d.Reason != "" || d.Issuer != "CN=test CA" || !d.Expires.Equal(leaf.Cert.NotAfter) || d.Serial == "" {
		t.Errorf("got %+v", d)
	}
	if d := tr.certificateOf(leaf.Cert.NotAfter.Add(time.Hour), e); d.Good || d.Code != "expired" || d.Reason == "" {
		t.Errorf("when it has expired: %+v", d)
	}
	if d := tr.policyAbout(e); d != (control.ExplainedPolicy{}) {
		t.Errorf("without a policy: %+v", d)
	}
	if tr.rules, err = policy.Parse("rules", "deny bob <-> all\nallow all <-> all\n"); err != nil {
		t.Fatal(err)
	}
	if d := tr.certificateOf(now, e); d.Good || d.Code != "policy" {
		t.Errorf("against the policy: %+v", d)
	}
	if d := tr.policyAbout(e); d.Allowed || !d.Certain || d.Line != 1 || d.Name != "rules" || d.Text != "deny bob <-> all" {
		t.Errorf("by the certificate: %+v", d)
	}
	e = &client.Explanation{VPNAddr: bob}
	if d := tr.policyAbout(e); !d.Allowed || d.Certain || d.Line != 2 {
		t.Errorf("by the address: %+v", d)
	}
	e.Name = "Bob"
	if d := tr.policyAbout(e); d.Allowed || d.Certain || d.Line != 1 {
		t.Errorf("by the name that it had: %+v", d)
	}
}

// TestRDVsAbout: each server with what it has said.
func TestRDVsAbout(t *testing.T) {
	v := &view{cfg: &conf.Client{}}
	e := &client.Explanation{
		RDVs: []client.RDVStatus{{Name: "a", Used: true, Registered: true}, {Name: "b", Used: true}, {Name: "c"},
			{Name: "d", Used: true, Registered: true, Authenticated: true, Stream: true}},
		Words: []client.Word{{Server: "a", Time: noon}, {Server: "b", Time: noon, Why: client.UnknownPeer}, {Server: "gone", Time: noon}},
	}
	ds := v.rdvsAbout(e)
	if len(ds) != 4 || ds[0].Transport != control.TransportUDP || ds[1].Transport != "" || ds[3].Transport != control.TransportTLS || ds[0].Said != introducedUs || !ds[0].SaidAt.Equal(noon) || !ds[0].Registered || ds[1].Said != client.UnknownPeer || ds[2].Said != "" || !ds[2].Spare {
		t.Errorf("got %+v", ds)
	}
}

// TestPeerOf: who is asked for by an address, and that an empty name is nobody's.
func TestPeerOf(t *testing.T) {
	for _, who := range []string{"10.9.0.2", "::ffff:10.9.0.2"} {
		if got, err := new(view).peerOf(t.Context(), who); err != nil || got.String() != "10.9.0.2" {
			t.Errorf("%s: %v, %v", who, got, err)
		}
	}
	_, err := new(view).peerOf(t.Context(), "")
	var refused *control.Error
	if !errors.As(err, &refused) || refused.Status != 400 || refused.Advice == "" {
		t.Errorf("nobody: %v", err)
	}
	if words := []string{client.FateCarried.String(), client.FateOwn.String(), client.FateOutside.String(), client.FateEverybody.String()}; slices.ContainsFunc(words, func(s string) bool { return packetTexts[s] != "" }) {
		t.Error("a sentence about packets is never said")
	}
	for f := client.FateWaits; f <= client.FateNeedsChannel; f++ {
		if packetTexts[f.String()] == "" {
			t.Errorf("it is not said what becomes of a packet that is %v", f)
		}
	}
}
