package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// TestPolicyManual follows docs/policy.md where it checks policies: its files, commands
// and outputs.
func TestPolicyManual(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/policy.md", "Three groups, one file", "Certificates", "Warnings")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "policy.txt"), g.Text(t, "policy", 0))
	writeFile(t, filepath.Join(dir, "warn.txt"), g.Text(t, "policy", 1))
	statuses := map[int]int{} // how often
	for c := range g.Commands() {
		out, err := onDesk(t, dir, c.Line)
		g.Check(t, c, out)
		var exit *exec.ExitError
		switch {
		case err == nil:
			statuses[0]++
		case errors.As(err, &exit) && strings.Contains(c.Line, "campagnol policy check"):
			statuses[exit.ExitCode()]++
		default:
			t.Errorf("docs/policy.md:%d: %s: %v", c.At, c.Line, err)
		}
	}
	if statuses[1] != 1 || statuses[2] != 1 {
		t.Errorf("exit statuses are %v, want 2 for the pair that is denied, 1 for the file with the mistake, and 0", statuses)
	}
}

// TestPolicyServed follows docs/policy.md where the authority, and then the server, has
// a policy.
func TestPolicyServed(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/policy.md", "Of the authority", "On the server")
	v := newVillage(t)
	v.host("alice", lab.PortRestricted)
	v.serveHere()
	v.joins("alice")
	r := readIn(v, g)
	r.home = villageServer
	r.masks = append(r.masks, guide.Varies("NUMBER", `bulletin(?: number)? \d+`))
	blocks := guide.Read(t, "docs/policy.md")
	first := slices.IndexFunc(blocks, func(b guide.Block) bool { return b.Kind == "policy" })
	v.addTo(villageServer, "/root/policy.txt", blocks[first].Text)
	r.next("campagnol ca publish")
	v.until("alice", "campagnol status", "policy of the VPN")
	r.next("campagnol status")

	v.kill(villageServer, rdvPidfile, "TERM")
	v.run(villageServer, "mkdir /etc/campagnol && cp CA/hosts/rdv/*.pem /etc/campagnol && cp policy.txt /etc/campagnol/policy")
	r.next("campagnol_rdv -D --certificate")
	v.until("alice", "campagnol status", "\nregistered at")

	r.g = guide.Open(t, "docs/ca.md", "What all hosts should have")
	r.next("campagnol ca publish --policy")
	r.next("campagnol ca publish --no-policy")
}

// TestReplaceManual follows docs/compat.md: an old certificate is recognised, and a pass
// phrase taken off.
func TestReplaceManual(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "openssl", "openssl")
	testenv.Tool(t, "script", "bsdutils")
	g := guide.Open(t, "docs/compat.md")
	dir := t.TempDir()
	if out, err := onDesk(t, dir, "openssl req -new -x509 -sha1 -newkey rsa:2048 -passout pass:secret -keyout client.key -out client.pem -subj /CN=alice"); err != nil {
		t.Fatal(err, out)
	}
	c := g.Next(t)
	out, err := onDesk(t, dir, c.Line)
	if err != nil {
		t.Error(err)
	}
	g.Check(t, c, out)
	c = g.Next(t)
	if _, err := onDesk(t, dir, onTerminal(c.Line, "secret")); err != nil {
		t.Error(err)
	}
	if out, err = onDesk(t, dir, "ls -l new.key && openssl pkey -in new.key -noout -passin pass:none"); err != nil || !strings.HasPrefix(out, "-rw-------") {
		t.Errorf("the key without pass phrase: %q, %v", out, err)
	}
}
