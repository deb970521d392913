package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"campagnol/pki/bulletin"
	"campagnol/pki/pkitest"
)

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestPublish(t *testing.T) {
	c := newVPN(t)
	if b, err := c.Bulletin(); b != nil || err != nil {
		t.Errorf("bulletin %+v, %v, want none", b, err)
	}
	first, err := c.Publish(now, rand.Reader, "default deny\n")
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Publish(now, rand.Reader, "") // within the same second
	if err != nil || second.Number <= first.Number || second.Policy != "" {
		t.Errorf("second %+v, %v, want a higher number and no policy", second, err)
	}
	if b, err := reopen(t, c).Bulletin(); err != nil || b.Number != second.Number || len(b.CAs) != 1 || !b.CAs[0].Equal(c.Cert) {
		t.Errorf("bulletin %+v, %v, want the second", b, err)
	}
	// If the file is lost, members have to take the next one all the same.
	if err := os.Remove(c.bulletinFile()); err != nil {
		t.Fatal(err)
	}
	if third, err := c.Publish(now.Add(time.Minute), rand.Reader, ""); err != nil || third.Number <= second.Number {
		t.Errorf("after a loss: %+v, %v, want a number above %d", third, err, second.Number)
	}
	write(t, c.bulletinFile(), "x")
	_, err = c.Publish(now, rand.Reader, "")
	wantError(t, err, c.bulletinFile(), "ca publish")
	other := newVPN(t)
	if _, err := other.Publish(now, rand.Reader, ""); err != nil {
		t.Fatal(err)
	}
	write(t, c.bulletinFile(), read(t, other.bulletinFile()))
	_, err = c.Bulletin()
	wantError(t, err, "not signed by this CA")
}

// TestObjects sees what other processes change, and makes lists in time.
func TestObjects(t *testing.T) {
	c := newVPN(t)
	s, j := newService(t, c)
	first, err := s.Objects(now)
	if err != nil || len(first.CRLs) != 1 || first.Bulletin != nil {
		t.Fatalf("objects %+v, %v", first, err)
	}
	issue(t, c, "gone", "10.9.0.9")
	if _, err := c.Revoke(now, "gone", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CRL(now, rand.Reader, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publish(now, rand.Reader, "default deny\n"); err != nil {
		t.Fatal(err)
	}
	second, err := s.Objects(now)
	if err != nil || len(listed(t, second)) != 1 || len(second.Bulletin) == 0 {
		t.Errorf("after a revocation and a publication: %d entries, bulletin of %d bytes, %v", len(listed(t, second)), len(second.Bulletin), err)
	}
	if _, err := bulletin.Parse(second.Bulletin); err != nil {
		t.Error(err)
	}
	day := 24 * time.Hour
	if third, err := s.Objects(now.Add(92 * day)); err != nil || !bytes.Equal(third.CRLs[0], second.CRLs[0]) {
		t.Errorf("after 92 of 100 days there is another list, or none: %v", err)
	}
	at := now.Add(93*day + time.Hour)
	fourth, err := s.Objects(at)
	if err != nil || bytes.Equal(fourth.CRLs[0], second.CRLs[0]) || len(listed(t, fourth)) != 1 {
		t.Fatalf("after 93 of 100 days there is no other list: %v", err)
	}
	l, err := x509.ParseRevocationList(fourth.CRLs[0])
	if err != nil || !l.NextUpdate.Equal(at.Add(100*day)) {
		t.Errorf("the list is due on %v, %v, want %v", l.NextUpdate, err, at.Add(100*day))
	}
	// What cannot be done leaves what there is, and is tried again.
	broken := s.ca.Files.CRLNumber
	s.ca.Files.CRLNumber = "/dev/null/number"
	at = at.Add(94 * day)
	if fifth, err := s.Objects(at); err != nil || !bytes.Equal(fifth.CRLs[0], fourth.CRLs[0]) || !bytes.Contains([]byte(j.String()), []byte("level=ERROR")) {
		t.Errorf("a list that cannot be made: %v, journal %s", err, j)
	}
	said := len(j.String())
	if _, err := s.Objects(at.Add(time.Minute)); err != nil || len(j.String()) != said {
		t.Errorf("a minute later it is tried again, %v: %s", err, j.String()[said:])
	}
	s.ca.Files.CRLNumber = broken
	if sixth, err := s.Objects(at.Add(2 * retryList)); err != nil || bytes.Equal(sixth.CRLs[0], fourth.CRLs[0]) {
		t.Errorf("later: %v, want another list", err)
	}
	if err := os.Remove(c.Files.CRL); err != nil {
		t.Fatal(err)
	}
	if seventh, err := s.Objects(at); err != nil || len(listed(t, seventh)) != 1 {
		t.Errorf("a list that is lost: %v, want it made again", err)
	}
}

// listed returns the entries of the first list.
func listed(t *testing.T, o Objects) []x509.RevocationListEntry {
	t.Helper()
	l, err := x509.ParseRevocationList(o.CRLs[0])
	if err != nil {
		t.Fatal(err)
	}
	return l.RevokedCertificateEntries
}

// TestGrantSize leaves out what is too large for an answer.
func TestGrantSize(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	if _, err := c.Publish(now, rand.Reader, "# "+string(bytes.Repeat([]byte("x"), 2*maxExtra))); err != nil {
		t.Fatal(err)
	}
	_, token := invite(t, c, InviteOptions{Name: "alice"})
	r, err := enrol(t, s, now, token, pkitest.NewKey(t))
	if err != nil || r.Bulletin != nil || len(r.CRLs) != 1 {
		t.Errorf("result with a bulletin of %d bytes and %d lists, %v, want only the list", len(r.Bulletin), len(r.CRLs), err)
	}
}
