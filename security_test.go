package campagnol_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// securityDoc is the page that says what an attacker can do.
const securityDoc = "docs/security.md"

// TestSecurityPage checks that every attack on the page says what happens, and names
// tests that exist.
func TestSecurityPage(t *testing.T) {
	text, err := os.ReadFile(securityDoc)
	if err != nil {
		t.Fatal(err)
	}
	tests := findTests(t)
	rows := 0
	for _, row := range attackRows(string(text)) {
		rows++
		if row.err != nil {
			t.Errorf("%s:%d: %v", securityDoc, row.line, row.err)
			continue
		}
		for _, name := range row.tests {
			if err := tests.find(name); err != nil {
				t.Errorf("%s:%d: %v", securityDoc, row.line, err)
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d attacks; the page is not what it was", rows)
	}
}

// An attackRow is a row of one of the page's tables.
type attackRow struct {
	line  int
	tests []string
	err   error
}

func attackRows(text string) (rows []attackRow) {
	inTable := false
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(l)
		if !strings.HasPrefix(l, "|") {
			inTable = false
			continue
		}
		cells := splitCells(l)
		r := attackRow{line: line}
		switch {
		case !inTable:
			inTable = true
			if slices.Equal(cells, []string{"Attack", "What happens", "Shown by"}) {
				continue
			}
			r.err = fmt.Errorf("a table with the columns %q", cells)
		case strings.Trim(strings.Join(cells, ""), "-: ") == "":
			continue
		case len(cells) != 3 || cells[0] == "" || cells[1] == "":
			r.err = fmt.Errorf("a row with the cells %q", cells)
		default:
			for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
				r.tests = append(r.tests, m[1])
			}
			if len(r.tests) == 0 {
				r.err = fmt.Errorf("no test shows %q", cells[0])
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func TestAttackRows(t *testing.T) {
	const head = "| Attack | What happens | Shown by |\n|---|---|---|\n"
	for _, c := range []struct {
		text string
		want string // "": a good row
	}{
		{head + "| a | b | `c.TestD` |", ""},
		{head + "| a | b | see there |", "no test shows"},
		{head + "| a | | `c.TestD` |", "a row with the cells"},
		{head + "| a | `c.TestD` |", "a row with the cells"},
		{"| Attack | Shown by |\n", "a table with the columns"},
	} {
		rows := attackRows(c.text)
		if len(rows) != 1 {
			t.Errorf("%q: %d rows, want 1", c.text, len(rows))
			continue
		}
		if got := fmt.Sprint(rows[0].err); c.want == "" && rows[0].err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%q: %v, want %q", c.text, rows[0].err, c.want)
		}
	}
}
