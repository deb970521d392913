package main

import (
	"fmt"
	"strings"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/human"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// The least size that is drawn on.
const (
	topMinWidth  = 60
	topMinHeight = 12
)

// topWide is from which width there is room for all columns.
const topWide = 110

// The styles of the view. NO_COLOR does without all of them.
var (
	topBold     = lipgloss.NewStyle().Bold(true)
	topSelected = lipgloss.NewStyle().Reverse(true)
	topGood     = lipgloss.NewStyle().Foreground(lipgloss.Green)
	topBad      = lipgloss.NewStyle().Foreground(lipgloss.Red)
	topFaint    = lipgloss.NewStyle().Faint(true)
)

// paint applies a style, unless there is to be none.
func (m *topModel) paint(s lipgloss.Style, text string) string {
	if m.plain {
		return text
	}
	return s.Render(text)
}

// View draws the screen.
func (m *topModel) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "campagnol top"
	return v
}

// lines returns the screen: as many lines as it has, none of which is wider.
func (m *topModel) lines() []string {
	if m.width < topMinWidth || m.height < topMinHeight || m.status == nil {
		text := fmt.Sprintf("the terminal is too small: %d x %d at least", topMinWidth, topMinHeight)
		return []string{fit(text, max(0, m.width))}
	}
	lines := m.head()
	list := m.peers()
	rows := m.rows()
	columns := m.columns(list)
	lines = append(lines, m.paint(topBold, fit("  "+columns.head(), m.width)))
	at := m.place(list)
	from := m.first(list)
	for i := range rows {
		if from+i >= len(list) {
			lines = append(lines, "")
			continue
		}
		lines = append(lines, m.row(columns, &list[from+i], from+i == at))
	}
	if len(list) == 0 {
		lines[len(lines)-rows] = "  " + m.emptyText()
	}
	lines = append(lines, m.pane()...)
	return append(lines, m.paint(topFaint, fit(m.foot(), m.width)))
}

// first returns the first of a list of peers that there is room for: the selected one is
// in the middle.
func (m *topModel) first(list []control.Peer) int {
	return max(0, min(m.place(list)-m.rows()/2, len(list)-m.rows()))
}

// emptyText says why there are no peers.
func (m *topModel) emptyText() string {
	if m.filter != "" && len(m.status.Peers) > 0 {
		return "no peer passes the filter; Esc takes it away"
	}
	return "no tunnels; the first packet for a peer opens one"
}

// headLines is how many lines there are above the table.
const headLines = 4

// paneLines returns how many lines there are below the table, but for the last one.
func (m *topModel) paneLines() int {
	rest := m.height - headLines - 2
	if m.details {
		return max(5, rest*3/5)
	}
	return min(max(4, rest/3), 12)
}

// rows returns how many peers there is room for.
func (m *topModel) rows() int { return max(1, m.height-headLines-2-m.paneLines()) }

// head says who we are, and how we are.
func (m *topModel) head() []string {
	s := m.status
	own := addrText(s.VPNAddress)
	if len(s.Certificates) > 0 && !s.Certificates[0].Authority {
		own = who(own, strings.TrimPrefix(s.Certificates[0].Name, "CN="))
	}
	var in, out float64
	open := 0
	for i := range s.Peers {
		if h := m.rates[s.Peers[i].VPNAddress]; h != nil {
			in, out = in+h.in, out+h.out
		}
		if !s.Peers[i].Since.IsZero() {
			open++
		}
	}
	first := fmt.Sprintf("%s on %s, up %s; %d/%d peers, in %s, out %s", own, human.Printable(s.Interface), human.Age(s.Time.Sub(s.Started)),
		open, len(s.Peers), rateText(in), rateText(out))
	nat := "what is between this host and the Internet was not examined"
	if s.NAT.Description != "" {
		nat = "this host " + human.Printable(s.NAT.Description)
	}
	registered := m.paint(topGood, fit(registeredText(s), m.width))
	if !s.RDV.Registered {
		registered = m.paint(topBad, fit(registeredText(s), m.width))
	}
	return []string{m.paint(topBold, fit(first, m.width)), registered, fit(nat, m.width), m.notice()}
}

// registeredText says where we are registered.
func registeredText(s *control.Status) string {
	r := &s.RDV
	server := r.Address.String()
	if r.Host != "" && r.Host != r.Address.Addr().String() {
		server = human.Printable(r.Host) + " (" + server + ")"
	}
	switch {
	case !r.Registered:
		return "NOT registered at " + server
	case r.Registration == control.RegisteredAuthenticated:
		return fmt.Sprintf("registered at %s, authenticated for %s", server, human.Age(s.Time.Sub(r.Since)))
	}
	return "registered at " + server + ", in clear"
}

// notice says what is special about the picture; empty: nothing.
func (m *topModel) notice() string {
	var texts []string
	if m.err != nil {
		texts = append(texts, "NO ANSWER: "+human.Printable(m.err.Error()))
	}
	if m.paused {
		texts = append(texts, "PAUSED")
	}
	if m.filtering {
		texts = append(texts, "filter: "+m.filter+"_")
	} else if m.filter != "" {
		texts = append(texts, "filter: "+m.filter)
	}
	if list := m.peers(); len(list) > m.rows() {
		from := m.first(list)
		texts = append(texts, fmt.Sprintf("peers %d to %d of %d are seen", from+1, from+m.rows(), len(list)))
	}
	return m.paint(topBad, fit(strings.Join(texts, "; "), m.width))
}

// rateOf returns one of a peer's rates.
func (m *topModel) rateOf(p *control.Peer, of func(*rateHistory) float64) string {
	if h := m.rates[p.VPNAddress]; h != nil {
		return rateText(of(h))
	}
	return "-"
}

// spark draws a peer's last minute.
func (m *topModel) spark(p *control.Peer, width int) string {
	steps := sparkBlocks
	if m.ascii {
		steps = sparkASCII
	}
	h := m.rates[p.VPNAddress]
	if h == nil {
		return ""
	}
	return sparkline(h.list, width, steps)
}

// pathWord returns the kind of a peer's path, or how far it is from having one.
func pathWord(p *control.Peer) string {
	switch {
	case p.Since.IsZero():
		return strings.ToLower(human.OrDash(p.State))
	case p.PathKind != "":
		return human.Printable(p.PathKind)
	}
	return "open" // an original's
}

// row returns the line of a peer.
func (m *topModel) row(columns topColumns, p *control.Peer, selected bool) string {
	var cells []string
	for _, c := range columns {
		cells = append(cells, c.fit(c.cell(m, p)))
	}
	line := strings.Join(cells, " ")
	if selected {
		return m.paint(topSelected, fit("> "+line, m.width))
	}
	return fit("  "+line, m.width)
}

// pane returns what is below the table: details of a peer, or what has happened.
func (m *topModel) pane() []string {
	title, lines := "EVENTS", m.eventLines(m.paneLines()-1)
	if m.details {
		title, lines = m.detailLines()
	}
	list := []string{m.paint(topBold, fit(title, m.width))}
	for i := range m.paneLines() - 1 {
		if i < len(lines) {
			list = append(list, strings.TrimRight(fit(lines[i], m.width), " "))
		} else {
			list = append(list, "")
		}
	}
	return list
}

// eventLines returns the last events, the newest first.
func (m *topModel) eventLines(n int) (lines []string) {
	for i := len(m.events) - 1; i >= 0 && len(lines) < n; i-- {
		e := &m.events[i]
		lines = append(lines, "  "+e.Time.Local().Format(time.TimeOnly)+"  "+eventText(e))
	}
	if len(lines) == 0 {
		lines = append(lines, "  nothing has happened yet")
	}
	return lines
}

// detailLines returns what "campagnol explain" says of the selected peer.
func (m *topModel) detailLines() (title string, lines []string) {
	peer := m.current()
	if !peer.IsValid() {
		return "DETAILS", []string{"  no peer is selected"}
	}
	title = "DETAILS OF " + peer.String()
	switch {
	case m.refused != nil:
		return title, []string{"  " + human.Printable(m.refused.Error())}
	case m.explained == nil:
		return title, []string{"  asking..."}
	}
	text := strings.TrimRight(explainText(m.explained, m.width-2), "\n")
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, "  "+line)
	}
	if most := m.paneLines() - 1; len(lines) > most {
		lines = append(lines[:most-1], fmt.Sprintf("  \"campagnol explain %s\" says more", peer))
	}
	return title, lines
}

// foot names the keys.
func (m *topModel) foot() string {
	if m.filtering {
		return "type a part of address, name, state or path; Enter keeps it, Esc takes it away"
	}
	order := topOrders[m.order].name
	if m.reverse {
		order += " reversed"
	}
	return "q quit  Enter details  s sort (" + order + ")  r reverse  / filter  p pause"
}

// fit cuts text to a width.
func fit(text string, width int) string {
	if lipgloss.Width(text) <= width {
		return text
	}
	var b strings.Builder
	used := 0
	for _, c := range text {
		w := lipgloss.Width(string(c))
		if used+w >= width {
			break
		}
		b.WriteRune(c)
		used += w
	}
	return b.String() + strings.Repeat("~", max(0, min(1, width-used)))
}
