package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// binaries is the folder with both programs, built from this module.
var binaries string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if len(os.Args) > 1 && os.Args[1] == crowdArg {
		return playCrowd(os.Args[2:])
	}
	dir, err := os.MkdirTemp("", "campagnol-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), ".", "../../rdv/campagnol_rdv").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	binaries = dir
	return m.Run()
}

// campagnol runs the client and returns what it says and its exit status.
func campagnol(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "campagnol"), args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Errorf("campagnol %q did not end", args)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// writeConf writes a configuration, with certificates that fit, and returns its
// name. extra is added at its end.
func writeConf(t *testing.T, extra string) string {
	t.Helper()
	dir := t.TempDir()
	ca := pkitest.NewCA(t, "test CA", time.Now())
	cert, key := ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1")).WriteFiles(t, dir)
	text := fmt.Sprintf(`[NETWORK]
server_host = 127.0.0.1
[VPN]
vpn_ip = 10.9.0.1
network = 10.9.0.0/24
[SECURITY]
certificate = %s
key = %s
ca_certificates = %s
[CLIENT]
state_dir = %s
%s
`, cert, key, ca.WriteFile(t, dir), dir, extra)
	file := filepath.Join(dir, "campagnol.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestD_C11_StartErrors: what goes wrong at the start is said on standard error, with
// the place and what to do, and the exit status is 1, in the background too.
func TestD_C11_StartErrors(t *testing.T) {
	t.Parallel()
	edit := func(from, to string) string {
		file := writeConf(t, "")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.Replace(b, []byte(from), []byte(to), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct {
		name string
		file string
		want []string
	}{
		{"no file", filepath.Join(t.TempDir(), "absent.conf"), []string{"absent.conf", "no such file", "hint: "}},
		{"bad value", edit("server_host = 127.0.0.1", "server_host = 127.0.0.1\nserver_port = 70000"), []string{":3:", "server_port", "70000", "hint: "}},
		{"no certificate", edit("certificate = ", "certificate = /nowhere"), []string{"/nowhere", "no such file"}},
		{"no such interface", edit("server_host = 127.0.0.1", "server_host = 127.0.0.1\ninterface = absent0"), []string{"absent0", "hint: "}},
		{"unknown host", edit("server_host = 127.0.0.1", "server_host = absent.invalid"), []string{"server_host", "absent.invalid", "hint: "}},
	} {
		for _, flags := range [][]string{nil, {"-D", "-p", filepath.Join(t.TempDir(), "pid")}} {
			code, _, stderr := campagnol(t, append(flags, c.file)...)
			if code != 1 || !strings.HasPrefix(stderr, "campagnol: ") {
				t.Errorf("%s %v: exit status %d, %q", c.name, flags, code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%s %v: %q is missing in %q", c.name, flags, want, stderr)
				}
			}
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args         []string
		code         int
		stderr, from string
	}{
		{[]string{"-V"}, 0, "campagnol ", ""},
		{[]string{"--vers"}, 0, "campagnol ", ""},
		{[]string{"-h"}, 1, "Usage:", ""},
		{[]string{"-x"}, 1, "campagnol: ", ""},
		{[]string{"a.conf", "b.conf"}, 1, "b.conf", ""},
		{[]string{"./lab"}, 1, "./lab", ""}, // a file, not the command
		{[]string{"labyrinth"}, 1, "labyrinth", ""},
	} {
		code, stdout, stderr := campagnol(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("%q: exit status %d, standard output %q, error %q", c.args, code, stdout, stderr)
		}
	}
}

// TestWarnings: what is odd in a configuration is said, and does not keep the
// program from going on to the next error.
func TestWarnings(t *testing.T) {
	t.Parallel()
	file := writeConf(t, "keepalives = 5\n[NETWORK]\ninterface = absent0")
	_, _, stderr := campagnol(t, file)
	for _, want := range []string{"keepalives", "keepalive", "absent0"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is missing in %q", want, stderr)
		}
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	file := writeConf(t, "")
	cfg, _, err := conf.LoadClient(file)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	peer := func(name string) *pki.Peer {
		leaf := pkitest.NewCA(t, "CA", now).Issue(t, name)
		return &pki.Peer{Leaf: leaf.Cert, Name: name, Key: pki.KeyOf(leaf.Cert)}
	}
	bob := netip.MustParseAddr("10.9.0.2")
	pins, err := pki.OpenPins(pinFile(cfg.StateDir))
	if err != nil {
		t.Fatal(err)
	}
	if err := pins.Check(now, bob, peer("old"), false); err != nil {
		t.Fatal(err)
	}
	if err := pins.Check(now, bob, peer("new"), false); err == nil {
		t.Fatal("another key was taken")
	}
	code, stdout, stderr := campagnol(t, "forget", "--config", file, "10.9.0.2")
	if code != 0 || !strings.Contains(stdout, "10.9.0.2") || stderr != "" {
		t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
	}
	if err := pins.Check(now, bob, peer("newer"), false); err != nil { // in a process that has read the file before
		t.Errorf("after forgetting: %v", err)
	}
	for _, args := range [][]string{{"forget"}, {"forget", "bob"}, {"forget", "--config", file, "10.9.0.77"}, {"forget", "--config", "/nowhere", "10.9.0.2"}} {
		if code, _, stderr := campagnol(t, args...); code != 1 || stderr == "" {
			t.Errorf("%q: exit status %d, %q", args, code, stderr)
		}
	}
}

func TestFindAddresses(t *testing.T) {
	find := func(edit func(*conf.Client)) (*addresses, error) {
		cfg := &conf.Client{File: "x.conf", ServerHost: "127.0.0.1", ServerPort: 57888, UseLocalAddr: true}
		edit(cfg)
		return findAddresses(t.Context(), cfg)
	}
	loopback := "lo"
	if ifcs, err := net.Interfaces(); err == nil {
		for _, i := range ifcs {
			if i.Flags&net.FlagLoopback != 0 {
				loopback = i.Name
			}
		}
	}
	for _, c := range []struct {
		name        string
		edit        func(*conf.Client)
		local, bind string
	}{
		{"the kernel's choice", func(*conf.Client) {}, "127.0.0.1", "[::]:0"},
		{"a port", func(c *conf.Client) { c.LocalPort = 4444 }, "127.0.0.1", "[::]:4444"},
		{"local_host", func(c *conf.Client) { c.LocalHost = "127.0.0.5" }, "127.0.0.5", "127.0.0.5:0"},
		{"all addresses", func(c *conf.Client) { c.LocalHost = "0.0.0.0" }, "0.0.0.0", "0.0.0.0:0"},
		{"interface", func(c *conf.Client) { c.Interface = loopback }, "127.0.0.1", "[::]:0"},
		{"a name", func(c *conf.Client) { c.ServerHost = "localhost" }, "127.0.0.1", "[::]:0"},
	} {
		a, err := find(c.edit)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if a.local.String() != c.local || a.bind.String() != c.bind || a.last().String() != "127.0.0.1:57888" {
			t.Errorf("%s: local %v, bound to %v, server %v", c.name, a.local, a.bind, a.servers)
		}
	}
	for name, edit := range map[string]func(*conf.Client){
		"no such interface": func(c *conf.Client) { c.Interface = "absent0" },
		"no such server":    func(c *conf.Client) { c.ServerHost = "absent.invalid" },
		"no such local":     func(c *conf.Client) { c.LocalHost = "absent.invalid" },
		"no such override":  func(c *conf.Client) { c.OverrideLocalHost = "absent.invalid" },
	} {
		_, err := find(edit)
		var h interface{ Hint() string }
		if err == nil || !strings.HasPrefix(err.Error(), "x.conf: ") || !errors.As(err, &h) {
			t.Errorf("%s: %v, want an error with the file and a hint", name, err)
		}
	}
}

func TestPublished(t *testing.T) {
	a := &addresses{local: netip.MustParseAddr("192.168.1.2")}
	on, off := &conf.Client{UseLocalAddr: true}, &conf.Client{}
	if got := a.published(on, 5000).String(); got != "192.168.1.2:5000" {
		t.Errorf("published %s", got)
	}
	if got := a.published(off, 5000); got.IsValid() {
		t.Errorf("published %v although it is switched off", got)
	}
	a.override = netip.MustParseAddrPort("192.168.1.3:4444")
	if got := a.published(on, 5000); got != a.override {
		t.Errorf("published %v, want the override", got)
	}
	any := &addresses{local: netip.IPv4Unspecified()}
	if got := any.published(on, 5000); got.IsValid() {
		t.Errorf("published %v", got)
	}
}
