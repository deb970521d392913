package lab

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestGridTheory(t *testing.T) {
	direct, none := 0, 0
	for _, c := range Grid() {
		switch {
		case c.Reachable():
			direct++
		default:
			none++
			if c.A < Symmetric || c.B < Symmetric {
				t.Errorf("%v counts as impossible", c)
			}
		}
		if limit := c.Limit(); limit != 300*time.Millisecond && limit != 3*time.Second && limit != time.Second {
			t.Errorf("%v may take %v", c, limit)
		}
	}
	if direct != 22 || none != 3 {
		t.Errorf("%d cells have a path and %d have none, want 22 and 3", direct, none)
	}
	if c := (GridCell{A: Sequential, B: PortRestricted}); c.Limit() != time.Second || c.recoveryLimit() != 2*time.Second {
		t.Errorf("a port in turn may take %v, and %v to be found again", c.Limit(), c.recoveryLimit())
	}
	if c := (GridCell{A: Sequential, B: FullCone}); c.Limit() != 300*time.Millisecond {
		t.Errorf("a full cone and ports in turn may take %v", c.Limit())
	}
	if c := (GridCell{A: PortRestricted, B: Symmetric}); c.Limit() != 3*time.Second || c.recoveryLimit() != 4*time.Second {
		t.Errorf("a guessed port may take %v, and %v to be found again", c.Limit(), c.recoveryLimit())
	}
}

func TestGridProblems(t *testing.T) {
	easy, hard, impossible := GridCell{A: FullCone, B: PortRestricted}, GridCell{A: PortRestricted, B: Symmetric}, GridCell{A: Symmetric, B: Symmetric}
	shared := GridCell{Name: "one LAN", A: Symmetric, B: Symmetric, Shape: Shared}
	ms := time.Millisecond
	for _, c := range []struct {
		r    GridResult
		want string
	}{
		{GridResult{easy, 4 * ms, 310 * ms, false, nil}, ""},
		{GridResult{easy, 301 * ms, 310 * ms, false, nil}, "the first answer took 301ms, the limit is 300ms"},
		{GridResult{easy, 4 * ms, 1001 * ms, false, nil}, "no answer for 1s after"},
		{GridResult{easy, 4 * ms, Lost, false, nil}, "no path any more"},
		{GridResult{easy, Lost, Lost, false, nil}, "no path, although"},
		{GridResult{easy, Lost, Lost, false, errors.New("no kernel")}, "no kernel"},
		{GridResult{hard, 2900 * ms, 3900 * ms, false, nil}, ""},
		{GridResult{hard, 3100 * ms, 3900 * ms, false, nil}, "the limit is 3s"},
		{GridResult{impossible, Lost, Lost, false, nil}, ""},
		{GridResult{impossible, ms, ms, false, nil}, "theory excludes"},
		{GridResult{shared, 4 * ms, Lost, false, nil}, ""},
		{GridResult{GridCell{A: None, B: None}, 4 * ms, Lost, false, nil}, ""},
	} {
		got := ""
		if err := c.r.Problems(); err != nil {
			got = err.Error()
		}
		if got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%v: %q, want %q", c.r, got, c.want)
		}
	}
}

func TestRunGrid(t *testing.T) {
	cells := []GridCell{{A: None, B: None}, {A: Symmetric, B: Symmetric}, {A: FullCone, B: Symmetric}}
	told := 0
	o := GridOptions{Cells: cells, Parallel: 2, Report: func(GridResult) { told++ }}
	results, err := runGrid(t.Context(), o, func(_ context.Context, c GridCell) GridResult {
		r := GridResult{GridCell: c, Reply: 5 * time.Millisecond, Recovery: 300 * time.Millisecond}
		if c.B == Symmetric {
			r.Reply, r.Recovery = Lost, Lost
		}
		return r
	})
	if err == nil || err.Error() != "full-cone to symmetric: no path, although there is one" {
		t.Errorf("error %v", err)
	}
	if told != 3 || len(results) != 3 || results[1].GridCell != cells[1] {
		t.Errorf("%d told, results %v", told, results)
	}
	var b bytes.Buffer
	if err := GridTable(&b, results); err != nil {
		t.Fatal(err)
	}
	const want = `| between                | theory         | outcome  | first reply | gap after the NAT's address changed |
|------------------------|----------------|----------|-------------|-------------------------------------|
| none to none           | direct         | direct   | 5.0 ms      | 300.0 ms                            |
| symmetric to symmetric | no direct path | none     | -           | -                                   |
| full-cone to symmetric | direct         | none (!) | -           | -                                   |
`
	if b.String() != want {
		t.Errorf("table:\n%swant:\n%s", b.String(), want)
	}
	b.Reset()
	GridJSON(&b)(results[2])
	if got := b.String(); got != `{"cell":"full-cone to symmetric","direct":false,"first_reply_ms":null,"gap_ms":null,"nat_a":"full-cone","nat_b":"symmetric","problem":"no path, although there is one","reachable":true}`+"\n" {
		t.Errorf("JSON: %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runGrid(ctx, o, nil); !errors.Is(err, ErrInterrupted) {
		t.Errorf("after an interruption: %v", err)
	}
}

// TestRunGridAgain: where ports are guessed a cell has a second chance, and no third.
func TestRunGridAgain(t *testing.T) {
	for _, c := range []struct {
		cell  GridCell
		found int // in which try
		tries int
		ok    bool
	}{
		{GridCell{A: PortRestricted, B: Symmetric}, 1, 1, true},
		{GridCell{A: PortRestricted, B: Symmetric}, 2, 2, true},
		{GridCell{A: PortRestricted, B: Symmetric}, 3, 2, false},
		{GridCell{A: PortRestricted, B: Sequential}, 2, 1, false},
		{GridCell{A: FullCone, B: Symmetric}, 2, 1, false},
	} {
		tries := 0
		results, err := runGrid(t.Context(), GridOptions{Cells: []GridCell{c.cell}}, func(context.Context, GridCell) GridResult {
			tries++
			if tries < c.found {
				return GridResult{GridCell: c.cell, Reply: Lost, Recovery: Lost}
			}
			return GridResult{GridCell: c.cell, Reply: 5 * time.Millisecond, Recovery: 300 * time.Millisecond}
		})
		if shown := strings.Contains(strings.Join(results[0].row(), " "), "second try"); shown != (tries == 2) {
			t.Errorf("%v, %d tries: the table says %q", c.cell, tries, results[0].row())
		}
		if tries != c.tries || (err == nil) != c.ok {
			t.Errorf("%v, found in try %d: %d tries, %v", c.cell, c.found, tries, err)
		}
	}
}

func TestGap(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		rtt  []time.Duration
		want time.Duration
	}{
		{nil, Lost},
		{[]time.Duration{ms, ms}, 0},
		{[]time.Duration{ms, Lost, ms, Lost, Lost, ms, Lost, ms}, 20 * ms},
		{[]time.Duration{ms, Lost}, Lost},
	} {
		if got := (PingResult{RTT: c.rtt}).Gap(10 * ms); got != c.want {
			t.Errorf("%v: gap %v, want %v", c.rtt, got, c.want)
		}
	}
}
