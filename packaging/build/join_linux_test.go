package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// TestSystemdJoin: a machine joins as a service: systemd starts the client, now and at
// boot, as the ordinary user, who can read what it needs, and write a new certificate.
func TestSystemdJoin(t *testing.T) {
	v := newVPN(t)
	m := v.alice
	v.install("1.0.0")
	dir := filepath.Join(t.TempDir(), "CA")
	authority := func(args ...string) string {
		out, err := exec.Command(filepath.Join(v.programs, "campagnol"), append([]string{"ca", "--dir", dir}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ca %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	authority("init", "--rdv", v.bob.Addr().String(), "--network", "10.9.0.0/24")
	server, err := v.bob.Start("campagnol_rdv", filepath.Join(v.programs, "campagnol_rdv"), "-v", "--log-format", "json", "--authority", dir, "--state", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Await(t.Context(), time.Time{}, lab.Pattern{Message: "Issued the certificate of the rendezvous server"}); err != nil {
		t.Fatalf("%v\n%s", err, server.Tail())
	}

	t.Log(m.run("campagnol", "join", "--service", authority("invite", "--quiet", "alice")))
	m.wantService("campagnol", services["campagnol"])
	uid, gid := m.user("campagnol")
	for file, want := range map[string]string{
		"/etc/campagnol.conf":                fmt.Sprintf("0:%d 640", gid),
		"/var/lib/campagnol/key.pem":         fmt.Sprintf("%d:%d 600", uid, gid),
		"/var/lib/campagnol/certificate.pem": fmt.Sprintf("%d:%d 644", uid, gid),
	} {
		if got := strings.TrimSpace(m.run("stat", "-c", "%u:%g %a", file)); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	// As what it is, and within its sandbox, the client can put a new certificate there.
	renewal := "cd /var/lib/campagnol && cp certificate.pem new && mv new certificate.pem"
	m.run("nsenter", "--target", strconv.Itoa(m.process("campagnol")), "--mount", "--setuid", strconv.Itoa(uid), "--setgid", strconv.Itoa(gid), "--", "sh", "-c", renewal)
	m.run("systemctl", "reload", "campagnol")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out := m.run("campagnol", "status")
		if strings.Contains(out, "\nregistered at ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the status is %s", out)
		}
	}
	if out := m.run("journalctl", "--quiet", "--priority=warning", "--unit=campagnol"); out != "" {
		t.Errorf("the journal warns: %s", out)
	}
}
