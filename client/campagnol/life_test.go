package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/ca"
)

// TestLifeRenewal: members whose certificates are for a day renew them by themselves,
// from the real authority over the real server, while they talk; none of the packets
// is lost, and no tunnel is closed.
func TestLifeRenewal(t *testing.T) {
	t.Parallel()
	inLife(t, 1, func(w *lifeWorld) {
		a := w.member("alice", "10.9.0.1", "renew_certificate = yes\n")
		b := w.member("bob", "10.9.0.2", "renew_certificate = yes\n")
		first := [2]string{a.view.Load().trust.identity.Expiries()[0].Serial, b.view.Load().trust.identity.Expiries()[0].Serial}
		w.talk("opening", 20*time.Second, time.Second, a, b)
		w.talk("renewing", 18*time.Hour, 7*time.Second, a, b)
		for i, m := range []*lifeMember{a, b} {
			if e := m.view.Load().trust.identity.Expiries()[0]; e.Serial == first[i] || time.Until(e.At) < 20*time.Hour {
				t.Errorf("%s has the certificate %s until %v", m.name, e.Serial, e.At)
			}
			if m.logged("Our certificate was renewed") != 1 || m.logged("New DTLS connection opened") != 1 || m.logged("level=WARN") != 0 {
				t.Errorf("%s: renewed %d times, %d connections, %d warnings", m.name, m.logged("Our certificate was renewed"), m.logged("New DTLS connection opened"), m.logged("level=WARN"))
			}
		}
		time.Sleep(time.Minute)
		// The first certificates have ended, and everybody looks at them again.
		time.Sleep(6 * time.Hour)
		w.talk("after the end of the first ones", time.Minute, time.Second, a, b)
	})
}

// TestLifePolicy: a policy that is published decides within seconds about tunnels that
// are open, also after a restart, until the next one; one in a file takes precedence.
func TestLifePolicy(t *testing.T) {
	t.Parallel()
	inLife(t, 90, func(w *lifeWorld) {
		a, b := w.member("alice", "10.9.0.1", ""), w.member("bob", "10.9.0.2", "")
		dir := filepath.Dir(a.conf)
		own := filepath.Join(dir, "policy")
		if err := os.WriteFile(own, []byte("default allow\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := w.member("carol", "10.9.0.3", "policy_file = "+own+"\n")
		publish := func(text string) {
			t.Helper()
			if _, err := w.ca.Publish(time.Now(), rand.Reader, text); err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Second)
		}
		w.talk("without policy", 5*time.Second, time.Second, a, b, c)
		publish("default allow\ndeny alice <-> bob\n")
		if b.hears(a) || a.hears(b) {
			t.Error("alice and bob talk against the policy")
		}
		w.talk("the others", 5*time.Second, time.Second, a, c)
		if p := a.view.Load().trust.policyDocument(a.cfg); p.Source != "bulletin" || !strings.HasPrefix(p.Name, "policy of bulletin ") || p.Digest == "" {
			t.Errorf("status of alice: %+v", p)
		}
		if p := c.view.Load().trust.policyDocument(c.cfg); p.Source != "file" || p.Name != own || !p.Ignored || c.logged("The policy of this host is that in {file}") != 1 {
			t.Errorf("status of carol: %+v, logged %d times", p, c.logged("The policy of this host is that in {file}"))
		}
		// After a restart it counts before the server is there.
		w.stopRDV()
		b.stop()
		b.start()
		if p := b.view.Load().trust.policyDocument(b.cfg); p.Source != "bulletin" {
			t.Errorf("after a restart: %+v", p)
		}
		w.startRDV()
		time.Sleep(time.Minute)
		if b.hears(a) {
			t.Error("after a restart alice and bob talk against the policy")
		}
		publish("default allow\n")
		w.talk("allowed", 5*time.Second, time.Second, a, b, c)
		publish("")
		if p := a.view.Load().trust.policyDocument(a.cfg); p.Source != "none" {
			t.Errorf("taken back: %+v", p)
		}
	})
}

// renew does what "campagnol renew" does.
func (m *lifeMember) renewNow() {
	m.w.t.Helper()
	if _, err := m.renewCertificate(m.w.t.Context()); err != nil {
		m.w.t.Fatalf("%s: %v", m.name, err)
	}
	time.Sleep(15 * time.Second) // files are watched, and peers see it with fresh keys
}

// TestLifeRotation: the key of the authority is replaced while everybody talks: hosts
// and server trust both, renew one after the other, and at last trust the new one
// alone. Who was away for all of it is told what to do.
func TestLifeRotation(t *testing.T) {
	t.Parallel()
	const old, next = "Campagnol VPN CA", "Campagnol VPN CA 2"
	inLife(t, 90, func(w *lifeWorld) {
		// Alice has a revocation list, and every peer has to be covered by one.
		list := "crl_file = " + filepath.Join(filepath.Dir(w.rdvDir), "alice", "crl.pem") + "\n"
		a, b, c := w.member("alice", "10.9.0.1", list), w.member("bob", "10.9.0.2", "renew_certificate = yes\n"), w.member("carol", "10.9.0.3", "")
		away := w.member("dave", "10.9.0.4", "")
		w.talk("before", 10*time.Second, time.Second, a, b, c)
		away.stop()
		if _, err := w.ca.Rotate(time.Now(), rand.Reader, ca.InitOptions{}); err != nil {
			t.Fatal(err)
		}
		w.talk("the key is replaced", 10*time.Second, time.Second, a, b, c)
		for _, m := range []*lifeMember{a, b, c} {
			if got := m.trusts(); got != old+", "+next {
				t.Errorf("%s trusts %s", m.name, got)
			}
		}
		// The server gets its certificate from its administrator, hosts by themselves.
		w.issue(w.rdvDir, ca.Request{Name: "rdv", Rendezvous: true, Renew: true})
		w.server.SetTrust(w.rdvTrust())
		a.renewNow()
		w.talk("alice has renewed", 10*time.Second, time.Second, a, b, c)
		if b.issuer() == old {
			w.talk("bob renews by himself", rotationSpread, 3*time.Second, a, b, c)
		}
		if a.issuer() != next || b.issuer() != next || c.issuer() != old {
			t.Errorf("certificates are by %s, %s and %s", a.issuer(), b.issuer(), c.issuer())
		}
		if c.logged("Our certificate is by the last key") != 1 {
			t.Error("carol, who does not renew by herself, is not told to")
		}
		if _, err := w.ca.FinishRotation(time.Now(), rand.Reader, false); err == nil || !strings.Contains(err.Error(), "have a certificate by the old key only") {
			t.Errorf("finished too early: %v", err)
		}
		c.renewNow()
		w.talk("all have renewed", 10*time.Second, time.Second, a, b, c)
		if _, err := w.ca.FinishRotation(time.Now(), rand.Reader, true); err != nil { // dave has not
			t.Fatal(err)
		}
		w.talk("finished", 10*time.Second, time.Second, a, b, c)
		for _, m := range []*lifeMember{a, b, c} {
			if got := m.trusts(); got != next || m.logged("has retired, and is not trusted any more") != 1 || m.logged("New DTLS connection opened") > 3 {
				t.Errorf("%s trusts %s, and has opened %d tunnels", m.name, got, m.logged("New DTLS connection opened"))
			}
			// The last list of the old authority comes after it has retired.
			if n := m.logged(`level=WARN msg="What the RDV server has for all members is not used"`); n != 0 {
				t.Errorf("%s refuses %d lists or bulletins", m.name, n)
			}
		}
		// Bulletins are now signed by the new key alone; restarts change nothing.
		if _, err := w.ca.Publish(time.Now(), rand.Reader, "default allow\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		for _, m := range []*lifeMember{a, c} {
			m.stop()
		}
		w.stopRDV()
		w.startRDV()
		a.start()
		c.start()
		time.Sleep(time.Minute)
		if got := c.trusts(); got != next {
			t.Errorf("after a restart carol trusts %s", got)
		}
		w.talk("after restarts", 10*time.Second, time.Second, a, b, c)

		away.start()
		time.Sleep(10 * time.Second)
		if away.logged("cacert.pem in the folder of the authority") == 0 || away.logged(filepath.Dir(away.conf)+"/ca.pem") == 0 || away.logged("campagnol ca invite NAME --renew") == 0 {
			t.Error("dave is not told which file and which command help")
		}
		if a.hears(away) || away.hears(a) {
			t.Error("dave, whose certificate is by the old key, talks with alice")
		}
	})
}
