package main

import (
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv/guide"
)

// These tests follow docs/ca.md and docs/certificates.md.

// TestCAByHand makes a VPN without serving the CA: certificates are copied, a key
// never leaves its host, and a list revokes.
func TestCAByHand(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/ca.md", "By hand: a VPN in five minutes", "Keys that never leave their host", "A host that must not get in any more", "What there is")
	v := newVillage(t)
	v.host("office", lab.None)
	v.host("alice", lab.PortRestricted)
	v.host("bob", lab.PortRestricted)
	w := v.follow(g, "office")

	w.does("campagnol ca init")
	w.does("campagnol ca issue alice")
	w.does("mkdir")
	w.does("scp")
	w.does("rm CA/hosts/alice/key.pem")
	conf := g.Text(t, "ini", 0)
	w.write("alice", "/etc/campagnol.conf", conf)
	w.does("campagnol_rdv -D")
	w.does("campagnol -D")

	w.does("mkdir")
	w.does("(umask 077; openssl genpkey")
	w.does("openssl req")
	w.does("scp")
	w.does("campagnol ca sign bob.csr")
	w.does("scp")
	w.run("office", "test ! -e CA/hosts/bob/key.pem")
	// As the document says, the list that is empty can be there from the start.
	w.scp("office", "scp CA/crl.pem root@bob:/etc/campagnol/crl.pem")
	w.write("bob", "/etc/campagnol.conf", strings.Replace(conf, "vpn_ip = 10.9.0.1", "vpn_ip = 10.9.0.2", 1)+g.Text(t, "ini", 1))
	w.run("bob", "campagnol -D")
	w.pings("bob", "10.9.0.1")
	w.pings("alice", "10.9.0.2")

	w.does("campagnol ca revoke alice")
	began := time.Now()
	w.does("scp CA/crl.pem")
	w.wantCut("bob", "10.9.0.1", began)
	w.does("campagnol ca crl")
	w.does("campagnol ca list")
	if out := w.does("campagnol ca show bob"); !strings.Contains(out, "10.9.0.2") {
		t.Errorf("certificate of bob: %q", out)
	}
}

// TestCACertificates follows docs/certificates.md, and renews.
func TestCACertificates(t *testing.T) {
	t.Parallel()
	says := guide.Open(t, "docs/certificates.md")
	renewal := guide.Open(t, "docs/ca.md", "Renewal")
	v := newVillage(t)
	v.host("office", lab.None)
	v.host("alice", lab.None)
	v.run("office", "campagnol ca init && campagnol ca issue alice --ip 10.9.0.1")
	v.run("alice", "mkdir /etc/campagnol")
	w := v.follow(says, "office")
	w.scp("office", "scp CA/hosts/alice/*.pem root@alice:/etc/campagnol/")

	if out := w.does("campagnol ca issue alice --renew --ip 10.9.0.42"); !strings.Contains(out, "issued a certificate for alice (10.9.0.42)") {
		t.Errorf("another address: %q", out)
	}
	if out := w.does("campagnol ca issue rdv --rdv"); !strings.Contains(out, "issued a certificate for rdv") {
		t.Errorf("the server's certificate: %q", out)
	}
	w.guide = renewal
	if out := w.does("campagnol ca issue alice --renew"); !strings.Contains(out, "alice (10.9.0.42)") {
		t.Errorf("the renewal does not keep the address: %q", out)
	}
	w.does("scp")
	if out := w.does("campagnol ca sign alice.pem"); !strings.Contains(out, "alice (10.9.0.1)") {
		t.Errorf("the renewal of alice.pem does not keep its address: %q", out)
	}
}

// TestCAServedByServer serves the CA on the rendezvous server; a host joins, and the
// CA gets a new key.
func TestCAServedByServer(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/ca.md", "Serving the CA", "On the rendezvous server", "Hosts that join by themselves", "A new key for the CA")
	v := newVillage(t)
	v.host("alice", lab.PortRestricted)
	v.host("bob", lab.PortRestricted)
	w := v.follow(g, villageServer)
	w.does("campagnol ca init --rdv")
	w.does("campagnol ca settings")
	w.does("campagnol_rdv -D --authority")
	w.words["TOKEN"] = tokenIn(t, w.does("campagnol ca invite alice"))
	w.does("campagnol join")
	late := tokenIn(t, w.does("campagnol ca invite --quiet bob"))
	w.does("campagnol ca invitations")
	w.does("campagnol ca uninvite")
	w.fails("bob", "campagnol join "+late, "withdrawn")

	w.does("campagnol ca rotate")
	w.does("campagnol ca rotate --status")
	// The bulletin, and the list of the new key, which may come a moment later.
	w.until("alice", "campagnol status", "has added the authority CN=Campagnol VPN CA 2")
	w.until("alice", "campagnol status", "of CN=Campagnol VPN CA 2 from the RDV server")
	w.does("campagnol renew")
	w.until(villageServer, "campagnol ca rotate --status", "all hosts have a certificate by the new key")
	w.does("campagnol ca rotate --status")
	w.does("campagnol ca rotate --finish")
	w.until("alice", "campagnol status", "the authority CN=Campagnol VPN CA has retired")
}

// TestCAServedElsewhere serves the CA on a computer behind a NAT.
func TestCAServedElsewhere(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/ca.md", "Serving the CA", "On another computer")
	v := newVillage(t)
	v.host("office", lab.PortRestricted)
	v.host("alice", lab.PortRestricted)
	w := v.follow(g, "office")
	w.does("campagnol ca init --rdv")
	w.does("campagnol ca settings")
	w.does("campagnol ca issue rdv --rdv")
	w.does("mkdir")
	w.does("scp -p CA/hosts/rdv")
	w.does("campagnol_rdv -D")
	w.does("campagnol ca serve -D")
	out := w.run("alice", "campagnol join "+w.invite("office", "alice"))
	if !strings.Contains(out, "this host is alice, 10.9.0.1") {
		t.Errorf("alice joins: %q", out)
	}
}
