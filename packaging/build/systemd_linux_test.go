package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"campagnol/internal/testenv"
)

// units are those that are installed, with the greatest exposure that systemd may find
// in them, from 0 to 10.
var units = map[string]float64{"campagnol.service": 2.0, "campagnol@.service": 2.0, "campagnol_rdv.service": 1.7}

// readUnit returns the text of a unit.
func readUnit(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unitRoot makes a folder in which systemd finds the units and what they start.
func unitRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range units {
		write("etc/systemd/system/"+name, readUnit(t, name), 0o644)
	}
	for _, program := range []string{"usr/sbin/campagnol", "usr/sbin/campagnol_rdv", "bin/sh"} {
		write(program, "#!/bin/sh\n", 0o755)
	}
	// What every unit comes after, and these name.
	for _, target := range []string{"sysinit", "basic", "shutdown", "multi-user", "network-online", "nss-lookup", "local-fs", "time-sync", "remote-fs", "initrd-switch-root"} {
		write("usr/lib/systemd/system/"+target+".target", "[Unit]\nDescription="+target+"\n", 0o644)
	}
	return dir
}

// TestUnits: systemd understands the units, and finds little that could be taken away
// from them besides.
func TestUnits(t *testing.T) {
	analyze := testenv.Tool(t, "systemd-analyze", "systemd")
	dir := unitRoot(t)
	overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for name, most := range units {
		instance := strings.Replace(name, "@.", "@home.", 1)
		out, err := exec.Command(analyze, "verify", "--man=no", "--root="+dir, instance).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", instance, err, out)
		}
		out, err = exec.Command(analyze, "security", "--offline=true", "--no-pager", "--root="+dir, name).CombinedOutput()
		m := overall.FindSubmatch(out)
		if m == nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		exposure, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil || exposure > most {
			t.Errorf("%s: exposure %v, %v, want at most %v:\n%s", name, exposure, err, most, out)
		}
	}
}

// TestInstance: a unit with an instance differs from the other by its file alone.
func TestInstance(t *testing.T) {
	want := readUnit(t, "campagnol.service")
	got := strings.ReplaceAll(readUnit(t, "campagnol@.service"), "/etc/campagnol/%i.conf", "/etc/campagnol.conf")
	got = strings.Replace(got, "Campagnol VPN %i", "Campagnol VPN", 1)
	if got != want {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
}
