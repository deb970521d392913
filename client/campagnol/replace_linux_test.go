package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// oldConf is a configuration of Campagnol 0.3.5.
const oldConf = `[NETWORK]
server_host = ` + villageServer + `

[VPN]
vpn_ip = 10.9.0.%d
network = 10.9.0.0/24

[SECURITY]
certificate = /etc/campagnol/client.pem
key = /etc/campagnol/client.key
ca_certificates = /etc/campagnol/ca.pem
`

// oldCA makes a CA with openssl, as the script of Campagnol 0.3.5 does: it signs with
// SHA-1, and certificates say nothing about addresses.
const oldCA = `set -e
mkdir -p CA/private CA/certs
cd CA
cat >ssl.cnf <<END
[ca]
default_ca = d
[d]
database = index.txt
new_certs_dir = certs
certificate = cacert.pem
serial = serial
private_key = private/cakey.pem
default_days = 365
default_md = sha1
policy = p
[p]
organizationName = match
commonName = supplied
[req]
distinguished_name = dn
[dn]
[v3_ca]
basicConstraints = CA:true
subjectKeyIdentifier = hash
END
echo 01 >serial
: >index.txt
openssl req -new -x509 -nodes -sha1 -newkey rsa:2048 -days 730 -extensions v3_ca -config ssl.cnf -keyout private/cakey.pem -out cacert.pem -subj '/O=VPN/CN=old CA'
for name in alice bob; do
	mkdir $name
	openssl req -new -nodes -newkey rsa:2048 -config ssl.cnf -keyout $name/key.pem -out request.pem -subj /O=VPN/CN=$name
	openssl ca -batch -config ssl.cnf -in request.pem -out $name/certificate.pem
done
`

// newOldVPN makes what an administrator has who runs Campagnol 0.3.5. A server without
// certificate stands for the original's, whose protocol it speaks; in place of the
// original's clients there are processes that do nothing.
func newOldVPN(t *testing.T) *village {
	t.Helper()
	testenv.Tool(t, "openssl", "openssl")
	v := newVillage(t)
	v.run(villageServer, oldCA)
	v.run(villageServer, "campagnol_rdv -D")
	for i, name := range []string{"alice", "bob"} {
		v.host(name, lab.PortRestricted)
		v.run(name, "mkdir /etc/campagnol && { sleep 1000 & echo $! >/var/run/campagnol.pid; }")
		for from, to := range map[string]string{"cacert.pem": "ca.pem", name + "/certificate.pem": "client.pem", name + "/key.pem": "client.key"} {
			v.copyTo(name, "/etc/campagnol/"+to, v.path(villageServer, "/root/CA/"+from))
		}
		v.addTo(name, "/etc/campagnol.conf", fmt.Sprintf(oldConf, i+1))
	}
	return v
}

// copyTo copies a file to a host.
func (v *village) copyTo(host, file, from string) {
	v.t.Helper()
	b, err := os.ReadFile(from)
	v.must(err)
	v.must(os.WriteFile(v.path(host, file), b, 0o600))
}

// kills does the next command, which ends a process by its file, and waits for its end.
func (r *reader) kills() {
	r.t.Helper()
	c := r.g.Next(r.t)
	file, ok := strings.CutPrefix(strings.TrimSuffix(c.Line, ")"), "kill $(cat ")
	if !ok {
		r.t.Fatalf("%s:%d: %q is to end a process", r.g.Path, c.At, c.Line)
	}
	// One that nobody has waited for (a zombie) has ended.
	r.run(c.Host, "p=$(cat "+file+") && "+c.Line+" && while grep -q '^State:.[^Z]' /proc/$p/status 2>/dev/null; do sleep 0.05; done")
}

// TestReplace does what docs/replace.md says, from files of Campagnol 0.3.5 and a CA of
// openssl to hosts and a server that prove to each other who they are.
func TestReplace(t *testing.T) {
	t.Parallel()
	v := newOldVPN(t)
	v.fails("alice", "campagnol -D", "SHA1", "campagnol ca sign")
	r := readIn(v, guide.Open(t, "docs/replace.md"))
	for _, name := range []string{"alice", "bob"} {
		out := r.next("campagnol ca sign")
		file := certificateIn(t, out)
		v.copyTo(name, "/etc/campagnol/client.pem", v.path(villageServer, "/root/"+file))
	}
	r.kills()
	r.next("campagnol_rdv -D")
	for range 2 {
		r.kills()
		r.next("campagnol -D")
	}
	r.next("ping")
	r.next("campagnol status")

	r.next("campagnol ca settings")
	r.kills()
	r.next("campagnol_rdv -D --authority")
	for _, name := range []string{"alice", "bob"} {
		v.addTo(name, "/etc/campagnol.conf", r.g.Text(t, "ini", 0))
		r.next("campagnol reload")
	}
	r.through("campagnol_rdv clients")
	r.kills()
	r.all()
}

// certificateIn returns the file that a command of the authority says is a certificate.
func certificateIn(t *testing.T, printed string) string {
	t.Helper()
	for line := range strings.Lines(printed) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == "certificate" {
			return f[0]
		}
	}
	t.Fatalf("no certificate is named in %q", printed)
	return ""
}
