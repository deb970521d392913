package main

import (
	"strings"
	"testing"

	"campagnol/internal/lab"
)

// TestJoinDomain: where the authority knows a domain, hosts that join answer for the
// names in it: the resolver of a host, which is told, finds the other one.
func TestJoinDomain(t *testing.T) {
	t.Parallel()
	v := newVillage(t)
	v.host("alice", lab.None)
	v.host("bob", lab.PortRestricted)
	v.run(villageServer, "campagnol ca init --rdv "+villageServer+" --network 10.9.0.0/24 --domain VPN.Internal.")
	if out := v.run(villageServer, "campagnol ca settings"); !strings.Contains(out, "vpn.internal") {
		t.Errorf("the settings are\n%s", out)
	}
	v.fails(villageServer, "campagnol ca settings --domain 'vpn internal'", "is not a domain")
	v.run(villageServer, "campagnol_rdv -D --authority")
	for _, name := range []string{"alice", "bob"} {
		v.run(name, "campagnol join "+v.invite(villageServer, name))
	}
	if out := v.run("bob", "cat /etc/campagnol.conf"); !strings.Contains(out, "\ndns_domain = vpn.internal\n") {
		t.Errorf("bob's configuration is\n%s", out)
	}
	v.run("alice", "echo 'hosts: dns' >/etc/nsswitch.conf; echo 'nameserver 10.9.0.1' >/etc/resolv.conf")
	eventually(t, "alice's resolver does not find bob", func() bool {
		out, err := v.try("alice", "getent ahostsv4 bob.vpn.internal")
		return err == nil && strings.Contains(out, "10.9.0.2")
	})
	v.run("alice", "campagnol ping -c 1 bob.vpn.internal")
}
