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
	r := readIn(v, g)
	r.home = "office"

	r.next("campagnol ca init")
	r.next("campagnol ca issue alice")
	r.next("mkdir")
	r.next("scp")
	r.next("rm CA/hosts/alice/key.pem")
	conf := g.Text(t, "ini", 0)
	v.addTo("alice", "/etc/campagnol.conf", conf)
	r.next("campagnol_rdv -D")
	r.next("campagnol -D")

	r.next("mkdir")
	r.next("(umask 077; openssl genpkey")
	r.next("openssl req")
	r.next("scp")
	r.next("campagnol ca sign bob.csr")
	r.next("scp")
	v.run("office", "test ! -e CA/hosts/bob/key.pem")
	// As the document says, the list that is empty can be there from the start.
	v.scp("office", "scp CA/crl.pem root@bob:/etc/campagnol/crl.pem")
	v.addTo("bob", "/etc/campagnol.conf", strings.Replace(conf, "vpn_ip = 10.9.0.1", "vpn_ip = 10.9.0.2", 1)+g.Text(t, "ini", 1))
	v.run("bob", "campagnol -D")
	v.pings("bob", "10.9.0.1")
	v.pings("alice", "10.9.0.2")

	r.next("campagnol ca revoke alice")
	began := time.Now()
	r.next("scp CA/crl.pem")
	v.wantCut("bob", "10.9.0.1", began)
	r.next("campagnol ca crl")
	r.next("campagnol ca list")
	if out := r.next("campagnol ca show bob"); !strings.Contains(out, "10.9.0.2") {
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
	r := readIn(v, says)
	r.home = "office"
	v.scp("office", "scp CA/hosts/alice/*.pem root@alice:/etc/campagnol/")

	if out := r.next("campagnol ca issue alice --renew --ip 10.9.0.42"); !strings.Contains(out, "issued a certificate for alice (10.9.0.42)") {
		t.Errorf("another address: %q", out)
	}
	if out := r.next("campagnol ca issue rdv --rdv"); !strings.Contains(out, "issued a certificate for rdv") {
		t.Errorf("the server's certificate: %q", out)
	}
	r.g = renewal
	if out := r.next("campagnol ca issue alice --renew"); !strings.Contains(out, "alice (10.9.0.42)") {
		t.Errorf("the renewal does not keep the address: %q", out)
	}
	r.next("scp")
	if out := r.next("campagnol ca sign alice.pem"); !strings.Contains(out, "alice (10.9.0.1)") {
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
	r := readIn(v, g)
	r.home = villageServer
	r.next("campagnol ca init --rdv")
	r.next("campagnol ca settings")
	r.next("campagnol_rdv -D --authority")
	r.next("campagnol ca invite alice")
	r.next("campagnol join")
	r.next("campagnol ca invite --quiet bob")
	r.next("campagnol ca invitations")
	r.next("campagnol ca uninvite")
	v.fails("bob", "campagnol join "+r.invited["bob"], "withdrawn")

	r.next("campagnol ca rotate")
	r.next("campagnol ca rotate --status")
	// At once: alice waits for the bulletin, and for the list of the new key.
	r.next("campagnol renew")
	v.until(villageServer, "campagnol ca rotate --status", "all hosts have a certificate by the new key")
	r.next("campagnol ca rotate --status")
	r.next("campagnol ca rotate --finish")
	v.until("alice", "campagnol status", "the authority CN=Campagnol VPN CA has retired")
}

// TestCAServedElsewhere serves the CA on a computer behind a NAT.
func TestCAServedElsewhere(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/ca.md", "Serving the CA", "On another computer")
	v := newVillage(t)
	v.host("office", lab.PortRestricted)
	v.host("alice", lab.PortRestricted)
	r := readIn(v, g)
	r.home = "office"
	r.next("campagnol ca init --rdv")
	r.next("campagnol ca settings")
	r.next("campagnol ca issue rdv --rdv")
	r.next("mkdir")
	r.next("scp -p CA/hosts/rdv")
	r.next("campagnol_rdv -D")
	r.next("campagnol ca serve -D")
	out := v.run("alice", "campagnol join "+v.invite("office", "alice"))
	if !strings.Contains(out, "this host is alice, 10.9.0.1") {
		t.Errorf("alice joins: %q", out)
	}
}
