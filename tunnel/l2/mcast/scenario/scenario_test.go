package scenario

import (
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// TestAll checks that the stories can be told: that their packets are good ones, and
// that nothing they want contradicts itself.
func TestAll(t *testing.T) {
	names := map[string]bool{}
	for _, s := range All() {
		if names[s.Name] {
			t.Errorf("two stories are called %q", s.Name)
		}
		names[s.Name] = true
		last, wants := time.Duration(0), 0
		for i, step := range s.Steps {
			if step.At < last {
				t.Errorf("%s: step %d is at %v, after one at %v", s.Name, i+1, step.At, last)
			}
			last = step.At
			for _, m := range step.Report {
				got, err := gmp.Parse(m.Append(nil))
				if err != nil || got.Kind != gmp.Report || got.Src != s.Host || got.Src.Is6() != s.V6 || got.Records[0].Group != s.Group {
					t.Errorf("%s: step %d: the report comes back as %+v, %v", s.Name, i+1, got, err)
				}
			}
			if step.Want != nil {
				wants++
				checkState(t, s.Name, step.Want)
			}
		}
		if wants == 0 {
			t.Errorf("%s: wants nothing", s.Name)
		}
	}
	if got, want := len(names), 48; got != want {
		t.Errorf("%d stories, want %d", got, want)
	}
}

func checkState(t *testing.T, name string, s *State) {
	t.Helper()
	for _, a := range s.Forward {
		if slices.Contains(s.Stop, a) {
			t.Errorf("%s: %v is to pass, and to be stopped", name, a)
		}
	}
	for _, a := range s.Blocked {
		if !slices.Contains(s.Stop, a) || slices.Contains(s.Sources, a) {
			t.Errorf("%s: %v is blocked and is not to be stopped", name, a)
		}
	}
	if s.Mode == "" && len(s.Sources)+len(s.Blocked)+len(s.Forward) > 0 || s.Mode != "" && len(s.Forward) == 0 {
		t.Errorf("%s: mode %q with sources %v, forwarded %v", name, s.Mode, s.Sources, s.Forward)
	}
}
