package guide

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnswer: questions are asked until the answer is as the document shows it, or until
// the patience ends, and everything else is typed once.
func TestAnswer(t *testing.T) {
	failed := errors.New("it fails")
	type answer struct {
		text string
		err  error
	}
	for _, c := range []struct {
		line, shown string
		answers     []answer // the last one stays
		want        answer
		times       int
		took        time.Duration
	}{
		{"campagnol status", "open 3s\n", []answer{{"open 4s", nil}}, answer{"open 4s", nil}, 1, 0},
		{"campagnol status", "open 3s\n", []answer{{"", failed}, {"closed", nil}, {"open 1s", failed}, {"open 2s", nil}}, answer{"open 2s", nil}, 4, 3 * again},
		{"curl http://10.9.0.1/", "", []answer{{"", failed}, {"whatever", nil}}, answer{"whatever", nil}, 2, again},
		{"campagnol status", "open\n", []answer{{"closed", nil}}, answer{"closed", nil}, int(Patience/again) + 1, Patience},
		{"campagnol status", "", []answer{{"closed", failed}}, answer{"closed", failed}, int(Patience/again) + 1, Patience},
		{"campagnol reload", "yes\n", []answer{{"no", failed}, {"yes", nil}}, answer{"no", failed}, 1, 0},
		{"campagnol_rdv -D", "", []answer{{"", failed}, {"", nil}}, answer{"", failed}, 1, 0},
		{"pinga", "", []answer{{"", failed}, {"", nil}}, answer{"", failed}, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, times := time.Now(), 0
			out, err := Command{Line: c.line, Output: c.shown}.Answer(func() (string, error) {
				times++
				a := c.answers[min(times, len(c.answers))-1]
				return a.text, a.err
			}, Usual()...)
			if got := (answer{out, err}); got != c.want || times != c.times || time.Since(began) != c.took {
				t.Errorf("%q, shown %q: got %v, typed %d times, after %v; want %v, %d times, after %v",
					c.line, c.shown, got, times, time.Since(began), c.want, c.times, c.took)
			}
		})
	}
}
