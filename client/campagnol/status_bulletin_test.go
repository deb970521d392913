package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
)

// TestStatusBulletin: the text names the policy, and what bulletins say of authorities.
func TestStatusBulletin(t *testing.T) {
	bulletin := control.Bulletin{Number: "12", Issued: noon, Added: []string{"CN=VPN 2"}, Retired: []string{"CN=VPN\x1b"}}
	for _, c := range []struct {
		name   string
		policy control.Policy
		b      control.Bulletin
		want   string
	}{
		{"none", control.Policy{Source: control.FromNowhere}, control.Bulletin{}, ""},
		{"of the bulletin", control.Policy{Source: control.FromBulletin, Version: 3, Digest: "0123456789abcdef"}, bulletin,
			"policy of the VPN, of bulletin 12, version 3, digest 0123456789ab\nbulletin 12 has added the authority CN=VPN 2\nthe authority CN=VPN? has retired, and is not trusted any more\n"},
		{"of a file", control.Policy{Source: control.FromFile, Name: "/etc/policy", Digest: "0123"}, control.Bulletin{},
			"policy in /etc/policy, version 0, digest 0123\n"},
		{"of a file, and a bulletin", control.Policy{Source: control.FromFile, Name: "/etc/policy", Digest: "0123", Ignored: true}, control.Bulletin{Number: "12"},
			"policy in /etc/policy, version 0, digest 0123\n  bulletin 12 has a policy, too, which is not used because of policy_file\n"},
	} {
		var b strings.Builder
		statusBulletin(&b, &control.Status{Policy: c.policy, Bulletin: c.b}, 0)
		if got := b.String(); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// TestBulletinLife: a bulletin that comes from the RDV counts at once, is shown, and
// counts after a restart.
func TestBulletinLife(t *testing.T) {
	n := startTestNode(t, "")
	if err := n.receives(t, signBulletin(t, 7, "default deny\n", 1, n.ca)); err != nil {
		t.Fatal(err)
	}
	bob := n.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))
	denied := func(tr *trust) bool {
		err := tr.verify(time.Now(), netip.MustParseAddr("10.9.0.2"), bob.Raw(), false)
		return err != nil && strings.Contains(err.Error(), "policy of bulletin 7 does not let us talk")
	}
	v := n.view.Load()
	if !denied(v.trust) {
		t.Error("the policy does not count")
	}
	if d := v.trust.policyDocument(v.cfg); d.Source != control.FromBulletin || d.Name != "policy of bulletin 7" || len(d.Digest) != 64 || d.Ignored {
		t.Errorf("policy %+v", d)
	}
	if d := v.trust.bulletinDocument(); d.Number != "7" || d.Issued.IsZero() || d.Added != nil || d.Retired != nil {
		t.Errorf("bulletin %+v", d)
	}
	again, err := loadTrust(t.Context(), n.cfg, time.Now(), n.node.log, n.warn)
	if err != nil || !denied(again) {
		t.Errorf("after a restart: %v", err)
	}
	// A file in the configuration wins, and is said once.
	file := filepath.Join(n.dir, "policy")
	if err := os.WriteFile(file, []byte("default allow\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.cfg.PolicyFile = file
	n.apply(t.Context(), n.cfg, n.parts.client.Apply)
	n.apply(t.Context(), n.cfg, n.parts.client.Apply)
	v = n.view.Load()
	if d := v.trust.policyDocument(v.cfg); d.Source != control.FromFile || d.Name != file || !d.Ignored || n.log.count("The policy of this host is that in {file}") != 1 {
		t.Errorf("policy %+v, logged %d times", d, n.log.count("The policy of this host is that in {file}"))
	}
}

// TestBulletinRefused: what is not signed by an authority of ours, is old, or has a
// policy that cannot be read changes nothing, and the log says why.
func TestBulletinRefused(t *testing.T) {
	n := startTestNode(t, "")
	if err := n.receives(t, signBulletin(t, 7, "default deny\n", 1, n.ca)); err != nil {
		t.Fatal(err)
	}
	trust := n.view.Load().trust
	for _, c := range []struct {
		name string
		data []byte
		want string // in the log
		warn int    // warnings
	}{
		{"an old one", signBulletin(t, 6, "", 1, n.ca), "there is a newer one already", 0},
		{"another VPN's", signBulletin(t, 8, "", 1, pkitest.NewCA(t, "test CA", time.Now())), "add the certificate to ca_certificates", 1},
		{"a broken policy", signBulletin(t, 8, "default deny\nallow\n", 1, n.ca), "install a newer version of this program", 1},
		{"no bulletin", []byte("x"), "malformed", 1},
	} {
		warnings := n.log.count("level=WARN")
		if err := n.receives(t, c.data); err == nil {
			t.Errorf("%s is taken", c.name)
		}
		if n.log.count(c.want) != 1 || n.log.count("level=WARN")-warnings != c.warn {
			t.Errorf("%s: %q is logged %d times, with %d warnings", c.name, c.want, n.log.count(c.want), n.log.count("level=WARN")-warnings)
		}
		if now := n.view.Load().trust; now != trust {
			t.Errorf("%s: another trust is in use", c.name)
		}
	}
	// What another version of this program has kept, and this one cannot read, is no
	// reason to go on without a policy.
	broken := signBulletin(t, 9, "default perhaps\n", 1, n.ca)
	if err := os.WriteFile(bulletinFile(n.dir), broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadTrust(t.Context(), n.cfg, time.Now(), n.node.log, n.warn); err == nil || !strings.Contains(err.Error(), bulletinFile(n.dir)) {
		t.Errorf("a start with a policy that cannot be read: %v", err)
	}
	n.useNews(t.Context())
	if n.log.count("The policy cannot be used; it stays as it was") != 1 || n.view.Load().trust.rules.Name() != "policy of bulletin 7" {
		t.Error("a policy that cannot be read has taken the place of one that can")
	}
}

// TestRenewalRefusals: the hint says what to do about each refusal of the authority.
func TestRenewalRefusals(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{enroll.ErrNotDue, "ask again when the certificate is older"},
		{&enroll.Refusal{Code: enroll.TooSoon}, "ask again later"},
		{&enroll.Refusal{Code: enroll.Superseded}, "campagnol join"},
		{&enroll.Refusal{Code: enroll.Expired}, "campagnol join"},
		{&enroll.Refusal{Code: enroll.NotIssued}, "campagnol join"},
		{&enroll.Refusal{Code: enroll.Revoked}, "why the certificate was revoked"},
		{&enroll.Refusal{Code: enroll.Denied}, "the log of the VPN's authority"},
		{errors.New("x"), "the log of the VPN's authority"},
	} {
		if got := renewalHint(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	if chain, key := (authorityExchange{new(enroll.Exchange)}).Certificate(); chain != nil || key != nil {
		t.Error("an exchange that has not ended has a certificate")
	}
}

// TestExplainServer: only an authority that we do not know may be ours with another key.
func TestExplainServer(t *testing.T) {
	tr := &trust{cas: "/etc/campagnol/ca.pem"}
	unknown := &pki.Refusal{Reason: pki.UnknownCA, Detail: "its issuer is not in ca_certificates", Remedy: "check"}
	err := tr.explainServer(unknown)
	var r *pki.Refusal
	if !errors.As(err, &r) || !strings.Contains(err.Error(), "add its new certificate (cacert.pem in the folder of the authority) to /etc/campagnol/ca.pem") || unknown.Remedy != "check" {
		t.Errorf("%v", err)
	}
	for _, err := range []error{&pki.Refusal{Reason: pki.Expired}, errors.New("x")} {
		if tr.explainServer(err) != err {
			t.Errorf("%v is explained", err)
		}
	}
}

// TestPlanSuperseded: a certificate by a key that is replaced is renewed soon, once,
// and not later than it was due.
func TestPlanSuperseded(t *testing.T) {
	n := startTestNode(t, "")
	leaf := n.parts.trust.identity.Chain[0]
	half := func() float64 { return 0.5 }
	var p renewalPlan
	late := p.due(leaf, half)
	now := leaf.NotBefore.Add(time.Hour)
	p.superseded(now, half)
	if got := p.due(leaf, half); got != now.Add(rotationSpread/2) {
		t.Errorf("due at %v, want in %v", got, rotationSpread/2)
	}
	p.failed(now.Add(rotationSpread), half)
	again := p.due(leaf, half)
	p.superseded(now.Add(rotationSpread), func() float64 { return 0 })
	if got := p.due(leaf, half); got != again {
		t.Errorf("after a failure due at %v, want %v", got, again)
	}
	p = renewalPlan{}
	p.due(leaf, half)
	p.superseded(late.Add(time.Second), half)
	if got := p.due(leaf, half); got != late {
		t.Errorf("what is due already is put off to %v", got)
	}
}
