package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/testenv"
)

// TestScripts: the shell understands all scripts, and shellcheck finds nothing in them.
func TestScripts(t *testing.T) {
	shellcheck := testenv.Tool(t, "shellcheck", "shellcheck")
	for pattern, except := range map[string]string{
		"../scripts/*": "",
		// Variables that whoever reads the script uses, and functions that it calls.
		"../openrc/*":       "SC2034,SC2154,SC2329",
		"../openwrt/*.init": "SC2034,SC2329,SC3043", // and "local", which its shell has
	} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q, %v", pattern, files, err)
		}
		for _, file := range files {
			if out, err := exec.Command("sh", "-n", file).CombinedOutput(); err != nil {
				t.Errorf("sh -n %s: %v\n%s", file, err, out)
			}
			args := []string{"--shell=sh", file}
			if except != "" {
				args = append([]string{"--exclude=" + except}, args...)
			}
			if out, err := exec.Command(shellcheck, args...).CombinedOutput(); err != nil {
				t.Errorf("shellcheck %s: %v\n%s", file, err, out)
			}
			if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o111 == 0 {
				t.Errorf("%s is not executable", file)
			}
		}
	}
}

// TestCompletions: the shells understand the completions.
func TestCompletions(t *testing.T) {
	_, tree := treeForTests(t)
	seen := 0
	for _, f := range tree.files {
		for _, shell := range shells {
			if !strings.HasPrefix(f.path, filepath.Dir(shell.path)+"/") {
				continue
			}
			seen++
			file := filepath.Join(t.TempDir(), filepath.Base(f.path))
			if err := os.WriteFile(file, f.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(testenv.Tool(t, shell.name, shell.name), "-n", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s -n %s: %v\n%s", shell.name, f.path, err, out)
			}
		}
	}
	if want := len(shells) * len(programs); seen != want {
		t.Errorf("%d completions, want %d", seen, want)
	}
}
