package pki

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

func TestExpiryWatch(t *testing.T) {
	end := now.Add(100 * day)
	own := Expiry{Name: "alice", Serial: "01", At: end, Remedy: "renew it"}
	ca := Expiry{Name: "CA", Serial: "02", CA: true, At: end.Add(10 * day), Remedy: "plan for it"}
	var w ExpiryWatch
	for _, c := range []struct {
		left time.Duration // of alice's
		want string        // substrings of the only text; "": no text
	}{
		{100 * day, ""},
		{31 * day, ""},
		{30 * day, "certificate alice expires on|in 30 days; renew it"},
		{29 * day, ""},
		{20 * day, "authority CA expires on|in 30 days; plan for it"},
		{7*day - time.Minute, "alice|in 6 days"},
		{36 * time.Hour, ""},
		{23 * time.Hour, "alice|in 23 hours"},
		{time.Minute, ""},
		{0, "alice has expired on"},
		{-time.Hour, ""},
		{time.Hour, ""}, // a clock that goes back says nothing new
		{-time.Hour, "alice has expired"},
	} {
		got := w.Look(end.Add(-c.left), []Expiry{own, ca})
		if c.want == "" {
			if len(got) != 0 {
				t.Errorf("%v before: %q, want nothing", c.left, got)
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("%v before: %q, want one text", c.left, got)
			continue
		}
		for part := range strings.SplitSeq(c.want, "|") {
			if !strings.Contains(got[0], part) {
				t.Errorf("%v before: %q lacks %q", c.left, got[0], part)
			}
		}
	}

	renewed := own
	renewed.At = end.Add(day)
	if got := w.Look(end.Add(23*time.Hour), []Expiry{renewed}); len(got) != 0 {
		t.Errorf("a certificate that was just read: %q, want nothing", got)
	}
	if len(w.passed) != 1 {
		t.Errorf("%d certificates are kept in mind, want 1", len(w.passed))
	}
}

func TestExpiries(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	leaf := root.Issue(t, "alice")
	id := &Identity{Chain: []*x509.Certificate{leaf.Cert, root.Cert}}
	list := id.Expiries()
	if len(list) != 1 || list[0].Name != "CN=alice" || list[0].CA || !list[0].At.Equal(leaf.Cert.NotAfter) || list[0].Serial == "" {
		t.Errorf("our own: %+v, want alice's certificate only", list)
	}
	list = newPolicy(t, 0, root.Cert).Expiries()
	if len(list) != 1 || list[0].Name != "CN=root" || !list[0].CA || !list[0].At.Equal(root.Cert.NotAfter) {
		t.Errorf("authorities: %+v, want the root", list)
	}
}
