package control

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
)

func TestAdmits(t *testing.T) {
	me := os.Geteuid()
	for _, c := range []struct {
		name string
		who  credential
		gid  int
		ok   bool
	}{
		{"root", credential{uid: 0}, -1, true},
		{"ourselves", credential{uid: me}, -1, true},
		{"somebody", credential{uid: 54321, groups: []int{0, 54321}}, -1, false},
		{"a member", credential{uid: 54321, groups: []int{54321, 77}}, 77, true},
		{"a member of root's group", credential{uid: 54321, groups: []int{0}}, 0, true},
		{"no member", credential{uid: 54321, groups: []int{54321, 78}}, 77, false},
		{"without groups", credential{uid: 54321}, 77, false},
	} {
		err := admits(c.who, c.gid)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want that it is admitted: %v", c.name, err, c.ok)
		}
		if err != nil && err.Error() != "the user 54321 may not use this control socket" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestLookupGroup(t *testing.T) {
	for name, want := range map[string]int{"": -1, "0": 0, "54321": 54321} {
		if got, err := lookupGroup(name); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"no such group", "-1", "4294967295", "1x"} {
		_, err := lookupGroup(name)
		wantError(t, err, `control socket: there is no group "`+name+`" on this host`,
			"give control_group the name of a group that exists, or take the line out")
	}
	if _, err := Listen(Config{Path: newDir(t) + "/x", Group: "no such group"}); err == nil || !strings.Contains(err.Error(), "no such group") {
		t.Errorf("Listen with an unknown group: %v", err)
	}
}

// TestCredentialOfOthers: what is not a socket of the system has none.
func TestCredentialOfOthers(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := credentialOf(a); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v, want %v", err, errors.ErrUnsupported)
	}
}
