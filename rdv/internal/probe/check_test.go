package probe

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTable checks that the checks are well formed.
func TestTable(t *testing.T) {
	checks := Checks()
	if len(checks) < 75 {
		t.Errorf("%d checks, want 75 at least", len(checks))
	}
	names := map[string]bool{}
	for _, c := range checks {
		if names[c.Name] {
			t.Errorf("two checks are called %q", c.Name)
		}
		names[c.Name] = true
		if !strings.HasSuffix(c.Says, ".") || len(c.Steps) == 0 {
			t.Errorf("%s: no sentence, or no steps", c.Name)
		}
		if len(c.Covers) > 0 && c.Original == nil && !slices.Contains(c.Covers, DR1) {
			t.Errorf("%s is about a difference, and shows none", c.Name)
		}
		for _, original := range []bool{false, true} {
			checkSteps(t, c, original)
		}
	}
}

func checkSteps(t *testing.T, c Check, original bool) {
	s := scene{ends: map[End]netip.AddrPort{}}
	for _, e := range c.ends(original) {
		s.ends[e] = netip.MustParseAddrPort("192.0.2.1:1")
	}
	last := time.Duration(0)
	for i, step := range c.steps(original) {
		if step.At < last || step.At > 20*time.Second {
			t.Errorf("%s, step %d is at %v, after one at %v", c.Name, i+1, step.At, last)
		}
		last = step.At
		if _, err := s.compile(step.Send); err != nil {
			t.Errorf("%s, step %d: %v", c.Name, i+1, err)
		}
		for _, r := range step.Want {
			if b, err := s.compile(r.Data); err != nil || len(b) != messageSize {
				t.Errorf("%s, step %d: answer of %d bytes, %v", c.Name, i+1, len(b), err)
			}
		}
	}
	if n := c.Hosts(original); n < 1 || n > Hosts {
		t.Errorf("%s needs %d hosts, want 1 to %d", c.Name, n, Hosts)
	}
}

// TestPoints checks that every difference and defect has a check. Time is the
// exception: it is seen from inside.
func TestPoints(t *testing.T) {
	covered := map[Point]bool{}
	for _, c := range Checks() {
		for _, p := range c.Covers {
			covered[p] = true
			if !slices.Contains(Points(), p) {
				t.Errorf("%s covers %q, which is no point", c.Name, p)
			}
		}
	}
	elsewhere := map[Point]string{
		Clock: "time that runs backwards stands still", // of TestDifferences
		DR6:   "func TestD_R6_StaleRegistration(",      // sessions
	}
	text, err := os.ReadFile("../../differences_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for p, name := range elsewhere {
		covered[p] = true
		if !strings.Contains(string(text), name) {
			t.Errorf("%q has no test %q in package rdv", p, name)
		}
	}
	for _, p := range Points() {
		if !covered[p] {
			t.Errorf("%q has no check", p)
		}
	}
}

func TestEnds(t *testing.T) {
	c := find(t, "a NAT gives a client another port")
	if got, want := c.ends(false), []End{A, A2}; !slices.Equal(got, want) {
		t.Errorf("ends %v, want %v", got, want)
	}
	if got := c.Hosts(false); got != 1 {
		t.Errorf("%d hosts, want 1", got)
	}
	// Those who only receive take part, too.
	c = Check{Steps: []Step{says(A, ping, to(C, pong))}, Original: []Step{says(B, ping)}}
	if got := c.Hosts(false); got != 3 {
		t.Errorf("%d hosts, want 3", got)
	}
	if got := c.Hosts(true); got != 2 {
		t.Errorf("%d hosts for an original, want 2", got)
	}
	if c.timed(false) {
		t.Error("a check without times has some")
	}
	c.Original[0].At = 1
	if c.timed(false) || !c.timed(true) {
		t.Error("the times of the other exchange count")
	}
}
