package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/ca"
	"campagnol/rdv/channel"
)

// TestCAServeRefused has what is not served, and what is said about it. (What comes
// with -D is in TestCAServe.)
func TestCAServeRefused(t *testing.T) {
	r := newCARun(t)
	r.wantError([]string{"serve"}, "there is no CA in CA", "campagnol ca init")
	r.run("init")
	r.wantError([]string{"serve"}, "the rendezvous server is not known", "campagnol ca settings --rdv HOST")
	r.wantError([]string{"serve", "--rdv", "a b"}, "not the name or the address")
	r.wantError([]string{"serve", "--grace", "long"}, "7d")
	r.run("settings", "--rdv", "rdv.example.org")
	if err := os.Remove("CA/private/cakey.pem"); err != nil {
		t.Fatal(err)
	}
	r.wantError([]string{"serve"}, "cakey.pem")
}

// TestCAServePassphrase: the pass phrase comes from a file, or from the terminal if
// there is one.
func TestCAServePassphrase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(file, []byte("from the file\nand more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := errors.New("asked")
	for _, c := range []struct {
		name, file string
		background bool
		want       string // "": an error
	}{
		{"a file", file, false, "from the file"},
		{"a file, in the background", file, true, "from the file"},
		{"no file", "", false, "from the terminal"},
		{"no file, in the background", "", true, ""},
		{"a file that is not there", file + ".absent", true, ""},
	} {
		tool := &caTool{passphrase: c.file, ask: func(string) ([]byte, error) { return []byte("from the terminal"), nil }}
		if c.background {
			tool.ask = func(string) ([]byte, error) { return nil, asked }
		}
		got, err := tool.servingPassphrase(c.background)("cakey.pem")
		if string(got) != c.want || (err == nil) != (c.want != "") || errors.Is(err, asked) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	_, err := (&caTool{}).servingPassphrase(true)("cakey.pem")
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "--passphrase-file") {
		t.Errorf("%v has no hint about --passphrase-file", err)
	}
}

// TestCALookup resolves what needs no name server.
func TestCALookup(t *testing.T) {
	for _, good := range []string{"192.0.2.7:99", "[2001:db8::1]:99"} {
		if got, err := caLookup(t.Context(), good); err != nil || got.String() != good {
			t.Errorf("%v, %v, want %s", got, err, good)
		}
	}
	for _, bad := range []string{"192.0.2.7", "192.0.2.7:x"} {
		if got, err := caLookup(t.Context(), bad); err == nil {
			t.Errorf("%s: %v, want an error", bad, got)
		}
	}
	var hint interface{ Hint() string }
	if _, err := caLookup(t.Context(), "absent.invalid:99"); !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "--rdv") {
		t.Errorf("%v has no hint about --rdv", err)
	}
}

// TestCAObjects: the lists and the bulletin go out, each as what it is; sameObjects
// tells whether anything has changed.
func TestCAObjects(t *testing.T) {
	one := ca.Objects{CRLs: [][]byte{{1}, {2}}, Bulletin: []byte{3}}
	got := caObjects(one)
	if len(got) != 3 || got[0].Kind != channel.CRL || got[1].Kind != channel.CRL || got[2].Kind != channel.Bulletin || got[2].Data[0] != 3 {
		t.Errorf("objects %+v", got)
	}
	if got := caObjects(ca.Objects{CRLs: [][]byte{{1}}}); len(got) != 1 {
		t.Errorf("without a bulletin: %+v", got)
	}
	for _, c := range []struct {
		name string
		o    ca.Objects
		want bool
	}{
		{"the same in other memory", ca.Objects{CRLs: [][]byte{{1}, {2}}, Bulletin: []byte{3}}, true},
		{"another list", ca.Objects{CRLs: [][]byte{{1}, {9}}, Bulletin: []byte{3}}, false},
		{"one list less", ca.Objects{CRLs: [][]byte{{1}}, Bulletin: []byte{3}}, false},
		{"another bulletin", ca.Objects{CRLs: [][]byte{{1}, {2}}, Bulletin: []byte{9}}, false},
		{"no bulletin", ca.Objects{CRLs: [][]byte{{1}, {2}}}, false},
	} {
		if got := sameObjects(one, c.o); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestPeriodOption: --grace and --valid take days.
func TestPeriodOption(t *testing.T) {
	var d caDuration
	if err := d.Set("30d"); err != nil || time.Duration(d) != 30*24*time.Hour || d.String() != "720h" {
		t.Errorf("%v, %v", time.Duration(d), err)
	}
	if err := d.Set("x"); err == nil || time.Duration(d) != 30*24*time.Hour {
		t.Errorf("what is no time: %v, %v", time.Duration(d), err)
	}
}
