package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/pki/pkitest"
	"campagnol/punch/simnet"
	"campagnol/rdv/channel"
	"campagnol/tunnel/device"
)

// A textLog is what was logged, for several goroutines.
type textLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *textLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *textLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// A testNode is a node whose client runs on a network in memory.
type testNode struct {
	*node
	ca  *pkitest.CA
	log *textLog
	dir string // with files and state
}

// startTestNode starts a node with the VPN address 10.9.0.1. extra is added to its
// configuration, in [SECURITY].
func startTestNode(t *testing.T, extra string) *testNode {
	t.Helper()
	dir := t.TempDir()
	n := &testNode{node: &node{news: make(chan struct{}, 1), level: new(slog.LevelVar)}, ca: pkitest.NewCA(t, "test CA", time.Now()), log: new(textLog), dir: dir}
	n.node.log = slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cert, key := n.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1")).WriteFiles(t, dir)
	file := filepath.Join(dir, "campagnol.conf")
	text := "[NETWORK]\nserver_host = 127.0.0.1\n[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n[CLIENT]\ncontrol_socket = none\nstate_dir = " + dir +
		"\n[SECURITY]\ncertificate = " + cert + "\nkey = " + key + "\nca_certificates = " + n.ca.WriteFile(t, dir) + "\n" + extra
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems, err := conf.LoadClient(file)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	trust, err := loadTrust(t.Context(), cfg, time.Now(), n.node.log, n.warn)
	if err != nil {
		t.Fatal(err)
	}
	trust.news = n.news
	network := simnet.New(1, simnet.Delay(time.Millisecond))
	p := &parts{cfg: cfg, trust: trust, where: &addresses{servers: client.At(netip.MustParseAddrPort("198.51.100.1:57888"))}, kernel: new(device.Kernel)}
	p.client, err = client.New(client.Config{
		VPNAddr: cfg.VPNIP, Network: cfg.Network, Conn: network.Internet().Listen("198.51.100.2:5000"),
		Device: device.NewMemory("tun0"), Settings: p.settings(cfg, trust), Log: n.node.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.cfg, n.parts = cfg, p
	n.show()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.client.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait(); network.Close() })
	return n
}

// objects returns what takes what comes from the RDV now.
func (n *testNode) objects() client.ObjectStore { return n.view.Load().trust.objects() }

// list makes a revocation list.
func (n *testNode) list(t *testing.T, number int64, revoked ...*x509.Certificate) (channel.Object, []byte) {
	t.Helper()
	der := n.ca.CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(number), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
		for _, c := range revoked {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: l.ThisUpdate})
		}
	})
	return objectOf(der), der
}

func objectOf(b []byte) channel.Object {
	return channel.Object{Kind: channel.CRL, Size: uint32(len(b)), Hash: sha256.Sum256(b)}
}

// told reports whether the node was told of something new.
func (n *testNode) told() bool {
	select {
	case <-n.news:
		return true
	default:
		return false
	}
}

// TestListFromRDV: a revocation list that comes from the RDV is stored, counts, also
// after a restart, and is shown; an old one, and one that nobody has signed, is not.
func TestListFromRDV(t *testing.T) {
	n := startTestNode(t, "")
	bob := n.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))
	vpn := netip.MustParseAddr("10.9.0.2")
	check := func(when string, revoked bool) {
		t.Helper()
		err := n.view.Load().trust.verify(time.Now(), vpn, bob.Raw(), false)
		if got := err != nil && strings.Contains(err.Error(), "revoked"); got != revoked || err != nil && !got {
			t.Errorf("%s: %v, want revoked %v", when, err, revoked)
		}
	}
	check("before", false)
	o, der := n.list(t, 7, bob.Cert)
	if n.objects().Has(o) {
		t.Error("the list is there before it has come")
	}
	if err := n.objects().Take(o, der); err != nil || !n.told() {
		t.Fatalf("a good list: %v", err)
	}
	n.useNews(t.Context())
	check("after the list", true)
	if !n.objects().Has(o) || n.log.count("Revocation list {number} of {authority} received") != 1 || n.log.count("level=INFO+2") == 0 {
		t.Error("the list is not known, or not logged as a notice")
	}
	older, olderDER := n.list(t, 6)
	if err := n.objects().Take(older, olderDER); err == nil || n.told() {
		t.Errorf("an older list: %v", err)
	}
	mallory := pkitest.NewCA(t, "test CA", time.Now())
	if err := n.objects().Take(channel.Object{Kind: channel.CRL}, mallory.CRL(t, time.Now(), time.Now().Add(time.Hour))); err == nil || n.told() {
		t.Errorf("a list of another authority with the same name: %v", err)
	}
	if n.log.count("add the certificate to ca_certificates") != 1 {
		t.Error("nobody is told why the list is not used")
	}
	check("after bad lists", true)

	again, err := loadTrust(t.Context(), n.cfg, time.Now(), n.node.log, n.warn)
	if err != nil {
		t.Fatal(err)
	}
	ds := revocationDocuments(again.policy.Revocations(time.Now()))
	if len(ds) != 1 || ds[0].Authority != "CN=test CA" || ds[0].Number != "7" || ds[0].Source != control.FromRDV || ds[0].Certificates != 1 ||
		!strings.HasPrefix(ds[0].Where, "received, "+filepath.Join(n.dir, "crls")) || ds[0].NextUpdate.IsZero() {
		t.Errorf("after a restart: %+v", ds)
	}
	if err := again.verify(time.Now(), vpn, bob.Raw(), true); err == nil {
		t.Error("after a restart bob is not revoked any more")
	}
	// One that lets bob in again.
	o, der = n.list(t, 8)
	if err := n.objects().Take(o, der); err != nil || !n.told() {
		t.Fatal(err)
	}
	n.useNews(t.Context())
	check("after the next list", false)
}

// TestListFromRDVAndFile: whichever has the higher number counts.
func TestListFromRDVAndFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crl.pem")
	pkitest.Write(t, file, "X509 CRL", []byte("to come"))
	n := startTestNode(t, "crl_file = "+file+"\n")
	bob := n.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))
	received, der := n.list(t, 5)
	if err := n.objects().Take(received, der); err != nil {
		t.Fatal(err)
	}
	n.useNews(t.Context())
	inFile, fileDER := n.list(t, 6, bob.Cert)
	pkitest.Write(t, file, "X509 CRL", fileDER)
	trust, err := loadTrust(t.Context(), n.cfg, time.Now(), n.node.log, n.warn)
	if err != nil {
		t.Fatal(err)
	}
	if err := trust.verify(time.Now(), netip.MustParseAddr("10.9.0.2"), bob.Raw(), false); err == nil {
		t.Error("an older list that was received counts instead of that in crl_file")
	}
	if !trust.objects().Has(inFile) {
		t.Error("what is in crl_file would be fetched")
	}
	ds := revocationDocuments(trust.policy.Revocations(time.Now()))
	if len(ds) != 1 || ds[0].Number != "6" || ds[0].Source != control.FromFile || ds[0].Where != file+": PEM block 1" {
		t.Errorf("%+v", ds)
	}
	// An older file does not bring bob back.
	newest, der := n.list(t, 9, bob.Cert)
	if err := trust.objects().Take(newest, der); err != nil {
		t.Fatal(err)
	}
	_, fileDER = n.list(t, 8)
	pkitest.Write(t, file, "X509 CRL", fileDER)
	if trust, err = loadTrust(t.Context(), n.cfg, time.Now(), n.node.log, n.warn); err != nil {
		t.Fatal(err)
	}
	if err := trust.verify(time.Now(), netip.MustParseAddr("10.9.0.2"), bob.Raw(), false); err == nil {
		t.Error("an older crl_file counts instead of the list that was received")
	}
}

// TestListDuringReload: a list that arrives while the configuration is read again
// counts, although what took it is not in use any more.
func TestListDuringReload(t *testing.T) {
	n := startTestNode(t, "")
	bob := n.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))
	before := n.objects()
	n.renew(t.Context())
	o, der := n.list(t, 1, bob.Cert)
	if err := before.Take(o, der); err != nil || !n.told() {
		t.Fatal(err)
	}
	n.useNews(t.Context())
	if err := n.view.Load().trust.verify(time.Now(), netip.MustParseAddr("10.9.0.2"), bob.Raw(), false); err == nil {
		t.Error("bob is not revoked")
	}
}

// TestOurselvesRevoked: who is revoked is told what to do.
func TestOurselvesRevoked(t *testing.T) {
	n := startTestNode(t, "")
	o, der := n.list(t, 1, n.parts.trust.identity.Chain[0])
	if err := n.objects().Take(o, der); err != nil {
		t.Fatal(err)
	}
	n.useNews(t.Context())
	const text = "Our own certificate has been revoked"
	if n.log.count(text) != 1 || n.log.count("level=ERROR") != 1 || n.log.count("campagnol ca issue") == 0 {
		t.Error("the log does not say that we are revoked, and what to do")
	}
	if _, err := loadTrust(t.Context(), n.cfg, time.Now(), n.node.log, n.warn); err != nil || n.log.count(text) != 2 {
		t.Errorf("at the next start: %v, logged %d times", err, n.log.count(text)-1)
	}
}

// TestWatchUsesNews: the node's watch uses a list as soon as it is told of it.
func TestWatchUsesNews(t *testing.T) {
	n := startTestNode(t, "")
	bob := n.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { n.watch(ctx) })
	defer wg.Wait()
	defer cancel()
	o, der := n.list(t, 1, bob.Cert)
	if err := n.objects().Take(o, der); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := n.view.Load().trust.verify(time.Now(), netip.MustParseAddr("10.9.0.2"), bob.Raw(), false); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the list is not used")
		}
	}
}

// TestObjectKinds: what nothing can be done with is not fetched.
func TestObjectKinds(t *testing.T) {
	n := startTestNode(t, "")
	for _, kind := range []channel.ObjectKind{0, 99} {
		if !n.objects().Has(channel.Object{Kind: kind, Size: 1}) {
			t.Errorf("kind %d is fetched", kind)
		}
	}
	if n.objects().Has(channel.Object{Kind: channel.CRL, Size: 1}) {
		t.Error("a revocation list is not fetched")
	}
	if s := (&trust{}).objects(); s != nil {
		t.Errorf("a trust without lists takes objects: %v", s)
	}
	if n.objects().Has(channel.Object{Kind: channel.Bulletin, Size: 1}) {
		t.Error("a bulletin is not fetched")
	}
}
