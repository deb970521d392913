package main

import (
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// A step is a command line, and the host on which it is to be typed.
type step struct{ host, line string }

// setUp returns the commands of the README's section "Set up two hosts": those of
// each block, on the host that the comment before them names.
func setUp(t *testing.T, text string) (blocks [][]step) {
	t.Helper()
	_, section, ok := strings.Cut(text, "\n## Set up two hosts\n")
	if !ok {
		t.Fatal("README.md has no section \"Set up two hosts\"")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for {
		_, rest, ok := strings.Cut(section, "\n```sh\n")
		if !ok {
			return blocks
		}
		block, rest, ok := strings.Cut(rest, "\n```\n")
		if !ok {
			t.Fatal("README.md: a block of commands has no end")
		}
		blocks, section = append(blocks, stepsOf(t, block)), rest
	}
}

func stepsOf(t *testing.T, block string) (steps []step) {
	t.Helper()
	host := ""
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if on, ok := strings.CutPrefix(line, "# On "); ok {
			host, _, _ = strings.Cut(on, ":")
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if host == "" {
			t.Fatalf("README.md does not say on which host to run %q", line)
		}
		steps = append(steps, step{host, line})
	}
	return steps
}

// TestReadme does what the README says, to the letter: from nothing to a VPN of two
// hosts behind NATs, with at most six commands, and then the commands that follow.
func TestReadme(t *testing.T) {
	t.Parallel()
	blocks := setUp(t, readme(t))
	if len(blocks) != 2 {
		t.Fatalf("README.md has %d blocks of commands to set up two hosts, want those to do it, and those to go on", len(blocks))
	}
	n := 0
	for _, s := range blocks[0] {
		n += 1 + strings.Count(s.line, "&&") + strings.Count(s.line, ";") + strings.Count(s.line, "|")
	}
	if n > 6 {
		t.Errorf("it takes %d commands to set up two hosts, want at most 6", n)
	}
	v := newVillage(t)
	v.host("alice", lab.PortRestricted)
	v.host("bob", lab.PortRestricted)
	var tokens []string
	invited := "" // what the invitations have printed
	for _, s := range blocks[0] {
		line := s.line
		if strings.Contains(line, "TOKEN") {
			if len(tokens) == 0 {
				t.Fatalf("%q: no invitation has been printed", line)
			}
			line, tokens = strings.Replace(line, "TOKEN", tokens[0], 1), tokens[1:]
			if !strings.Contains(invited, line) {
				t.Errorf("the invitation does not say %q", line)
			}
		}
		out := v.run(s.host, line)
		if strings.Contains(line, " invite ") {
			tokens = append(tokens, tokenIn(t, out))
			invited += strings.ReplaceAll(out, "\\\n", "") // as the shell reads it
		}
	}
	v.pings("alice", "10.9.0.2")
	v.pings("bob", "10.9.0.1")
	revoked := false
	for _, s := range blocks[1] {
		began := time.Now()
		out := v.run(s.host, s.line)
		switch {
		case strings.HasPrefix(s.line, "campagnol status"):
			for _, want := range []string{"10.9.0.2", "ESTABLISHED", "authenticated"} {
				if !strings.Contains(out, want) {
					t.Errorf("the status lacks %q", want)
				}
			}
		case strings.HasPrefix(s.line, "campagnol ca revoke bob"):
			revoked = true
			v.wantCut("alice", "10.9.0.2", began)
		}
	}
	if !revoked {
		t.Error("README.md does not show how to revoke bob")
	}
}
