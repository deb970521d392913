package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// A caRun runs "campagnol ca" in a directory of its own, at a fixed time.
type caRun struct {
	t       *testing.T
	now     time.Time
	answers []string // to questions for pass phrases
	stdin   string
}

func newCARun(t *testing.T) *caRun {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv(caDirVariable, "")
	return &caRun{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// try runs a command line and returns its output.
func (r *caRun) try(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := caCommand(func() time.Time { return r.now }, func(string) ([]byte, error) {
		if len(r.answers) == 0 {
			return nil, errors.New("nobody answers")
		}
		a := r.answers[0]
		r.answers = r.answers[1:]
		return []byte(a), nil
	})
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(r.stdin))
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

// run is try for command lines that must succeed.
func (r *caRun) run(args ...string) string {
	r.t.Helper()
	out, err := r.try(args...)
	if err != nil {
		r.t.Fatalf("campagnol ca %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// want checks that text contains all of the parts.
func (r *caRun) want(text string, parts ...string) {
	r.t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			r.t.Errorf("output = %q, want it to contain %q", text, p)
		}
	}
}

// wantError runs a command line that must fail, and checks error and hint.
func (r *caRun) wantError(args []string, parts ...string) {
	r.t.Helper()
	out, err := r.try(args...)
	if err == nil {
		r.t.Errorf("campagnol ca %s: no error, output %q", strings.Join(args, " "), out)
		return
	}
	if out != "" {
		r.t.Errorf("campagnol ca %s: output %q besides the error", strings.Join(args, " "), out)
	}
	var text bytes.Buffer
	cli.Print(&text, "campagnol", err)
	r.want(text.String(), append(parts, "campagnol: ca: ")...)
}

func TestCALifeOfAHost(t *testing.T) {
	r := newCARun(t)
	r.want(r.run("init"), "made the CA \"Campagnol VPN CA\", valid until 2036-02-27", "CA/private/cakey.pem", "CA/cacert.pem", "campagnol ca issue NAME --ip VPNIP\n")
	out := r.run("issue", "alice", "--ip", "10.9.0.1", "--ip", "fd00::1")
	r.want(out, "issued a certificate for alice (10.9.0.1, fd00::1)", "valid until 2028-02-29",
		"CA/hosts/alice/certificate.pem", "CA/hosts/alice/key.pem", "CA/hosts/alice/ca.pem", "scp -p CA/hosts/alice/*.pem root@alice:/etc/campagnol/",
		"[VPN]\n  vpn_ip = 10.9.0.1\n", "[SECURITY]\n  certificate = /etc/campagnol/certificate.pem\n  key = /etc/campagnol/key.pem\n  ca_certificates = /etc/campagnol/ca.pem\n",
		"rm CA/hosts/alice/key.pem")
	// The three files are what a host needs.
	id, err := pki.LoadIdentity("CA/hosts/alice/certificate.pem", "CA/hosts/alice/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		t.Helper()
		p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: "CA/hosts/alice/ca.pem", CRLFile: "CA/crl.pem"}, r.now)
		if err != nil {
			t.Fatal(err)
		}
		return p.VerifyOwn(r.now, id)
	}
	if err := verify(); err != nil {
		t.Error(err)
	}
	serial := regexp.MustCompile(`serial ([0-9A-F]+)`).FindStringSubmatch(out)[1]
	r.want(r.run("issue", "alice", "--renew", "--days", "30"), "alice (10.9.0.1, fd00::1)", "valid until 2026-03-31", "note: the older certificate "+serial)
	out = r.run("revoke", serial, "--reason", "superseded", "--days", "90")
	r.want(out, "revoked the certificate of alice (10.9.0.1, fd00::1), serial "+serial, "number 2 with 1 certificate, next due on 2026-05-30",
		"CA/crl.pem", "crl_file = /etc/campagnol/crl.pem", "campagnol_rdv --authority", "by themselves")
	var refusal *pki.Refusal
	if err := verify(); !errors.As(err, &refusal) || refusal.Reason != pki.Revoked {
		t.Errorf("after the revocation: %v, want Revoked", err)
	}
	r.want(r.run("crl"), "number 3 with 1 certificate, next due on 2027-03-01")
}

func TestCASign(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "bob"}}, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	pkitest.Write(t, "bob.csr", "CERTIFICATE REQUEST", der)
	out := r.run("sign", "bob.csr", "--ip", "10.9.0.2")
	r.want(out, "issued a certificate for bob (10.9.0.2)", "CA/hosts/bob/certificate.pem", "the private key that the host has already")
	if strings.Contains(out, "keep it secret") || strings.Contains(out, "rm ") {
		t.Errorf("output = %q, want nothing about a key that is not here", out)
	}
	r.stdin = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	r.want(r.run("sign", "-", "--name", "carl", "--ip=10.9.0.3"), "issued a certificate for carl (10.9.0.3)")
	// A certificate, with its name and addresses.
	r.want(r.run("sign", "CA/hosts/bob/certificate.pem", "--days=10"), "bob (10.9.0.2)", "valid until 2026-03-11", "older certificate")
	r.wantError([]string{"sign", "none.csr", "--ip", "10.9.0.4"}, "none.csr", "no such file")
	r.wantError([]string{"sign"}, "the file to sign is missing", "hint: \"ca sign --help\"")
}

// What a request asks for counts only when the administrator says so.
func TestCASignOptions(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "bob smith"}, IPAddresses: []net.IP{net.IPv4(10, 9, 0, 66)},
	}, pkitest.RSAKey(t))
	if err != nil {
		t.Fatal(err)
	}
	pkitest.Write(t, "bob.csr", "CERTIFICATE REQUEST", der)
	r.wantError([]string{"sign", "bob.csr", "--ip", "10.9.0.2"}, `"bob smith" is not usable`, "--name")
	r.wantError([]string{"sign", "bob.csr", "--name", "bob"}, "--ip")
	r.wantError([]string{"sign", "bob.csr", "--name", "bob", "--ip", "10.9.0.2", "--no-ip"}, "at once")
	r.want(r.run("sign", "bob.csr", "--name", "rdv", "--no-ip"), "rdv (no VPN address)")
	out := r.run("sign", "bob.csr", "--name", "bob", "--csr-ips")
	r.want(out, "bob (10.9.0.66)", "vpn_ip = 10.9.0.66")
	r.want(r.run("show", "bob"), "RSA, 2048 bits", "digitalSignature, keyEncipherment")
	r.wantError([]string{"sign", "bob.csr", "--name", "bob", "--csr-ips"}, "has a certificate already", "--renew")
	r.run("sign", "bob.csr", "--name", "bob", "--renew")
	if err := os.WriteFile("text", []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.wantError([]string{"sign", "text", "--ip", "10.9.0.7"}, "neither a signing request nor a certificate", "openssl req")
	if got := len(r.list()); got != 3 {
		t.Errorf("%d certificates, want 3", got)
	}
}

// A CA below another one.
func TestCAIntermediate(t *testing.T) {
	r := newCARun(t)
	root := pkitest.NewCA(t, "root", r.now)
	sub := root.Intermediate(t, "sub")
	(&pkitest.Leaf{Cert: sub.Cert, Key: sub.Key, Chain: []*x509.Certificate{sub.Cert}}).WriteFiles(t, ".")
	rootFile := root.WriteFile(t, ".")
	if err := os.Mkdir("CA", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("CA/index.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	options := []string{"--ca-cert", "sub.pem", "--ca-key", "sub.key"}
	issue := append([]string{"issue", "alice", "--ip", "10.9.0.1"}, options...)
	r.wantError(issue, "intermediate CA", "hint: name its file with --root")
	r.run(append(issue, "--root", rootFile)...)
	id, err := pki.LoadIdentity("CA/hosts/alice/certificate.pem", "CA/hosts/alice/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: "CA/hosts/alice/ca.pem", VerifyDepth: 2}, r.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.VerifyOwn(r.now, id); err != nil {
		t.Error(err)
	}
}

func TestCAIssueOptions(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	r.want(r.run("issue", "rdv", "--no-ip"), "rdv (no VPN address)")
	r.want(r.run("issue", "server", "--rdv"), "server (no VPN address)", "campagnol_rdv --certificate")
	r.wantError([]string{"issue", "both", "--rdv", "--ip", "10.9.0.7"}, "no VPN address")
	r.run("issue", "--ip", "10.9.0.1,fd00::1", "--rsa=2048", "alice")
	r.run("issue", "bob", "--ip", "10.9.0.1", "--force")
	list := r.list()
	if got := list[2]; got.Name != "alice" || !slices.Equal(got.Addresses, []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd00::1")}) {
		t.Errorf("alice = %+v", got)
	}
	r.want(r.run("show", "alice"), "RSA, 2048 bits")
	for _, c := range []struct {
		args  []string
		parts []string
	}{
		{[]string{"issue"}, []string{"the name of the host is missing"}},
		{[]string{"issue", "a", "b"}, []string{`one argument too many: "b"`}},
		{[]string{"issue", "x"}, []string{"--ip", "--no-ip"}},
		{[]string{"issue", "x", "--ip", "10.9.0"}, []string{`"10.9.0" is not an IP address`}},
		{[]string{"issue", "x", "--ip", "10.9.0.1"}, []string{"10.9.0.1 belongs to", "hint: two hosts"}},
		{[]string{"issue", "alice", "--ip", "10.9.0.7"}, []string{"has a certificate already", "hint: to replace it, add --renew"}},
		{[]string{"issue", "x", "--ip", "10.9.0.8", "--days", "0"}, []string{"above 0"}},
		{[]string{"issue", "x", "--ip", "10.9.0.8", "--days", "many"}, []string{"above 0"}},
		{[]string{"issue", "x", "--ip", "10.9.0.8", "--rsa=512"}, []string{"512 bits"}},
		{[]string{"issue", "../x", "--ip", "10.9.0.8"}, []string{"not usable"}},
		{[]string{"issue", "x", "--bad"}, []string{"unknown flag", "--help"}},
		{[]string{"revoke"}, []string{"what to revoke is missing"}},
		{[]string{"revoke", "nobody"}, []string{"nobody", "hint: see what there is"}},
		{[]string{"revoke", "alice", "--reason", "spite"}, []string{"spite"}},
		{[]string{"show", "nobody"}, []string{"nobody"}},
		{[]string{"crl", "--days", "40000"}, []string{"40000 days"}},
	} {
		r.wantError(c.args, c.parts...)
	}
	if got := len(r.list()); got != 4 {
		t.Errorf("%d certificates after all the errors, want 4", got)
	}
}

// Without a number --rsa has a default.
func TestCARSADefault(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	r.run("issue", "alice", "--ip", "10.9.0.1", "--rsa")
	r.want(r.run("show", "alice"), "RSA, 3072 bits")
}

// The directory comes from the option, the environment, or is ./CA.
func TestCADirectory(t *testing.T) {
	r := newCARun(t)
	r.wantError([]string{"list"}, "there is no CA in CA", "hint: make one with \"campagnol ca init\"", "--dir", "$CAMPAGNOL_CA")
	t.Setenv(caDirVariable, "by-variable")
	r.run("init")
	r.want(r.run("init", "--dir", "by-option"), "campagnol ca issue NAME --ip VPNIP --dir by-option")
	for _, dir := range []string{"by-variable", "by-option"} {
		if _, err := os.Stat(filepath.Join(dir, "cacert.pem")); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(caDirDefault); err == nil {
		t.Error("./CA was made")
	}
	r.want(r.run("issue", "alice", "--ip", "10.9.0.1"), "by-variable/hosts/alice")
	r.want(r.run("list", "--dir", "by-option"), "no certificate yet")
	r.wantError([]string{"init"}, "by-variable/cacert.pem exists already")
}

func TestCAPassphrase(t *testing.T) {
	r := newCARun(t)
	for _, c := range []struct {
		answers []string
		want    string
	}{{[]string{"one", "two"}, "differ"}, {[]string{"", ""}, "empty"}, {nil, "nobody answers"}} {
		r.answers = c.answers
		_, err := r.try("init", "--encrypt")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("answers %q: %v, want %q", c.answers, err, c.want)
		}
		if _, err := os.Stat("CA"); err == nil {
			t.Errorf("answers %q: a CA was made", c.answers)
		}
	}
	r.answers = []string{"secret", "secret"}
	r.run("init", "--encrypt")
	if key, err := os.ReadFile("CA/private/cakey.pem"); err != nil || !bytes.Contains(key, []byte("ENCRYPTED")) {
		t.Errorf("key = %q, %v, want it encrypted", key, err)
	}
	r.answers = []string{"secret"}
	r.run("issue", "alice", "--ip", "10.9.0.1")
	r.answers = []string{"wrong"}
	r.wantError([]string{"crl"}, "wrong pass phrase", "CA/private/cakey.pem")
	// What is revoked stays so, although the list could not be written.
	r.answers = nil
	out, err := r.try("revoke", "alice")
	if err == nil {
		t.Fatal("a list was written without pass phrase")
	}
	r.want(out, "revoked the certificate of alice")
	var text bytes.Buffer
	cli.Print(&text, "campagnol", err)
	r.want(text.String(), "is revoked, but the revocation list is still the old one", `hint: write it with "campagnol ca crl"`)
	if err := os.WriteFile("pass", []byte("secret\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.want(r.run("crl", "--passphrase-file", "pass"), "with 1 certificate")
	r.wantError([]string{"crl", "--passphrase-file", "none"}, "pass phrase", "none")
	r.run("init", "--dir", "second", "--passphrase-file", "pass")
	r.run("issue", "bob", "--ip", "10.9.0.2", "--dir", "second", "--passphrase-file", "pass")
}

// The parts of a CA with unusual names.
func TestCAFileOptions(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	for from, to := range map[string]string{"CA/cacert.pem": "my-ca.crt", "CA/private/cakey.pem": "my-ca.key", "CA/index.txt": "CA/table", "CA/certs": "issued", "CA/crl.pem": "list.pem", "CA/crlnumber": "crlno"} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("number", []byte("2A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	options := []string{"--ca-cert", "my-ca.crt", "--ca-key", "my-ca.key", "--index", "CA/table", "--certs", "issued", "--crl-file", "list.pem", "--crl-number", "crlno", "--serial", "number"}
	r.want(r.run(append([]string{"issue", "alice", "--ip", "10.9.0.1"}, options...)...), "serial 2A,")
	if _, err := os.Stat("issued/2A.pem"); err != nil {
		t.Error(err)
	}
	r.want(r.run(append([]string{"revoke", "alice"}, options...)...), "number 2 ", "  list.pem")
	r.wantError([]string{"init", "--dir", "x", "--ca-key", "y"}, "only --dir can be chosen")
}

// What the program around the command makes of it: exit status and streams.
func TestCAInProgram(t *testing.T) {
	newCARun(t)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"ca", "init"}, 0, "made the CA", ""},
		{[]string{"ca", "issue", "alice", "--ip", "10.9.0.1", "--rsa=2048"}, 0, "issued a certificate", ""},
		{[]string{"ca", "--dir", "CA", "issue", "bob", "--ip=10.9.0.2"}, 0, "issued a certificate for bob", ""},
		{[]string{"ca", "issue", "alice", "--ip", "10.9.0.3"}, 1, "", "campagnol: ca: \"alice\" has a certificate already"},
		{[]string{"ca", "list", "--dir", "none"}, 1, "", "\nhint: make one with"},
		{[]string{"ca", "--help"}, 0, "campagnol ca issue alice --ip 10.9.0.1", ""},
		{[]string{"ca"}, 0, "Available Commands", ""},
		{[]string{"ca", "frobnicate"}, 1, "", "frobnicate"},
	} {
		root := &cobra.Command{Use: "campagnol", Version: "test", RunE: func(*cobra.Command, []string) error { return nil }}
		root.AddCommand(newCACommand())
		var stdout, stderr bytes.Buffer
		root.SetOut(&stdout)
		root.SetErr(&stderr)
		code := cli.Execute(t.Context(), root, c.args)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) || (c.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("%q: exit status %d, want %d\nstdout: %s\nstderr: %s", c.args, code, c.code, &stdout, &stderr)
		}
	}
}

// Every subcommand explains itself, with an example that can be parsed.
func TestCAHelp(t *testing.T) {
	cmd := newCACommand()
	names := []string{}
	for _, sub := range append(cmd.Commands(), cmd) {
		names = append(names, sub.Name())
		if sub.Short == "" || sub.Long == "" || sub.Example == "" {
			t.Errorf("%s: help is missing", sub.Name())
		}
		for line := range strings.Lines(sub.Long) {
			if len([]rune(strings.TrimRight(line, "\n"))) > 80 {
				t.Errorf("%s: line of %d characters: %q", sub.Name(), len(line), line)
			}
		}
		for line := range strings.Lines(sub.Example) {
			args := strings.Fields(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(line, "x"))
			if len(args) < 3 || args[0] != "campagnol" || args[1] != "ca" {
				t.Errorf("%s: example %q", sub.Name(), line)
				continue
			}
			found, rest, err := newCACommand().Find(args[2:])
			if err != nil || found.Name() != args[2] {
				t.Errorf("%s: example %q: %v", sub.Name(), line, err)
			} else if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: example %q: %v", sub.Name(), line, err)
			} else if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%s: example %q: %v", sub.Name(), line, err)
			}
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "ca crl init invitations invite issue list publish revoke rotate serve settings show sign uninvite" {
		t.Errorf("commands = %s", got)
	}
}
