package ca

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"campagnol/pki/enroll"
)

// TestProlongRotated: a certificate by the last key is renewed at once, however new it
// is; the next one is not.
func TestProlongRotated(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice"})
	at := now.Add(time.Minute)
	if _, err := m.renew(at, nil); !errors.Is(err, enroll.ErrNotDue) {
		t.Errorf("before: %v, want ErrNotDue", err)
	}
	old := m.cert
	if _, err := c.Rotate(at, rand.Reader, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	m.roots = append(m.roots, c.Cert)
	next := m.must(at.Add(time.Minute), nil)
	if next.CheckSignatureFrom(c.Cert) != nil || next.Equal(old) {
		t.Error("the next certificate is not by the new key")
	}
	if _, err := m.renew(at.Add(2*time.Minute), nil); !errors.Is(err, enroll.ErrNotDue) {
		t.Errorf("afterwards: %v, want ErrNotDue", err)
	}
	if list, err := c.List(at); err != nil || len(list) != 2 {
		t.Errorf("%d certificates, %v, want 2", len(list), err)
	}
}

// TestProlongSameSecond: a certificate is good for longer than the one before also if both
// would be issued in one second: the host is asked to come again.
func TestProlongSameSecond(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice"})
	if _, err := c.Rotate(now, rand.Reader, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	m.roots = append(m.roots, c.Cert)
	_, err := m.renew(now.Add(900*time.Millisecond), nil)
	wantRefusal(t, err, enroll.Later, "in this very second")
	if list, err := c.List(now); err != nil || len(list) != 1 {
		t.Errorf("%d certificates, %v, want 1", len(list), err)
	}
	old := m.cert
	if next := m.must(now.Add(time.Second), nil); next.NotAfter.Sub(old.NotAfter) != time.Second || next.CheckSignatureFrom(c.Cert) != nil {
		t.Errorf("a second later: valid until %v, after %v", next.NotAfter, old.NotAfter)
	}
}

// TestProlongNoLater: where the next certificate would end no later, there is none, and
// the host is told why.
func TestProlongNoLater(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	late := c.Cert.NotAfter.Add(-100 * 24 * time.Hour)
	m := newMemberAt(t, c, s, late, InviteOptions{Name: "alice"})
	_, err := m.renew(late.Add(48*time.Hour), nil)
	wantRefusal(t, err, enroll.TooSoon, "ends with that of the authority", "campagnol ca rotate")

	// One that was cut short by the CA's end, under settings that are shorter now.
	if _, err := c.Rotate(late, rand.Reader, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ChangeSettings(func(s *Settings) { s.Days = 30 }); err != nil {
		t.Fatal(err)
	}
	m.roots = append(m.roots, c.Cert)
	_, err = m.renew(late.Add(48*time.Hour), nil)
	wantRefusal(t, err, enroll.TooSoon, "would end on")
	if list, err := c.List(late); err != nil || len(list) != 1 {
		t.Errorf("%d certificates, %v, want 1", len(list), err)
	}
	if m.must(late.Add(71*24*time.Hour), nil); lifetime(m.cert) != 30 {
		t.Errorf("when it ends later: %d days, want 30", lifetime(m.cert))
	}
}
