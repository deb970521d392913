package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A GridCell is two places for peers, between which a path is to be found.
type GridCell struct {
	Name string // in place of the kinds, for a Shape that is not Apart
	A, B Kind
	Shape
}

// A Shape says how the NATs of the two peers lie to each other.
type Shape uint8

// The shapes.
const (
	Apart   Shape = iota // each peer has a NAT of its own
	Shared               // both are on the LAN behind one NAT, of kind A, which does not hairpin
	Doubled              // between the NAT of the first peer and the Internet is a carrier's of kind A
)

// Grid returns the cells of the grid: all pairs of kinds, and what else real kernels
// can do.
func Grid() []GridCell {
	var cells []GridCell
	for a := None; a < kindCount; a++ {
		for b := a; b < kindCount; b++ {
			cells = append(cells, GridCell{A: a, B: b})
		}
	}
	return append(cells,
		GridCell{Name: "one LAN behind one NAT", A: PortRestricted, B: PortRestricted, Shape: Shared},
		GridCell{Name: "one LAN behind one hard NAT", A: Symmetric, B: Symmetric, Shape: Shared},
		GridCell{Name: "behind two NATs", A: PortRestricted, B: PortRestricted, Shape: Doubled},
		GridCell{Name: "behind two NATs, to a full cone", A: PortRestricted, B: FullCone, Shape: Doubled},
	)
}

// String names the cell.
func (c GridCell) String() string {
	return cmp.Or(c.Name, fmt.Sprintf("%v to %v", c.A, c.B))
}

// easy reports whether ordinary punching finds the path: it is [Direct], or the peers
// are on one LAN.
func (c GridCell) easy() bool { return c.Shape == Shared || Direct(c.A, c.B) }

// Reachable reports whether theory allows a direct path: where one end's outer port
// cannot be known, it can still be guessed, if that of the other end can be known.
func (c GridCell) Reachable() bool {
	return c.easy() || Guessable(c.A, c.B)
}

// guessed reports whether ports have to be guessed, of which nothing is known. One try of
// fifty finds none within the budget.
func (c GridCell) guessed() bool {
	return c.Reachable() && !c.easy() && c.A != Sequential && c.B != Sequential
}

// Limit returns how long the first answer may take.
func (c GridCell) Limit() time.Duration {
	switch {
	case c.easy():
		return 300 * time.Millisecond
	case c.A == Sequential || c.B == Sequential: // the next port is known
		return time.Second
	}
	return 3 * time.Second
}

// recoveryLimit is how long nothing may be answered after the outer address of the first
// peer's NAT has changed.
const recoveryLimit = time.Second

// A GridResult is what became of a cell. Durations are Lost where there was nothing.
type GridResult struct {
	GridCell
	Reply    time.Duration // to the first of the pings that were sent, whichever was answered
	Recovery time.Duration // the longest time without an answer after the change of address
	Again    bool          // all that is of the second try: in the first no port was guessed
	Err      error         // the cell could not be tried
}

// Problems returns what is not as it should be.
func (r GridResult) Problems() error {
	switch {
	case r.Err != nil:
		return r.Err
	case !r.Reachable() && r.Reply != Lost:
		return fmt.Errorf("a path that theory excludes was found after %v", r.Reply)
	case !r.Reachable():
		return nil
	case r.Reply == Lost:
		return errors.New("no path, although there is one")
	case r.Reply > r.Limit():
		return fmt.Errorf("the first answer took %v, the limit is %v", short(r.Reply), r.Limit())
	case r.hasRecovery() && r.Recovery == Lost:
		return errors.New("no path any more after the NAT's address has changed")
	case r.hasRecovery() && r.Recovery > r.recoveryLimit():
		return fmt.Errorf("no answer for %v after the NAT's address has changed, the limit is %v", short(r.Recovery), r.recoveryLimit())
	}
	return nil
}

// hasRecovery reports whether there is an outer address that the path depends on.
func (c GridCell) hasRecovery() bool { return c.A != None && c.Shape != Shared }

// recoveryLimit returns how long it may take to find the path again: what is hard the
// first time is so the second, too.
func (c GridCell) recoveryLimit() time.Duration {
	if c.easy() {
		return recoveryLimit
	}
	return recoveryLimit + c.Limit()
}

// GridOptions say what [RunGrid] does. The programs and certificates are those of
// [DemoOptions].
type GridOptions struct {
	Client  string
	Server  string // empty: see FindBinary
	Certify Certifier

	Cells    []GridCell // empty: those of Grid
	Parallel int        // cells at a time; 0: 2

	// Report is told every result, in no order. It is called by one goroutine at a time.
	Report func(GridResult)
}

// RunGrid tries every cell in a laboratory of its own, and returns the results in the
// order of the cells. Its error joins what is not as it should be.
func RunGrid(ctx context.Context, o GridOptions) ([]GridResult, error) {
	if len(o.Cells) == 0 {
		o.Cells = Grid()
	}
	try, done, err := newGridKernel(ctx, &o)
	if err != nil {
		return nil, err
	}
	defer done()
	return runGrid(ctx, o, try)
}

// runGrid is RunGrid, given how a cell is tried.
func runGrid(ctx context.Context, o GridOptions, try func(context.Context, GridCell) GridResult) ([]GridResult, error) {
	results := make([]GridResult, len(o.Cells))
	next := make(chan int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range cmp.Or(o.Parallel, 2) {
		wg.Go(func() {
			for i := range next {
				r := GridResult{GridCell: o.Cells[i], Reply: Lost, Recovery: Lost, Err: ErrInterrupted}
				if ctx.Err() == nil {
					r = try(ctx, o.Cells[i])
					if r.Err == nil && r.Reply == Lost && o.Cells[i].guessed() {
						r = try(ctx, o.Cells[i])
						r.Again = true
					}
				}
				mu.Lock()
				results[i] = r
				if o.Report != nil {
					o.Report(r)
				}
				mu.Unlock()
			}
		})
	}
	for i := range o.Cells {
		next <- i
	}
	close(next)
	wg.Wait()
	var problems []error
	for _, r := range results {
		if err := r.Problems(); err != nil {
			problems = append(problems, fmt.Errorf("%v: %w", r.GridCell, err))
		}
	}
	return results, errors.Join(problems...)
}

// GridTable writes results as a table in Markdown.
func GridTable(w io.Writer, results []GridResult) error {
	rows := [][]string{{"between", "theory", "outcome", "first reply", "gap after the NAT's address changed"}}
	for _, r := range results {
		rows = append(rows, r.row())
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(&b, "| %-*s ", width[i], cell)
		}
		b.WriteString("|\n")
		if n == 0 {
			for i := range row {
				b.WriteString("|" + strings.Repeat("-", width[i]+2))
			}
			b.WriteString("|\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// row returns r's row of the table.
func (r GridResult) row() []string {
	theory, outcome := "no direct path", "none"
	if r.Reachable() {
		theory = "direct"
	}
	if r.Reply != Lost {
		outcome = "direct"
	}
	if r.Again {
		outcome += ", second try"
	}
	if r.Problems() != nil {
		outcome += " (!)"
	}
	return []string{r.String(), theory, outcome, figure(r.Reply), figure(r.Recovery)}
}

func figure(d time.Duration) string {
	if d == Lost {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", inMilliseconds(d))
}

// GridJSON returns a function for [GridOptions] that writes one JSON object a line for
// each result.
func GridJSON(w io.Writer) func(GridResult) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	milliseconds := func(d time.Duration) any {
		if d == Lost {
			return nil
		}
		return inMilliseconds(d)
	}
	return func(r GridResult) {
		problem := ""
		if err := r.Problems(); err != nil {
			problem = err.Error()
		}
		doc := map[string]any{
			"cell": r.String(), "nat_a": r.A.String(), "nat_b": r.B.String(), "reachable": r.Reachable(), "direct": r.Reply != Lost,
			"first_reply_ms": milliseconds(r.Reply), "gap_ms": milliseconds(r.Recovery), "problem": problem,
		}
		if r.Again {
			doc["second_try"] = true
		}
		enc.Encode(doc) // to a writer that takes it, or nobody reads
	}
}
