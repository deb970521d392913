package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/human"

	tea "charm.land/bubbletea/v2"
)

const (
	topInterval = time.Second // between two looks
	topEvents   = 200         // that are remembered
	topRetry    = time.Second // after an error of asking for events
	topFilter   = 64          // bytes of a filter
)

// A topSource is whom the view asks. The functions are called on goroutines of their own.
type topSource struct {
	status  func() (*control.Status, error)
	explain func(peer string) (*control.Explanation, error)
	events  func(since uint64) (*control.Events, error)
}

// A topModel is the state of the view: an Elm-like model, which only Update changes. It
// reads no clock: times are those of the documents.
type topModel struct {
	source        topSource
	width, height int
	plain, ascii  bool

	status *control.Status // the last one that is shown; nil: none
	rates  rateHistories
	err    error // of the last look; nil: it was answered

	events  []control.Event
	pending []control.Event // come while it is paused
	since   uint64          // the last event's number
	started time.Time       // of the client that numbers them

	order     int // in topOrders
	reverse   bool
	filter    string
	filtering bool // the filter is being typed
	paused    bool

	selected  netip.Addr // the zero Addr: the first one
	details   bool
	explained *control.Explanation // of selected; nil: not come yet
	refused   error                // why there is none
}

// Messages.
type (
	topTick      struct{}
	topAskEvents struct{}
	topLooked    struct {
		status *control.Status
		err    error
	}
	topHappened struct {
		events *control.Events
		err    error
	}
	topExplained struct {
		peer netip.Addr
		e    *control.Explanation
		err  error
	}
)

func newTopModel(source topSource) *topModel {
	return &topModel{source: source, rates: rateHistories{}}
}

// Init begins to look and to wait for events.
func (m *topModel) Init() tea.Cmd { return tea.Batch(m.tick(), m.awaitEvents()) }

func (m *topModel) tick() tea.Cmd {
	return tea.Tick(topInterval, func(time.Time) tea.Msg { return topTick{} })
}

func (m *topModel) look() tea.Cmd {
	ask := m.source.status
	return func() tea.Msg { s, err := ask(); return topLooked{s, err} }
}

func (m *topModel) awaitEvents() tea.Cmd {
	ask, since := m.source.events, m.since
	return func() tea.Msg { e, err := ask(since); return topHappened{e, err} }
}

// explain asks about the selected peer, if its details are shown.
func (m *topModel) explain() tea.Cmd {
	peer := m.current()
	if !m.details || !peer.IsValid() {
		return nil
	}
	ask := m.source.explain
	return func() tea.Msg { e, err := ask(peer.String()); return topExplained{peer, e, err} }
}

// Update takes a message.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case topTick:
		if m.paused {
			return m, m.tick()
		}
		return m, m.look()
	case topLooked:
		if m.err = msg.err; msg.err == nil && !m.paused {
			m.take(msg.status)
		}
		return m, tea.Batch(m.tick(), m.explain())
	case topHappened:
		return m, m.happened(msg)
	case topAskEvents:
		return m, m.awaitEvents()
	case topExplained:
		if msg.peer == m.current() {
			m.explained, m.refused = msg.e, msg.err
		}
	}
	return m, nil
}

// take shows a document.
func (m *topModel) take(s *control.Status) {
	m.rates.look(m.status, s)
	m.status = s
}

// happened takes events, and waits for more.
func (m *topModel) happened(msg topHappened) tea.Cmd {
	if msg.err != nil { // look tells of it
		return tea.Tick(topRetry, func(time.Time) tea.Msg { return topAskEvents{} })
	}
	if !msg.events.Started.Equal(m.started) {
		m.started = msg.events.Started // another client, which counts anew
	}
	m.since = msg.events.Next
	if m.paused {
		m.pending = lastEvents(append(m.pending, msg.events.Events...))
	} else {
		m.events = lastEvents(append(m.events, msg.events.Events...))
	}
	return m.awaitEvents()
}

// lastEvents returns the last of a list, as many as are remembered.
func lastEvents(list []control.Event) []control.Event {
	return slices.Clone(list[max(0, len(list)-topEvents):])
}

// press takes a key.
func (m *topModel) press(key tea.KeyPressMsg) tea.Cmd {
	if key.String() == "ctrl+c" {
		return tea.Quit
	}
	if m.filtering {
		m.typeFilter(key)
		return nil
	}
	switch key.String() {
	case "q":
		return tea.Quit
	case "up", "k":
		return m.move(-1)
	case "down", "j":
		return m.move(1)
	case "pgup":
		return m.move(-m.rows())
	case "pgdown":
		return m.move(m.rows())
	case "home", "g":
		return m.move(-len(m.peers()))
	case "end", "G":
		return m.move(len(m.peers()))
	case "s":
		m.order = (m.order + 1) % len(topOrders)
	case "r":
		m.reverse = !m.reverse
	case "/":
		m.filtering = true
	case "enter":
		m.details = !m.details
		m.explained, m.refused = nil, nil
		return m.explain()
	case "esc":
		m.details, m.filter = false, ""
	case "p", "space":
		m.pause()
	}
	return nil
}

// pause stops the picture, or lets it go on.
func (m *topModel) pause() {
	if m.paused = !m.paused; !m.paused {
		m.events = lastEvents(append(m.events, m.pending...))
		m.pending = nil
	}
}

// typeFilter takes a key of a filter.
func (m *topModel) typeFilter(key tea.KeyPressMsg) {
	switch key.String() {
	case "enter":
		m.filtering = false
	case "esc":
		m.filtering, m.filter = false, ""
	case "backspace":
		if r := []rune(m.filter); len(r) > 0 {
			m.filter = string(r[:len(r)-1])
		}
	default:
		if len(m.filter)+len(key.Text) <= topFilter {
			m.filter += human.Printable(key.Text)
		}
	}
}

// move selects another peer.
func (m *topModel) move(by int) tea.Cmd {
	list := m.peers()
	if len(list) == 0 {
		return nil
	}
	at := min(max(0, m.place(list)+by), len(list)-1)
	if m.selected = list[at].VPNAddress; m.details {
		m.explained, m.refused = nil, nil
	}
	return m.explain()
}

// place returns the place of the selected peer in a list; 0 if it is not there.
func (m *topModel) place(list []control.Peer) int {
	return max(0, slices.IndexFunc(list, func(p control.Peer) bool { return p.VPNAddress == m.selected }))
}

// current returns the selected peer; the zero Addr: there is none.
func (m *topModel) current() netip.Addr {
	list := m.peers()
	if len(list) == 0 {
		return netip.Addr{}
	}
	return list[m.place(list)].VPNAddress
}

// A topOrder is something that peers are sorted by.
type topOrder struct {
	name    string
	compare func(m *topModel, a, b *control.Peer) int
}

var topOrders = []topOrder{
	{"address", func(_ *topModel, a, b *control.Peer) int { return a.VPNAddress.Compare(b.VPNAddress) }},
	{"rate", func(m *topModel, a, b *control.Peer) int { return cmp.Compare(m.rate(b), m.rate(a)) }},
	{"rtt", func(_ *topModel, a, b *control.Peer) int {
		return cmp.Or(lastIf(a.PathRTTSeconds == 0, b.PathRTTSeconds == 0), cmp.Compare(a.PathRTTSeconds, b.PathRTTSeconds))
	}},
	{"name", func(_ *topModel, a, b *control.Peer) int {
		return cmp.Or(lastIf(a.Name == "", b.Name == ""), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	}},
	{"state", func(_ *topModel, a, b *control.Peer) int { return cmp.Compare(stateRank(a.State), stateRank(b.State)) }},
	{"age", func(_ *topModel, a, b *control.Peer) int {
		return cmp.Or(lastIf(a.Since.IsZero(), b.Since.IsZero()), b.Since.Compare(a.Since))
	}},
}

// rate returns what goes through a peer's tunnel now.
func (m *topModel) rate(p *control.Peer) float64 {
	if h := m.rates[p.VPNAddress]; h != nil {
		return h.in + h.out
	}
	return 0
}

// peers returns those that pass the filter, in order.
func (m *topModel) peers() []control.Peer {
	if m.status == nil {
		return nil
	}
	want := strings.ToLower(m.filter)
	var list []control.Peer
	for _, p := range m.status.Peers {
		text := strings.ToLower(p.VPNAddress.String() + " " + p.Name + " " + p.State + " " + p.PathKind + " " + p.Path.String())
		if strings.Contains(text, want) {
			list = append(list, p)
		}
	}
	compare := topOrders[m.order].compare
	slices.SortFunc(list, func(a, b control.Peer) int {
		c := cmp.Or(compare(m, &a, &b), a.VPNAddress.Compare(b.VPNAddress))
		if m.reverse {
			return -c
		}
		return c
	})
	return list
}
