package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/cli"
)

// runPolicy runs "campagnol policy" in the current directory, and returns output,
// exit status and what is printed about an error.
func runPolicy(t *testing.T, stdin string, args ...string) (out string, code int, message string) {
	t.Helper()
	var b, text bytes.Buffer
	cmd := newPolicyCommand()
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(args)
	err := cmd.Execute()
	var exit *cli.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.Code
	default:
		code = 1
		cli.Print(&text, "campagnol", err)
	}
	return b.String(), code, text.String()
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPolicyCheck(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "p", "allow a -> b\nallow relay: a <-> b through h\nfilter 10.9.0.0/24 -> b: deny tcp/22\ndeny x <-> all\nallow y <-> y")
	for _, c := range []struct {
		args string // separated by blanks
		code int
		want string // part of output and message
	}{
		{"check p", 0, "p is in order: version 0"},
		{"check p a b", 0, "a to b: allowed by line 1: allow a -> b\nb to a: denied: no line speaks of the pair\n"},
		{"check p b a", 2, "b to a: denied: no line speaks of the pair\na to b: allowed by line 1: allow a -> b\nrelays between them:\n  line 2:"},
		{"check p x a", 2, "x and a: denied by line 4: deny x <-> all\n"},
		{"check p a h", 2, "h as a relay of others:\n  line 2: allow relay: a <-> b through h\n"},
		{"check p a,10.9.0.7,10.1.0.1 b", 0, "flows that a,10.9.0.7,10.1.0.1 begins:\n  line 3: filter 10.9.0.0/24 -> b: deny tcp/22\n  everything else is allowed\n"},
		{"check p a b --json", 0, `"talk": {`},
		{"check p y y", 0, "flows that y begins:\n  everything else is allowed\n"},
		{"check", 1, "policy check: expected a file, or a file and two members, not 0 arguments\nhint: "},
		{"check p a", 1, "not 2 arguments"},
		{"check p a b c", 1, "not 4 arguments"},
		{"check q", 1, "campagnol: policy: open q: no such file"},
		{"check p a *.b", 1, `policy: "*.b" is not a member of a VPN` + "\nhint: a member is a name"},
		{"check p all b", 1, `"all" is not a member`},
		{"check p a, b", 1, `"a," is not a member`},
		{"check p ./p b", 1, "p: "},
		{"check p missing.pem b", 1, "missing.pem"},
		{"", 0, "Usage:"},
	} {
		out, code, message := runPolicy(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+message, c.want) {
			t.Errorf("policy %s: exit status %d, %q, want %d, %q", c.args, code, out+message, c.code, c.want)
		}
		if code == 1 && out != "" {
			t.Errorf("policy %s: output %q besides the error", c.args, out)
		}
	}
}

// All mistakes of a file are printed, each with its place.
func TestPolicyMistakes(t *testing.T) {
	_, code, message := runPolicy(t, "alow a <-> b\nallow a b\n", "check", "-")
	want := "campagnol: (standard input):1:1: unexpected \"alow\", expected allow, deny, filter, group, default or version; did you mean \"allow\"?\n" +
		"campagnol: (standard input):2:9: unexpected \"b\", expected \"<->\", \"->\" or \",\"\n"
	if code != 1 || message != want {
		t.Errorf("exit status %d, message\n%s\nwant 1 and\n%s", code, message, want)
	}
}

func TestPolicyJSON(t *testing.T) {
	const text = "group g = a, b\ngroup u = x\nallow g -> c\nfilter a -> c: deny tcp/22\nallow relay: all <-> all through c"
	out, code, _ := runPolicy(t, text, "check", "--json", "-")
	var p policyRecord
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 {
		t.Fatalf("exit status %d, %v: %s", code, err, out)
	}
	if p.TalkRules != 1 || p.RelayRules != 1 || p.FilterRules != 1 || len(p.Groups) != 2 || p.Groups[0] != (groupRecord{"g", 1, 2}) ||
		len(p.Warnings) != 1 || p.Warnings[0].Line != 2 || len(p.Digest) != 64 || p.Default.Allowed {
		t.Errorf("record = %+v", p)
	}
	out, code, _ = runPolicy(t, text, "check", "-", "a", "c", "--json")
	var r policyReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("exit status %d, %v: %s", code, err, out)
	}
	if r.A != "a" || r.B != "c" || r.Talk != (decisionRecord{true, 3, "allow g -> c"}) || r.Back.Allowed || r.Back.Line != 0 ||
		len(r.Relays) != 1 || r.Relays[0].Line != 5 || len(r.RelaysForA) != 0 || len(r.RelaysForB) != 1 ||
		len(r.Filter) != 2 || r.Filter[0].Line != 4 || len(r.FilterBack) != 1 {
		t.Errorf("report = %+v", r)
	}
	if !strings.Contains(out, `"a_relays": []`) {
		t.Errorf("an empty list is not [] in\n%s", out)
	}
}

// TestPolicyProgram runs the program itself: scripts rely on its exit status.
func TestPolicyProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.txt")
	writeFile(t, file, "allow a <-> b\n")
	for _, c := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{file, "a", "b"}, 0, "a and b: allowed by line 1: allow a <-> b\n", ""},
		{[]string{file, "a", "c"}, 2, "a and c: denied: no line speaks of the pair\n", ""},
		{[]string{file + "x"}, 1, "", "campagnol: policy: open "},
	} {
		code, stdout, stderr := campagnol(t, append([]string{"policy", "check"}, c.args...)...)
		if code != c.code || !strings.HasPrefix(stdout, c.stdout) || !strings.HasPrefix(stderr, c.stderr) || c.stderr == "" && stderr != "" {
			t.Errorf("%q: exit status %d, output %q, errors %q, want %d, %q, %q", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
	// As a pipe, as the manual has it.
	cmd := exec.Command(filepath.Join(binaries, "campagnol"), "policy", "check", "-")
	cmd.Stdin = strings.NewReader("allow all <-> all\n")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "(standard input) is in order") {
		t.Errorf("from a pipe: %q, %v", out, err)
	}
}

// TestCAAttributes issues, shows and renews a certificate with groups and
// networks.
func TestCAAttributes(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	out := r.run("issue", "gate", "--ip", "10.9.0.3", "--group", "Server,x", "--group", "y", "--route", "192.168.7.0/24,fd00:7::/64")
	r.want(out, "groups: server, x, y\n", "networks behind it: 192.168.7.0/24, fd00:7::/64\n")
	r.want(r.run("show", "gate"), "groups:", "server, x, y\n", "networks:", "192.168.7.0/24, fd00:7::/64\n")
	r.want(r.run("show", "gate", "--json"), `"groups": [`, `"192.168.7.0/24"`)
	out = r.run("issue", "gate", "--renew", "--no-route")
	r.want(out, "groups: server, x, y\n")
	if strings.Contains(out, "networks") {
		t.Errorf("after --no-route: %q", out)
	}
	if out = r.run("issue", "plain", "--ip", "10.9.0.4"); strings.Contains(out, "groups") {
		t.Errorf("without groups: %q", out)
	}
	r.wantError([]string{"issue", "bob", "--ip", "10.9.0.5", "--group", "a b"}, `"a b" is not the name of a group`)
	r.wantError([]string{"issue", "bob", "--ip", "10.9.0.5", "--route", "10.0.0.1"}, `"10.0.0.1" is not a network such as 192.168.7.0/24`)
	r.wantError([]string{"issue", "bob", "--ip", "10.9.0.5", "--route", "10.0.0.1/8"}, "the network is 10.0.0.0/8")
}
