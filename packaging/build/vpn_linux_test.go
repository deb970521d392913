package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// A vpn is the network of a machine with systemd, alice, and a host without it, bob, whose
// client is a process of the laboratory's.
type vpn struct {
	t         *testing.T
	build     *build
	tree      *tree
	programs  string // the folder with the programs
	lab       *lab.Lab
	alice     *machine
	bob       *lab.Host
	authority *pkitest.CA
}

var bobVPN = netip.MustParseAddr("10.9.0.2")

// newVPN makes the hosts. Nothing is installed on alice yet, and nothing runs on bob.
func newVPN(t *testing.T) *vpn {
	t.Helper()
	testenv.Root(t)
	v := &vpn{t: t, authority: pkitest.NewCA(t, "ca", time.Now())}
	v.build, v.tree = treeForTests(t)
	v.programs = filepath.Join(v.build.work, "amd64")
	network, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	v.lab = network
	hosts := map[string]*lab.Host{}
	for _, name := range []string{"alice", "bob"} {
		if hosts[name], err = network.AddHost(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	v.bob = hosts["bob"]
	v.alice = newMachine(t, hosts["alice"])
	return v
}

// install makes the package of a version, and installs it on alice.
func (v *vpn) install(version string) {
	v.t.Helper()
	b := *v.build
	b.version = version
	deb, err := b.pack(v.tree, "deb")
	if err != nil {
		v.t.Fatal(err)
	}
	v.alice.run("apt-get", "install", "--yes", "--quiet", v.alice.put(deb))
}

// certify gives somebody a certificate and a key in a folder of this machine, and returns
// the lines of a configuration that names them as if they were in another.
func (v *vpn) certify(dir, as, name string, options ...pkitest.Edit) string {
	v.t.Helper()
	cert, key := v.authority.Issue(v.t, name, options...).WriteFiles(v.t, dir)
	ca := v.authority.WriteFile(v.t, dir)
	return fmt.Sprintf("[SECURITY]\ncertificate = %s\nkey = %s\nca_certificates = %s\n",
		filepath.Join(as, filepath.Base(cert)), filepath.Join(as, filepath.Base(key)), filepath.Join(as, filepath.Base(ca)))
}

// configure writes a configuration on alice, for root and the group of the services, with
// lines of the test's own.
func (v *vpn) configure(file, name, addr, network, lines string) {
	v.t.Helper()
	security := v.certify(v.alice.path("/etc/campagnol"), "/etc/campagnol", name, pkitest.Addrs(addr))
	v.alice.write(file, fmt.Sprintf("[NETWORK]\nserver_host = %v\n[VPN]\nvpn_ip = %s\nnetwork = %s\n%s%s",
		v.alice.host.Addr(), addr, network, security, lines), 0o640)
	v.share()
}

// share lets the services read what is in /etc.
func (v *vpn) share() {
	v.t.Helper()
	v.alice.run("find", "/etc/campagnol", "/etc/campagnol.conf", "-type", "f", "-exec", "chgrp", "campagnol", "{}", "+", "-exec", "chmod", "g+r", "{}", "+")
}

// serve writes the options of the rendezvous server on alice.
func (v *vpn) serve() {
	v.t.Helper()
	v.certify(v.alice.path("/etc/campagnol"), "", "rdv", func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) })
	v.alice.write("/etc/campagnol/rdv.env", `CAMPAGNOL_RDV_OPTIONS="-v --state /var/lib/campagnol_rdv/state`+
		` --certificate /etc/campagnol/rdv.pem --key /etc/campagnol/rdv.key --ca /etc/campagnol/ca.pem"`+"\n", 0o640)
}

// startBob starts bob's client.
func (v *vpn) startBob(lines string) {
	v.t.Helper()
	v.start(v.bob, bobVPN, lines)
}

// start starts a client at a host, as root and without anything that confines it, and
// waits until it is registered.
func (v *vpn) start(at *lab.Host, vpn netip.Addr, lines string) {
	v.t.Helper()
	dir := v.t.TempDir()
	security := v.certify(dir, dir, at.Name(), pkitest.Addrs(vpn.String()))
	conf := filepath.Join(dir, "campagnol.conf")
	text := fmt.Sprintf("[NETWORK]\nserver_host = %v\n[VPN]\nvpn_ip = %v\nnetwork = 10.9.0.0/24\n%s[CLIENT]\nstate_dir = %s\ncontrol_socket = none\n%s",
		v.alice.host.Addr(), vpn, security, dir, lines)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
	p, err := at.Start("campagnol", filepath.Join(v.programs, "campagnol"), "-v", "--log-format", "json", conf)
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), 20*time.Second)
	defer cancel()
	if _, err := p.Await(ctx, time.Time{}, lab.Pattern{Message: "Registration complete"}); err != nil {
		v.t.Fatalf("%v\n%s", err, p.Tail())
	}
}

// ping has alice reach bob by the tunnel.
func (v *vpn) ping() {
	v.t.Helper()
	v.alice.await("alice reaches bob by the tunnel", func() error {
		out, err := v.alice.try("ping", "-c", "1", "-W", "2", bobVPN.String())
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}
