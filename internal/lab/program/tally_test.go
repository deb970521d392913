package program

import (
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	t.Parallel()
	stranger := receptions(55, 2)
	stranger[0].Run = 9
	for _, c := range []struct {
		name string
		sent uint64
		in   []Reception // pairs of when and which; slow by the number in milliseconds
		want Tally
	}{
		{"nothing", 0, nil, Tally{}},
		{"nothing came", 3, nil, Tally{Sent: 3, Lost: 3}},
		{"all came", 3, receptions(10, 0, 20, 1, 30, 2), Tally{Sent: 3, Received: 3, Gap: 10 * ms, Slowest: 2 * ms}},
		{"the first and the last are lost", 4, receptions(20, 1, 30, 2), Tally{Sent: 4, Received: 2, Lost: 2, Gap: 10 * ms, Slowest: 2 * ms}},
		{"twice", 2, receptions(10, 0, 11, 0, 20, 1, 21, 1, 22, 1), Tally{Sent: 2, Received: 2, Duplicated: 3, Gap: 9 * ms, Slowest: ms}},
		{"overtaken by two, and by one", 6, receptions(10, 1, 11, 2, 12, 0, 13, 4, 14, 3, 15, 5),
			Tally{Sent: 6, Received: 6, Overtaken: 2, Furthest: 2, Gap: ms, Slowest: 5 * ms}},
		{"a late copy is not overtaken", 4, receptions(10, 0, 11, 1, 12, 2, 13, 3, 40, 0),
			Tally{Sent: 4, Received: 4, Duplicated: 1, Gap: 27 * ms, Slowest: 3 * ms}},
		{"a gap", 3, receptions(10, 0, 250, 1, 260, 2), Tally{Sent: 3, Received: 3, Gap: 240 * ms, Slowest: 2 * ms}},
		{"what others have sent", 2, append(receptions(10, 0, 50, 1), stranger...), Tally{Sent: 2, Received: 2, Gap: 40 * ms, Slowest: ms}},
		{"what was sent after the count", 2, receptions(10, 0, 20, 1, 30, 2, 40, 1<<60), Tally{Sent: 2, Received: 2, Gap: 10 * ms, Slowest: ms}},
	} {
		if got := NewTally(Sent{Count: c.sent}, c.in); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestTallyText(t *testing.T) {
	t.Parallel()
	got := Tally{Sent: 9, Received: 7, Lost: 2, Duplicated: 1, Overtaken: 3, Furthest: 4, Gap: 12*ms + 345*time.Microsecond, Slowest: 2 * ms}.String()
	if want := "9 sent, 2 lost, 1 duplicated, 3 overtaken (by 4 at most), longest gap 12.3ms, slowest 2ms"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
