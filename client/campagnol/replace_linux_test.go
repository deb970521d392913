package main

import (
	"fmt"
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

// newOldVPN makes what an administrator has who runs Campagnol 0.3.5. A server without
// certificate stands for the original's, whose protocol it speaks; in place of the
// original's clients there are processes that do nothing.
func newOldVPN(t *testing.T) *village {
	t.Helper()
	testenv.Tool(t, "openssl", "openssl")
	v := newVillage(t)
	v.run(villageServer, "BITS=2048 KEYID='subjectKeyIdentifier = hash' ORG=/O=VPN HOSTS='alice:2048 bob:2048'\n"+oldCA)
	v.run(villageServer, "campagnol_rdv -D")
	for i, name := range []string{"alice", "bob"} {
		v.host(name, lab.PortRestricted)
		v.run(name, "mkdir /etc/campagnol && { sleep 1000 & echo $! >/var/run/campagnol.pid; }")
		for from, to := range map[string]string{"cacert.pem": "ca.pem", name + "/certificate.pem": "client.pem", name + "/key.pem": "client.key"} {
			copyFile(t, v.path(villageServer, "/root/CA/"+from), v.path(name, "/etc/campagnol/"+to))
		}
		v.addTo(name, "/etc/campagnol.conf", fmt.Sprintf(oldConf, i+1))
	}
	return v
}

// kills does the next command, which ends a process by its file, and waits for its end.
func (r *reader) kills() {
	r.t.Helper()
	c := r.g.Next(r.t)
	file, ok := strings.CutPrefix(strings.TrimSuffix(c.Line, ")"), "kill $(cat ")
	if !ok {
		r.t.Fatalf("%s:%d: %q is to end a process", r.g.Path, c.At, c.Line)
	}
	r.killBy(c.Host, file, c.Line)
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
		copyFile(t, v.path(villageServer, "/root/"+file), v.path(name, "/etc/campagnol/client.pem"))
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
	r.next("campagnol status")
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
