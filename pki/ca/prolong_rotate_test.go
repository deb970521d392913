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
