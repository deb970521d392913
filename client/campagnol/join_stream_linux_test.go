package main

import (
	"strings"
	"testing"

	"campagnol/internal/lab"
)

// TestServeWithoutUDP: the network of the computer with the CA lets out no UDP. The
// authority is served by TLS.
func TestServeWithoutUDP(t *testing.T) {
	t.Parallel()
	v := newVillage(t)
	office, err := v.lab.AddNAT("nat_office", lab.NATOptions{Kind: lab.PortRestricted})
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := v.lab.AddHost("keeper", office)
	if err != nil {
		t.Fatal(err)
	}
	v.settle("keeper", keeper)
	v.run("keeper", "campagnol ca init --rdv "+villageServer+" --network 10.9.0.0/24 && campagnol ca issue rdv --rdv")
	copyFiles(t, v.path("keeper", "/root/CA/hosts/rdv"), v.path(villageServer, "/etc/campagnol"))
	v.run(villageServer, "campagnol_rdv -D --certificate /etc/campagnol/certificate.pem --key /etc/campagnol/key.pem --ca /etc/campagnol/ca.pem --state /var/lib/campagnol_rdv --tls-port 443")
	if _, err := office.LoseUDP(); err != nil {
		t.Fatal(err)
	}
	v.run("keeper", "campagnol ca serve -D")
	v.host("alice", lab.PortRestricted)
	v.run("alice", "campagnol join "+v.invite("keeper", "alice"))
	v.run("keeper", "campagnol ca revoke alice")
}

// TestJoinWithoutUDP: a host whose network lets out no UDP joins by TLS, its client
// registers by that, and it is reached.
func TestJoinWithoutUDP(t *testing.T) {
	t.Parallel()
	v := newVillage(t)
	v.run(villageServer, "campagnol ca init --rdv "+villageServer+" --network 10.9.0.0/24")
	v.run(villageServer, "campagnol_rdv -D --authority --relay --tls-port 443")
	v.host("alice", lab.PortRestricted)
	v.run("alice", "campagnol join "+v.invite(villageServer, "alice"))
	office, err := v.lab.AddNAT("nat_office", lab.NATOptions{Kind: lab.PortRestricted})
	if err != nil {
		t.Fatal(err)
	}
	bob, err := v.lab.AddHost("bob", office)
	if err != nil {
		t.Fatal(err)
	}
	v.settle("bob", bob)
	dark, err := office.LoseUDP()
	if err != nil {
		t.Fatal(err)
	}
	if out := v.run("bob", "campagnol join "+v.invite(villageServer, "bob")); !strings.Contains(out, "by TLS") {
		t.Errorf("it does not say that it is by TLS")
	}
	v.pings("bob", "10.9.0.1")
	v.pings("alice", "10.9.0.2")
	if lost, err := dark.Lost(); err != nil || lost == 0 {
		t.Errorf("%d packets of UDP were lost, %v; want some", lost, err)
	}
}
