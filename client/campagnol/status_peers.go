package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

// statusPeers is the table of peers. On a terminal that is too narrow for it, each peer has
// a few of the columns, and the others are told below it.
func statusPeers(b *strings.Builder, s, earlier *control.Status, width int) {
	b.WriteByte('\n')
	if len(s.Peers) == 0 {
		b.WriteString("no tunnels; the first packet for a peer opens one\n")
		return
	}
	before := map[netip.Addr]control.Peer{}
	var gone time.Duration
	if earlier != nil {
		gone = s.Time.Sub(earlier.Time)
		for _, p := range earlier.Peers {
			before[p.VPNAddress] = p
		}
	}
	head := []string{"PEER", "STATE", "OPEN FOR", "KEYS FOR", "IN", "OUT", "LAST IN", "LAST OUT", "WAITING", "PATH", "WE ARE", "PROTOCOL", "CIPHER"}
	if earlier != nil {
		head = slices.Insert(head, 6, "IN/S", "OUT/S")
	}
	rows := [][]string{head}
	for _, p := range s.Peers {
		cells := peerCells(s.Time, p)
		if earlier != nil {
			cells = slices.Insert(cells, 6, rates(p, before[p.VPNAddress], gone)...)
		}
		rows = append(rows, cells)
	}
	text := tableText(rows)
	if width == 0 || widest(text) <= width {
		b.WriteString(text)
		return
	}
	narrowPeers(b, s, rows, width)
}

// briefly are the columns that narrow terminals have room for.
var briefly = []string{"PEER", "STATE", "OPEN FOR", "IN", "OUT", "IN/S", "OUT/S"}

// narrowPeers writes the table for a narrow terminal.
func narrowPeers(b *strings.Builder, s *control.Status, rows [][]string, width int) {
	brief := make([][]string, len(rows))
	rest := make([]string, len(rows))
	for i, cells := range rows {
		var others []string
		for j, cell := range cells {
			switch name := rows[0][j]; {
			case slices.Contains(briefly, name):
				brief[i] = append(brief[i], cell)
			case i > 0 && cell != "-" && cell != "0":
				others = append(others, strings.ToLower(name)+" "+cell)
			}
		}
		rest[i] = strings.Join(others, ", ")
	}
	table := strings.SplitAfter(tableText(brief), "\n")
	for i := range rows {
		b.WriteString(table[i])
		if i == 0 {
			continue
		}
		if name := s.Peers[i-1].Name; name != "" {
			rest[i] = strings.TrimSuffix(fmt.Sprintf("%q, %s", human.Printable(name), rest[i]), ", ")
		}
		if rest[i] != "" {
			wrap(b, rest[i], "    ", "    ", width)
		}
	}
}

// tableText returns rows as a table.
func tableText(rows [][]string) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	_ = table.Flush() // a Builder takes everything
	return b.String()
}

// widest returns the number of characters of the longest line.
func widest(text string) (n int) {
	for line := range strings.Lines(text) {
		n = max(n, utf8.RuneCountInString(strings.TrimRight(line, "\n")))
	}
	return n
}

// peerCells returns a line of the table.
func peerCells(now time.Time, p control.Peer) []string {
	since := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return human.Age(now.Sub(t))
	}
	path := "-"
	if p.Path.IsValid() {
		path = p.Path.String()
	}
	if p.PathKind != "" {
		path += " (" + strings.Join(pathWords(p), ", ") + ")"
	}
	return []string{
		addrText(p.VPNAddress), human.OrDash(p.State), since(p.Since), since(p.KeysSince), human.Size(p.BytesIn), human.Size(p.BytesOut), since(p.LastIn), since(p.LastOut),
		fmt.Sprint(p.WaitingPackets), path, human.OrDash(p.Role), human.OrDash(p.Protocol), human.OrDash(p.Cipher),
	}
}

// rates returns what came in and went out in a second, on average since an earlier
// look. A session that is another one since has begun with nothing.
func rates(p, before control.Peer, gone time.Duration) []string {
	if !p.Since.Equal(before.Since) {
		before = control.Peer{}
	}
	rate := func(now, then uint64) string {
		if gone <= 0 || now < then {
			return "-"
		}
		return fmt.Sprintf("%.1f KiB/s", float64(now-then)/1024/gone.Seconds())
	}
	return []string{rate(p.BytesIn, before.BytesIn), rate(p.BytesOut, before.BytesOut)}
}
