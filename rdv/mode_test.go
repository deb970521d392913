package rdv

import "testing"

func TestParseMode(t *testing.T) {
	for _, want := range []Mode{Open, Mixed, Strict} {
		if got, err := ParseMode(want.String()); got != want || err != nil {
			t.Errorf("%v: %v, %v", want, got, err)
		}
	}
	for _, name := range []string{"", "Open", "mode 7", "mixed "} {
		if got, err := ParseMode(name); err == nil {
			t.Errorf("%q is the mode %v", name, got)
		}
	}
	if got := Mode(7).String(); got != "mode 7" {
		t.Error(got)
	}
}
