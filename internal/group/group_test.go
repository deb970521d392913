package group

import (
	"os/user"
	"strconv"
	"testing"

	"campagnol/internal/testenv"
)

func TestNumber(t *testing.T) {
	for name, want := range map[string]int{"0": 0, "54321": 54321, "2147483647": 1<<31 - 1} {
		if got, ok := Number(name); !ok || got != want {
			t.Errorf("%q: %d, %v, want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "no such group", "-1", "2147483648", "4294967295", "1x"} {
		if got, ok := Number(name); ok {
			t.Errorf("%q: %d, want none", name, got)
		}
	}
}

// TestNumberOfName: the group of root has the number 0, under whatever name.
func TestNumberOfName(t *testing.T) {
	g, err := user.LookupGroupId("0")
	testenv.Require(t, err == nil, "a group with the number 0")
	if _, err := strconv.Atoi(g.Name); err == nil {
		t.Fatalf("the group 0 has the name %q", g.Name)
	}
	if got, ok := Number(g.Name); !ok || got != 0 {
		t.Errorf("%q: %d, %v, want 0", g.Name, got, ok)
	}
}
