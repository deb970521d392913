package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/testenv"
)

// These tests run the demonstration, "campagnol lab": real processes of both
// programs, real TUN devices, real NATs of the kernel.

// labStep is a line of "campagnol lab --json".
type labStep struct {
	Step string         `json:"step"`
	Text string         `json:"text"`
	Data map[string]any `json:"data"`
}

// runLabBinary runs the command and returns its steps.
func runLabBinary(t *testing.T, args ...string) []labStep {
	t.Helper()
	testenv.Root(t)
	cmd := exec.Command(filepath.Join(binaries, "campagnol"), append([]string{"lab", "--json", "--size", "5MB"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("campagnol lab %q: %v\n%s\n%s", args, err, out, stderr.Bytes())
	}
	var steps []labStep
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var s labStep
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%v in line %q", err, lines.Bytes())
		}
		steps = append(steps, s)
	}
	return steps
}

func TestFirstLight(t *testing.T) {
	for _, c := range []struct {
		a, b   string
		direct bool
	}{
		{"port-restricted", "port-restricted", true},
		{"full-cone", "symmetric", true},
		{"symmetric", "restricted", true},
		{"none", "port-restricted", true},
		{"symmetric", "port-restricted", false},
	} {
		t.Run(c.a+" and "+c.b, func(t *testing.T) {
			t.Parallel()
			steps := runLabBinary(t, "--nat-a", c.a, "--nat-b", c.b)
			var names []string
			for _, s := range steps {
				names = append(names, s.Step)
				if reply, ok := s.Data["reply_ms"].(float64); s.Step == "connect" && (!ok || reply > 1000) {
					t.Errorf("the first reply took longer than a second: %s", s.Text)
				}
			}
			all := strings.Join(names, " ")
			want := []string{"connect", "ping", "broadcast", "transfer", "direct", "idle", "removed"}
			if !c.direct {
				want = []string{"no-path", "removed"}
			}
			for _, w := range want {
				if !strings.Contains(all, w) {
					t.Errorf("step %q is missing in %q", w, all)
				}
			}
		})
	}
}
