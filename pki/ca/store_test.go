package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"campagnol/pki/pkitest"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A serial file, as "openssl ca" has it, is obeyed.
func TestSerialFile(t *testing.T) {
	c := newCA(t)
	write(t, c.Files.Serial, "0F\n")
	for i, want := range []string{"0F", "10"} {
		out := issue(t, c, fmt.Sprint("host", i), fmt.Sprint("10.9.0.", i+1))
		if got := formatSerial(out.Cert.SerialNumber); got != want {
			t.Errorf("serial = %s, want %s", got, want)
		}
	}
	if got := read(t, c.Files.Serial); got != "11\n" {
		t.Errorf("serial file = %q, want 11", got)
	}
	// An old backup of the file must not lead to numbers that are taken, nor
	// may a number be 0.
	for _, old := range []string{"0F", "00"} {
		write(t, c.Files.Serial, old)
		out := issue(t, c, "after"+old, "10.9.1."+fmt.Sprint(len(read(t, c.Files.Index))%250+1))
		if out.Cert.SerialNumber.Sign() == 0 || strings.Count(read(t, c.Files.Index), "\t"+formatSerial(out.Cert.SerialNumber)+"\t") != 1 {
			t.Errorf("serial %v after %s is not a new one", out.Cert.SerialNumber, old)
		}
	}
	write(t, c.Files.Serial, "hello")
	_, err := c.Issue(now, rand.Reader, Request{Name: "x", Addrs: addrs("10.9.2.1")})
	wantError(t, err, c.Files.Serial, `"hello"`)
}

func TestRandomSerial(t *testing.T) {
	x, err := parseIndex(nil)
	if err != nil {
		t.Fatal(err)
	}
	taken := bytes.Repeat([]byte{7}, 16)
	x.add(&record{serial: new(big.Int).SetBytes(taken)})
	// Zero and a number that is taken are skipped.
	source := io.MultiReader(bytes.NewReader(make([]byte, 16)), bytes.NewReader(taken), bytes.NewReader(bytes.Repeat([]byte{9}, 16)))
	n, err := randomSerial(source, x)
	if err != nil || n.Text(16) != strings.Repeat("9", 31)[:0]+"9"+strings.Repeat("09", 15) {
		t.Errorf("serial = %x, %v", n, err)
	}
	if _, err := randomSerial(bytes.NewReader(nil), x); err == nil {
		t.Error("a number without random bytes")
	}
	if _, err := randomSerial(bytes.NewReader(bytes.Repeat(taken, 8)), x); err == nil {
		t.Error("a number from a source that repeats")
	}
	if _, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{}, now, iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
		t.Error("a CA without random bytes")
	}
}

func TestUniqueSubject(t *testing.T) {
	for content, want := range map[string]bool{
		"unique_subject = yes\n": true, "unique_subject = no\n": false, "unique_subject=0": false, "unique_subject = True": true,
		"": true, "other = no\n": true, "unique_subject =\n": false,
	} {
		c := newCA(t)
		write(t, c.attrFile(), content)
		if got, err := c.uniqueSubject(); got != want || err != nil {
			t.Errorf("%q: unique = %t, %v, want %t", content, got, err, want)
		}
	}
	// A CA that openssl made. The second certificate of one subject must not
	// make the index unreadable for it.
	c := newCA(t)
	if err := os.Remove(c.attrFile()); err != nil {
		t.Fatal(err)
	}
	issue(t, c, "alice", "10.9.0.1")
	if _, err := os.Stat(c.attrFile()); err == nil {
		t.Error("the attributes were written without need")
	}
	out, err := c.Issue(now, rand.Reader, Request{Name: "alice", Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, c.attrFile()); got != "unique_subject = no\n" || !strings.Contains(strings.Join(out.Notes, "\n"), "unique_subject") {
		t.Errorf("attributes = %q, notes = %q", got, out.Notes)
	}
}

// What is on disk when the program stops between two steps is a CA that works.
func TestCrash(t *testing.T) {
	t.Run("after the index", func(t *testing.T) {
		c := newCA(t)
		// The directory of certificates cannot be written: it is a file.
		if err := os.Remove(c.Files.Certs); err != nil {
			t.Fatal(err)
		}
		write(t, c.Files.Certs, "")
		req := Request{Name: "alice", Addrs: addrs("10.9.0.1")}
		if _, err := c.Issue(now, rand.Reader, req); err == nil {
			t.Fatal("issued without a directory for it")
		}
		if err := os.Remove(c.Files.Certs); err != nil {
			t.Fatal(err)
		}
		// The certificate that never was is in the index, and in nobody's way.
		c = reopen(t, c)
		list, err := c.List(now)
		if err != nil || len(list) != 1 || list[0].File != "" || list[0].Name != "alice" {
			t.Errorf("list = %+v, %v, want an entry without file", list, err)
		}
		if _, err := c.Issue(now, rand.Reader, req); err != nil {
			t.Error(err)
		}
		if gone, err := c.Revoke(now, list[0].Serial, ""); err != nil || len(gone) != 1 {
			t.Errorf("revoke the lost one: %v, %v", gone, err)
		}
	})
	t.Run("before the files of the host", func(t *testing.T) {
		c := newCA(t)
		write(t, filepath.Join(c.Dir, "hosts"), "")
		if _, err := c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.1")}); err == nil {
			t.Fatal("issued without a folder for the host")
		}
		if err := os.Remove(filepath.Join(c.Dir, "hosts")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Issue(now, rand.Reader, Request{Name: "alice", Renew: true}); err != nil {
			t.Error(err)
		}
	})
	t.Run("number of the list used up", func(t *testing.T) {
		c := newCA(t)
		if err := os.Remove(c.Files.CRL); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(c.Files.CRL, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CRL(now, rand.Reader, 0); err == nil {
			t.Fatal("a list was written over a directory")
		}
		if err := os.Remove(c.Files.CRL); err != nil {
			t.Fatal(err)
		}
		if l, err := c.CRL(now, rand.Reader, 0); err != nil || l.Number.Int64() != 3 {
			t.Errorf("list = %+v, %v, want number 3", l, err)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	empty := t.TempDir()
	_, err := Open(empty, Files{})
	wantError(t, err, "no CA in "+empty, "campagnol ca init", "$CAMPAGNOL_CA")

	c := newCA(t)
	leaf := issue(t, c, "alice", "10.9.0.1")
	_, err = Open(c.Dir, Files{Cert: leaf.CertFile})
	wantError(t, err, leaf.CertFile, "not the certificate of a CA")
	cannot := pkitest.NewCA(t, "no signer", now, pkitest.Usage(x509.KeyUsageCRLSign))
	_, err = Open(c.Dir, Files{Cert: cannot.WriteFile(t, t.TempDir())})
	wantError(t, err, "does not let it sign")
	_, err = Open(c.Dir, Files{Cert: c.Files.Key})
	wantError(t, err, "no certificate")

	write(t, c.Files.Index, "V\tbroken\n")
	_, err = Open(c.Dir, Files{})
	wantError(t, err, c.Files.Index, "line 1", "repair")
	if err := os.Remove(c.Files.Index); err != nil {
		t.Fatal(err)
	}
	_, err = Open(c.Dir, Files{})
	wantError(t, err, "index of the CA is missing", "backup")
}

func TestKeyOfAnotherCA(t *testing.T) {
	a, b := newCA(t), newCA(t)
	c, err := Open(a.Dir, Files{Key: b.Files.Key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CRL(now, rand.Reader, 0)
	wantError(t, err, "is not that of the certificate", b.Files.Key)
	_, err = c.CRL(now, rand.Reader, -1)
	wantError(t, err, "-1 days")
}

// TestIntermediate runs a CA below another.
func TestIntermediate(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	dir := t.TempDir()
	(&pkitest.Leaf{Cert: sub.Cert, Key: sub.Key, Chain: []*x509.Certificate{sub.Cert}}).WriteFiles(t, dir)
	write(t, filepath.Join(dir, "index.txt"), "")
	files := Files{Cert: filepath.Join(dir, "sub.pem"), Key: filepath.Join(dir, "sub.key")}
	c, err := Open(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.1")})
	wantError(t, err, "intermediate CA", "--root")
	files.Root = filepath.Join(dir, "none")
	if c, err = Open(dir, files); err != nil {
		t.Fatal(err)
	}
	_, err = c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.1")})
	wantError(t, err, "root certificate", "no such file")
	c.Files.Root = root.WriteFile(t, dir)
	out := issue(t, c, "alice", "10.9.0.1")
	l, err := c.CRL(now, rand.Reader, 0)
	if err != nil {
		t.Fatal(err)
	}
	if peer, err := verify(t, out, l.File); err != nil || peer.Name != "alice" {
		t.Errorf("peer %v, %v, want alice", peer, err)
	}
}

// An old CA without key usage and key identifier can sign lists; one whose key
// usage forbids it cannot.
func TestCRLIssuer(t *testing.T) {
	for _, c := range []struct {
		name  string
		usage x509.KeyUsage
		ok    bool
	}{{"none", 0, true}, {"certificates only", x509.KeyUsageCertSign, false}} {
		ca := pkitest.NewCA(t, "root", now, pkitest.Usage(c.usage))
		dir := t.TempDir()
		(&pkitest.Leaf{Cert: ca.Cert, Key: ca.Key, Chain: []*x509.Certificate{ca.Cert}}).WriteFiles(t, dir)
		write(t, filepath.Join(dir, "index.txt"), "")
		open, err := Open(dir, Files{Cert: filepath.Join(dir, "root.pem"), Key: filepath.Join(dir, "root.key")})
		if err != nil {
			t.Fatal(err)
		}
		open.Cert.SubjectKeyId = nil
		l, err := open.CRL(now, rand.Reader, 0)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want a list = %t", c.name, err, c.ok)
		}
		if err != nil {
			continue
		}
		if _, err := verify(t, issue(t, open, "alice", "10.9.0.1"), l.File); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReasonCodes(t *testing.T) {
	for reason, want := range map[string]int{
		"": 0, "unspecified": 0, "keyCompromise": 1, "CACompromise": 2, "affiliationChanged": 3, "superseded": 4,
		"cessationOfOperation": 5, "certificateHold": 6, "holdInstruction,holdInstructionReject": 6,
		"keyTime,20260101000000Z": 1, "CAkeyTime,20260101000000Z": 2, "nonsense": 0,
	} {
		if got := reasonCode(reason); got != want {
			t.Errorf("code of %q = %d, want %d", reason, got, want)
		}
	}
	if got := len(Reasons()); got != len(reasons) {
		t.Errorf("%d reasons, want %d", got, len(reasons))
	}
}
