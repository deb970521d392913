package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
	"campagnol/pki"
	"campagnol/pki/ca"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
	"campagnol/punch/udp"
	"campagnol/rdv"
	"campagnol/rdv/channel"
)

// serveHere puts a server in the process of the test, with an authority, in the place
// of the mesh's server. What it trusts is read from files that the result reads again.
func (m *mesh) serveHere(authority rdv.Authority) (reload func()) {
	m.t.Helper()
	if err := m.rdv.Stop(); err != nil {
		m.t.Fatal(err)
	}
	trust := func() *rdv.Trust {
		m.t.Helper()
		id, err := pki.LoadIdentity(m.creds.Certificate, m.creds.Key)
		if err != nil {
			m.t.Fatal(err)
		}
		policy, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: m.creds.CA}, time.Now())
		if err != nil {
			m.t.Fatal(err)
		}
		return rdv.NewTrust(id, policy)
	}
	var conn *udp.Conn
	err := m.server.Do(func() (err error) {
		conn, err = udp.Listen(udp.Config{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), 57888), Log: slog.New(slog.DiscardHandler)})
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	log := new(textLog)
	s := rdv.New(rdv.Config{Conn: conn, Mode: rdv.Strict, Trust: trust(), Authority: authority, Log: slog.New(slog.NewTextHandler(log, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Run(ctx); err != nil {
			m.t.Error(err)
		}
	})
	m.t.Cleanup(func() {
		cancel()
		run.Wait()
		if m.t.Failed() {
			m.t.Logf("log of the server:\n%s", log.b.String())
		}
	})
	return func() { s.SetTrust(trust()) }
}

// campagnol runs the program on the peer's host, and wants it to succeed.
func (p *meshPeer) campagnol(args ...string) {
	p.m.t.Helper()
	out, err := exec.CommandContext(p.m.t.Context(), filepath.Join(binaries, "campagnol"), args...).CombinedOutput()
	if err != nil {
		p.m.t.Fatalf("campagnol %q: %v\n%s", args, err, out)
	}
}

// TestRotationForReal: the key of the authority is replaced under a stream of numbered
// packets between real clients, which renew one after the other.
func TestRotationForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	dir := filepath.Join(m.lab.Dir(), "ca")
	service, err := ca.OpenService(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Open(dir, ca.Files{})
	if err != nil {
		t.Fatal(err)
	}
	reload := m.serveHere(serviceAuthority{service})
	a, b := m.peers[0], m.peers[1]
	sockets := []string{a.withSocket(), b.withSocket()}
	for _, p := range m.peers {
		p.start()
	}
	a.ping(b, 3)
	all := func(what string, ok func(*control.Status) bool) {
		t.Helper()
		for _, s := range sockets {
			awaitStatus(t, s, what, ok)
		}
	}
	before := tallyOf(t, a, b, sockets)
	result := make(chan numberedResult, 1)
	go func() { result <- numbered(t, a, b, 1e6, 30*time.Second) }()

	if _, err := authority.Rotate(time.Now(), rand.Reader, ca.InitOptions{}); err != nil {
		t.Fatal(err)
	}
	all("that both authorities are trusted", func(s *control.Status) bool { return len(s.Bulletin.Added) == 1 && len(s.Bulletin.Retired) == 0 })
	if _, err := authority.Issue(time.Now(), rand.Reader, ca.Request{Name: m.server.Name(), Rendezvous: true, Days: 1, Renew: true}); err != nil {
		t.Fatal(err)
	}
	reload()
	for i, p := range m.peers {
		keys := peerOf(t, statusAt(t, sockets[1-i]), p.vpn).Rekeys
		p.campagnol("renew", "--socket", sockets[i])
		awaitStatus(t, sockets[1-i], "that the new certificate was shown", func(s *control.Status) bool { return peerOf(t, s, p.vpn).Rekeys > keys })
	}
	if _, err := authority.FinishRotation(time.Now(), rand.Reader, false); err != nil {
		t.Fatal(err)
	}
	all("that the old authority has retired", func(s *control.Status) bool { return len(s.Bulletin.Retired) == 1 && s.RDV.Registered })
	r := <-result
	change := tallyOf(t, a, b, sockets).since(before)
	t.Logf("%v; %v", r, change)
	if r.twice != 0 || change.between > change.wire || uint64(r.lost()) > change.between+change.hosts {
		t.Errorf("packets were lost, or came twice, for which the kernel has no reason")
	}
	for _, p := range m.peers {
		if n := p.count("New DTLS connection opened with peer"); n != 1 {
			t.Errorf("%s opened %d connections, want one", p.Name(), n)
		}
	}

	// A policy decides about the tunnel that is open.
	if _, err := authority.Publish(time.Now(), rand.Reader, "default deny\n"); err != nil {
		t.Fatal(err)
	}
	all("that the policy of the VPN is obeyed", func(s *control.Status) bool { return s.Policy.Source == control.FromBulletin && len(s.Peers) == 0 })
	if pings, err := a.Ping(t.Context(), b.vpn, lab.PingOptions{Count: 2}); err != nil || pings.Received() != 0 {
		t.Errorf("pings against the policy: %v, %v", pings, err)
	}
}

// A minuteAuthority renews every certificate for a minute.
type minuteAuthority struct {
	t  *testing.T
	ca *pkitest.CA

	mu     sync.Mutex
	issued map[string]*x509.Certificate // by serial number
}

func (m *minuteAuthority) Objects(time.Time) ([]rdv.Object, error) {
	return []rdv.Object{{Kind: channel.CRL, Content: m.ca.CRL(m.t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))}}, nil
}

// issue issues a certificate for a key.
func (m *minuteAuthority) issue(name, vpn string, key crypto.Signer) *pkitest.Leaf {
	m.mu.Lock()
	defer m.mu.Unlock()
	leaf := m.ca.IssueKey(m.t, name, key, pkitest.Addrs(vpn), pkitest.Valid(time.Now().Add(-time.Second), time.Now().Add(time.Minute)))
	m.issued[leaf.Cert.SerialNumber.String()] = leaf.Cert
	return leaf
}

// publicKey is the key of somebody else.
type publicKey struct {
	crypto.Signer
	public crypto.PublicKey
}

func (k publicKey) Public() crypto.PublicKey { return k.public }

// Answer renews a certificate.
func (m *minuteAuthority) Answer(_ time.Time, _ netip.AddrPort, request []byte) []byte {
	r, err := enroll.ParseRequest(request)
	if err != nil {
		return nil
	}
	rr, err := r.Renewal()
	if err != nil {
		return nil
	}
	m.mu.Lock()
	cert := m.issued[rr.Serial.String()]
	m.mu.Unlock()
	if cert == nil {
		return r.Plain((&enroll.Refusal{Code: enroll.NotIssued, Text: "unknown"}).Append(nil))
	}
	key, err := rr.Check(cert)
	if err != nil {
		return r.Plain((&enroll.Refusal{Code: enroll.Denied, Text: err.Error()}).Append(nil))
	}
	leaf := m.issue(cert.Subject.CommonName, cert.IPAddresses[0].String(), publicKey{public: key})
	return r.Plain((&enroll.Grant{Chain: leaf.Raw()}).Append(nil))
}

// TestMinutes: certificates that are good for a minute are renewed in time, again and
// again, under a stream of numbered packets.
func TestMinutes(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	authority := &minuteAuthority{t: t, ca: pkitest.NewCA(t, "minutes", time.Now()), issued: map[string]*x509.Certificate{}}
	dir := t.TempDir()
	m.creds.Certificate, m.creds.Key = authority.ca.Issue(t, "rdv", func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) }).WriteFiles(t, dir)
	m.creds.CA = authority.ca.WriteFile(t, dir)
	m.serveHere(authority)
	a, b := m.peers[0], m.peers[1]
	sockets := []string{a.withSocket(), b.withSocket()}
	for _, p := range m.peers {
		cert, key := authority.issue(p.Name(), p.vpn.String(), pkitest.NewKey(t)).WriteFiles(t, dir)
		p.configure("[SECURITY]\nrenew_certificate = yes\ncertificate = " + cert + "\nkey = " + key + "\nca_certificates = " + m.creds.CA + "\n")
		p.start()
	}
	a.ping(b, 3)
	first := time.Now()
	before := tallyOf(t, a, b, sockets)
	r := numbered(t, a, b, 1e6, 100*time.Second)
	change := tallyOf(t, a, b, sockets).since(before)
	t.Logf("%v; %v", r, change)
	if r.twice != 0 || change.between > change.wire || uint64(r.lost()) > change.between+change.hosts {
		t.Errorf("packets were lost, or came twice, for which the kernel has no reason")
	}
	for i, p := range m.peers {
		s := statusAt(t, sockets[i])
		if n := p.count("Our certificate was renewed"); n < 2 || s.Certificates[0].Expires.Before(first.Add(100*time.Second)) {
			t.Errorf("%s has renewed its certificate %d times, until %v", p.Name(), n, s.Certificates[0].Expires)
		}
		if n := p.count("New DTLS connection opened with peer"); n != 1 || !s.RDV.Registered {
			t.Errorf("%s opened %d connections, want one; registered: %v", p.Name(), n, s.RDV.Registered)
		}
	}
}
