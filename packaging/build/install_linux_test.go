package main

import (
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/testenv"
	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// originalFiles puts what a host with Campagnol 0.3.5 has into the system: the
// programs in a package of that name, and the files that people have made.
func (r *root) originalFiles() {
	r.t.Helper()
	pack := filepath.Join(r.t.TempDir(), "original")
	for name, text := range map[string]string{
		"DEBIAN/control":         "Package: campagnol\nVersion: 0.3.5-1\nArchitecture: all\nMaintainer: x <x@localhost>\nDescription: the original\n",
		"usr/sbin/campagnol":     "#!/bin/sh\necho original\n",
		"usr/sbin/campagnol_rdv": "#!/bin/sh\necho original\n",
	} {
		file := filepath.Join(pack, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	if out, err := exec.Command("dpkg-deb", "--build", pack, pack+".deb").CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	r.run("dpkg", "-i", r.put(pack+".deb"))

	authority := pkitest.NewCA(r.t, "test CA", time.Now())
	dir := r.t.TempDir()
	cert, key := authority.Issue(r.t, "alice", pkitest.Addrs("10.9.0.1")).WriteFiles(r.t, dir)
	server := authority.Issue(r.t, "rdv", func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) })
	serverCert, serverKey := server.WriteFiles(r.t, dir)
	for to, from := range map[string]string{"client.pem": cert, "client.key": key, "ca.pem": authority.WriteFile(r.t, dir),
		"rdv.pem": serverCert, "rdv.key": serverKey} {
		b, err := os.ReadFile(from)
		if err != nil {
			r.t.Fatal(err)
		}
		r.write("/etc/campagnol/"+to, string(b), 0o600)
	}
	r.write("/etc/campagnol/CA/ca.key", "the key of the authority", 0o600)
	r.write("/etc/campagnol.conf", originalConfiguration, 0o600)
	r.write("/etc/campagnol/home.conf", originalConfiguration, 0o600)
}

const originalConfiguration = `[NETWORK]
server_host = 127.0.0.1
[VPN]
vpn_ip = 10.9.0.1
network = 10.9.0.0/24
[SECURITY]
certificate = /etc/campagnol/client.pem
key = /etc/campagnol/client.key
ca_certificates = /etc/campagnol/ca.pem
`

// wantFile checks mode and group of a file.
func (r *root) wantFile(name string, mode os.FileMode, gid int) {
	r.t.Helper()
	info, err := os.Stat(r.path(name))
	if err != nil {
		r.t.Error(err)
		return
	}
	st := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm() != mode || int(st.Gid) != gid || st.Uid != 0 {
		r.t.Errorf("%s: mode %o, user %d, group %d, want %o of root, group %d", name, info.Mode().Perm(), st.Uid, st.Gid, mode, gid)
	}
}

// TestInstall installs the packages on a Debian system without systemd on which
// Campagnol 0.3.5 was before, runs the services, upgrades, and removes everything.
func TestInstall(t *testing.T) {
	b, tree := treeForTests(t)
	r := newRoot(t)
	r.originalFiles()
	before := r.files()
	delete(before, "/usr/sbin/campagnol") // the original's
	delete(before, "/usr/sbin/campagnol_rdv")

	deb, err := b.pack(tree, "deb")
	if err != nil {
		t.Fatal(err)
	}
	r.run("dpkg", "-i", r.put(deb))
	for _, program := range []string{"campagnol", "campagnol_rdv"} {
		if out := r.run(program, "--version"); !strings.HasPrefix(out, program+" ") {
			t.Errorf("%s --version says %q", program, out)
		}
	}
	_, gid := r.user("campagnol")
	if got := r.read("/etc/campagnol.conf"); got != originalConfiguration {
		t.Errorf("the configuration has become %q", got)
	}
	for name, mode := range map[string]os.FileMode{"/etc/campagnol": 0o750, "/etc/campagnol.conf": 0o640, "/etc/campagnol/client.key": 0o640} {
		r.wantFile(name, mode, gid)
	}
	r.wantFile("/etc/campagnol/CA/ca.key", 0o600, 0)
	r.serve("campagnol.service", nil)
	r.serve("campagnol@.service", nil)
	r.serve("campagnol_rdv.service", map[string]string{"CAMPAGNOL_RDV_OPTIONS": "--state /var/lib/campagnol_rdv/state -p 123" +
		" --certificate /etc/campagnol/rdv.pem --key /etc/campagnol/rdv.key --ca /etc/campagnol/ca.pem"})

	const options = "CAMPAGNOL_RDV_OPTIONS=-v\n"
	r.write("/etc/campagnol/rdv.env", options, 0o640)
	if err := os.Chmod(r.path("/etc/campagnol/client.key"), 0o600); err != nil { // by somebody who knows why
		t.Fatal(err)
	}
	next := *b
	next.version = "1.0.1"
	if deb, err = next.pack(tree, "deb"); err != nil {
		t.Fatal(err)
	}
	r.run("dpkg", "-i", r.put(deb))
	if got := r.read("/etc/campagnol/rdv.env"); got != options {
		t.Errorf("after the upgrade rdv.env is %q", got)
	}
	r.wantFile("/etc/campagnol/client.key", 0o600, gid)
	if out := r.run("dpkg-query", "-W", "-f", "${Version} ${Status}", "campagnol"); out != "1.0.1 install ok installed" {
		t.Errorf("dpkg says %q", out)
	}

	r.run("dpkg", "--purge", "campagnol")
	r.wantNothingNew(before)
	r.rpm(&next, tree, before)
	r.wantNothingNew(before)
}

// wantNothingNew checks that files are those that were there before.
func (r *root) wantNothingNew(before map[string]string) {
	r.t.Helper()
	after := r.files()
	for name := range maps.Keys(after) {
		if _, ok := before[name]; !ok {
			r.t.Errorf("%s is left", name)
		}
	}
	for name := range maps.Keys(before) {
		if _, ok := after[name]; !ok {
			r.t.Errorf("%s is gone", name)
		}
	}
	if strings.Contains(r.read("/etc/passwd"), "campagnol") {
		r.t.Error("the user is left")
	}
}

// rpm installs and removes the other package, whose scripts are the same. before are the
// files that were there without any.
func (r *root) rpm(b *build, tree *tree, before map[string]string) {
	t := r.t
	t.Helper()
	rpm := testenv.Tool(t, "rpm", "rpm")
	path, err := b.pack(tree, "rpm")
	if err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(rpm, append([]string{"--root", r.dir, "--dbpath", "/var/lib/rpm"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("rpm %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	do("--initdb")
	do("-i", "--nodeps", "--nosignature", path)
	_, gid := r.user("campagnol")
	r.wantFile("/etc/campagnol", 0o750, gid)
	if out := do("-q", "--qf", "%{VERSION} %{LICENSE}", "campagnol"); out != fmt.Sprintf("%s Apache-2.0", b.version) {
		t.Errorf("rpm says %q", out)
	}
	if out := do("-qc", "campagnol"); strings.TrimSpace(out) != "/etc/campagnol/rdv.env\n/etc/logrotate.d/campagnol" {
		t.Errorf("files that are kept: %q", out)
	}
	r.run("campagnol", "--version")
	do("-e", "campagnol")
	r.run("userdel", "campagnol") // which rpm leaves, as is usual there
	// These belong to other packages, which this system does not have.
	for _, dir := range []string{"/usr/lib/sysusers.d", "/usr/share/polkit-1/rules.d", "/usr/share/polkit-1", "/usr/share/fish/vendor_completions.d", "/usr/share/fish", "/usr/share/zsh/vendor-completions", "/usr/share/zsh"} {
		if _, ok := before[dir]; ok {
			continue
		}
		if err := os.Remove(r.path(dir)); err != nil {
			t.Error(err)
		}
	}
}
