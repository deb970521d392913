package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A table is a title, columns and rows of text.
type table struct {
	title  string
	header []string
	rows   [][]string
}

// tables returns the tables of a report: one for each path that was measured,
// and the gates.
func (r *report) tables() []table {
	var all []table
	for _, p := range paths {
		if t := r.pathTable(p); len(t.rows) > 0 {
			all = append(all, t)
		}
	}
	if t := r.gateTable(); len(t.rows) > 0 {
		all = append(all, t)
	}
	return all
}

// pathTable returns all figures of all tools on a path.
func (r *report) pathTable(p path) table {
	t := table{title: p.title, header: []string{"", "unit"}}
	for _, tool := range r.Tools {
		t.header = append(t.header, tool.Title)
	}
	for _, f := range figures {
		if !r.has(p.id, f.id) {
			continue
		}
		row := []string{f.title, f.unit}
		for _, tool := range r.Tools {
			row = append(row, r.cell(p.id, tool.Name, f))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// cell writes the median, the least and the greatest value, and how many times
// wireguard-go's that is.
func (r *report) cell(path, tool string, f figure) string {
	s := r.spread(path, tool, f.id)
	if s.Count == 0 {
		return "–"
	}
	text := f.format(s.Median)
	if r.limited(path, tool, f.id) {
		text = "≥ " + text
	}
	if s.Count > 1 {
		text += fmt.Sprintf(" (%s–%s)", f.format(s.Min), f.format(s.Max))
	}
	if ratio := r.ratio(path, tool, toolWireGuard, f.id); ratio.Count > 0 && tool != toolWireGuard && tool != toolDirect {
		text += fmt.Sprintf(" ×%.2f", ratio.Median)
	}
	return text
}

// gateTable returns the gates and what became of them.
func (r *report) gateTable() table {
	t := table{title: "gates of Campagnol", header: []string{"figure", "goal", "measured", ""}}
	for _, v := range r.Gates {
		mark := "✓"
		if !v.Reached {
			mark = "✗ missed"
		}
		t.rows = append(t.rows, []string{v.title(), v.goal(), v.measured(), mark})
	}
	return t
}

// writeText writes the table for a terminal.
func (t table) writeText(w io.Writer) {
	width := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	fmt.Fprintf(w, "%s\n\n", t.title)
	for _, row := range append([][]string{t.header}, t.rows...) {
		line := ""
		for i, c := range row {
			line += "  " + c + strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	fmt.Fprintln(w)
}

// writeMarkdown writes the table for a document.
func (t table) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n", strings.ToUpper(t.title[:1])+t.title[1:])
	writeRow(w, t.header)
	fmt.Fprintln(w, "|"+strings.Repeat(" --- |", len(t.header)))
	for _, row := range t.rows {
		writeRow(w, row)
	}
	fmt.Fprintln(w)
}

// writeRow writes a row in Markdown.
func writeRow(w io.Writer, cells []string) {
	for _, c := range cells {
		fmt.Fprintf(w, "| %s ", strings.ReplaceAll(c, "|", `\|`))
	}
	fmt.Fprintln(w, "|")
}

// summary tells what the numbers come from, a line to each thing.
func (r *report) summary() []string {
	m, s := r.Machine, r.Settings
	kernel, _, _ := strings.Cut(m.Kernel, "-") // whoever built it
	lines := []string{
		fmt.Sprintf("%s, %d processors, Linux %s, %s, %s", orUnknown(m.Processor), m.Processors, kernel, m.Go, r.Began.UTC().Format("2 January 2006")),
		fmt.Sprintf("%s, TCP for %g s each, congestion control %s; median (least–greatest) ×: to wireguard-go of the same round",
			counted(s.Rounds, "round"), s.Seconds, s.Congestion),
	}
	if s.GOMAXPROCS > 0 {
		lines = append(lines, fmt.Sprintf("every daemon has GOMAXPROCS=%d", s.GOMAXPROCS))
	}
	if s.Short {
		lines = append(lines, "a short run: it shows that everything works, and not more")
	}
	if s.Profiled {
		lines = append(lines, "profiles of Campagnol were taken, which cost it a little")
	}
	for _, t := range r.Tools {
		line := t.Title + ": " + t.Settings
		if t.Version != "" {
			line = t.Title + " " + t.Version + ": " + t.Settings
		}
		lines = append(lines, line)
	}
	if n := r.disturbed(); n > 0 {
		lines = append(lines, fmt.Sprintf("%d of %s taken while other programs had a part of the machine", n, counted(len(r.Samples), "value")))
	}
	return lines
}

// writeText writes everything for a terminal.
func (r *report) writeText(w io.Writer) {
	for _, line := range r.summary() {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
	for _, t := range r.tables() {
		t.writeText(w)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "failed: %v\n", f)
	}
	fmt.Fprintf(w, "took %v\n", time.Duration(r.Took*float64(time.Second)).Round(time.Second))
}

// writeMarkdown writes everything for a document.
func (r *report) writeMarkdown(w io.Writer) {
	for _, line := range r.summary() {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprintln(w)
	for _, t := range r.tables() {
		t.writeMarkdown(w)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "Failed: %s\n\n", strings.ReplaceAll(f.String(), "\n", " "))
	}
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown processor"
	}
	return s
}
