package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// maxRequests bounds the requests that wait for an answer. ASKs are limited in
// rate and die after seconds; FINISHEDs, which may be lost, can be many when many
// tunnels are closed at once.
const maxRequests = 512

// requestWaits are how long an answer is waited for, the first time and after each
// repetition.
var requestWaits = [...]time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 2 * time.Second}

// Bounds on how often we say PING, whatever lease the RDV grants.
const pingFastest = time.Second

// A link is a channel: the keys of one handshake, and what was agreed over them.
type link struct {
	seal   *record.Sealer
	open   *record.Opener
	suite  record.Suite
	chain  [][]byte // the RDV's certificates
	server ServerIdentity
	conn   punch.Conn // the stream that it goes over; nil: UDP

	since    time.Time      // registered
	endpoint netip.AddrPort // where the RDV sees us
	lease    time.Duration  // silence after which it forgets us; 0: it did not say
	seen     []uint32       // IDs of its last requests, oldest first
	tmp      record.Scratch
}

// maxSeen is how many requests of the RDV are recognised when they are repeated.
// It has that many out in a few seconds at most, or we are under attack by it.
const maxSeen = 64

// steady reports whether l has stood for a while. It may be nil.
func (l *link) steady(now time.Time) bool {
	return l != nil && now.Sub(l.since) >= steadyAfter
}

// pingInterval is how often PING is said: three times in a lease.
func (l *link) pingInterval() time.Duration {
	if l.lease == 0 {
		return pingInterval
	}
	return min(max(l.lease/3, pingFastest), pingInterval)
}

// again notes the ID of a request of the RDV, and reports whether it came before.
func (l *link) again(id uint32) bool {
	if slices.Contains(l.seen, id) {
		return true
	}
	if len(l.seen) == maxSeen {
		l.seen = append(l.seen[:0], l.seen[1:]...)
	}
	l.seen = append(l.seen, id)
	return false
}

// sealed returns the datagram with a message, or nil when the keys are spent.
func (l *link) sealed(msg *channel.Message) []byte {
	return l.sealRecord(msg.Append(nil), record.ApplicationData)
}

func (l *link) sealRecord(payload []byte, typ record.ContentType) []byte {
	rec, err := l.seal.Seal(nil, payload, typ, &l.tmp)
	if err != nil {
		return nil
	}
	return rec
}

// say appends a message on l to out.
func (l *link) say(msg *channel.Message, out []chanOut) []chanOut {
	if b := l.sealed(msg); b != nil {
		out = append(out, chanOut{act: actSend, link: l, data: b})
	}
	return out
}

// closeNotify appends the end of the session to out (RFC 5246 section 7.2.1).
func (l *link) closeNotify(out []chanOut) []chanOut {
	if b := l.sealRecord([]byte{byte(alert.Warning), byte(alert.CloseNotify)}, record.Alert); b != nil {
		out = append(out, chanOut{act: actSend, link: l, data: b})
	}
	return out
}

// A request waits for an answer of the RDV.
type request struct {
	msg  channel.Message
	on   *link     // nil: the one that stands, when it is sent
	next time.Time // repetition, or the end; zero: at once
	sent int

	until uint32 // of a FETCH: where the wanted piece ends, in bytes
}

// vpn returns the address that a request is about.
func (r *request) vpn() netip.Addr {
	if len(r.msg.VPN) == 0 {
		return netip.Addr{}
	}
	return r.msg.VPN[0]
}

// ask adds a request about a peer, which advance will send. One that waits for its
// answer already is not made again.
func (m *serverChannel) ask(t channel.Type, vpn netip.Addr) {
	same := func(r *request) bool { return r.msg.Type == t && r.vpn() == vpn }
	if len(m.requests) >= maxRequests || slices.ContainsFunc(m.requests, same) {
		return
	}
	m.lastID++
	m.requests = append(m.requests, &request{msg: channel.Message{Type: t, ID: m.lastID, VPN: []netip.Addr{vpn}}})
}

// list asks who is there, after a VPN address; the zero Addr: from the first on.
func (m *serverChannel) list(after netip.Addr) {
	r := &request{msg: channel.Message{Type: channel.List}}
	if after.IsValid() {
		r.msg.VPN = []netip.Addr{after}
	}
	m.lastID++
	r.msg.ID = m.lastID
	m.requests = append(m.requests, r)
}

// send sends a request at once.
func (m *serverChannel) send(now time.Time, r *request, out []chanOut) []chanOut {
	m.lastID++
	r.msg.ID = m.lastID
	m.requests = append(m.requests, r)
	return m.attempt(now, r, out)
}

// attempt sends a request, again if need be. Without a link it waits for one.
func (m *serverChannel) attempt(now time.Time, r *request, out []chanOut) []chanOut {
	r.next = now.Add(requestWaits[r.sent])
	r.sent++
	l := r.on
	if l == nil {
		l = m.link
	}
	if l == nil {
		return out
	}
	return l.say(&r.msg, out)
}

// repeat sends the requests that are due, and gives up those that have had their
// time.
func (m *serverChannel) repeat(now time.Time, out []chanOut) []chanOut {
	var dead []*request
	for _, r := range m.requests {
		switch {
		case now.Before(r.next):
		case r.sent < len(requestWaits):
			out = m.attempt(now, r, out)
		default:
			dead = append(dead, r)
		}
	}
	for _, r := range dead {
		if !slices.Contains(m.requests, r) {
			continue // the end of another has ended it
		}
		m.drop(r)
		switch {
		case r.on != nil && r.on == m.joining:
			out = m.fail(now, errNoJoin, out)
		case r.msg.Type == channel.Fetch:
			m.pauseFetch(now, &m.fetcher.unheard)
		case r.msg.Type == channel.Apply:
			out = append(out, chanOut{act: actAnswer, id: r.msg.ID, err: ErrNoAnswer})
		case r.msg.Type == channel.Notice:
			m.duty.unheard(now)
		case r.msg.Type == channel.List:
			out = append(out, chanOut{act: actList, id: r.msg.ID})
		case r.msg.Type == channel.Relay:
			out = append(out, chanOut{act: actRelayed, vpn: r.vpn()})
		}
	}
	return out
}

func (m *serverChannel) drop(r *request) {
	m.requests = slices.DeleteFunc(m.requests, func(q *request) bool { return q == r })
}

// forget drops the request with an ID.
func (m *serverChannel) forget(id uint32) {
	m.requests = slices.DeleteFunc(m.requests, func(q *request) bool { return q.msg.ID == id })
}

// dropRegister drops the REGISTER that is out.
func (m *serverChannel) dropRegister() {
	m.requests = slices.DeleteFunc(m.requests, func(r *request) bool { return r.on != nil })
}

// awaited returns the request that a message answers, or nil.
func (m *serverChannel) awaited(l *link, msg *channel.Message) *request {
	for _, r := range m.requests {
		if r.msg.ID == msg.ID && r.sent > 0 && (r.on == nil || r.on == l) {
			return r
		}
	}
	return nil
}

// opened takes the content of an authentic record of l.
func (m *serverChannel) opened(now time.Time, l *link, typ record.ContentType, payload []byte, out []chanOut) []chanOut {
	out = m.hear(now, out)
	switch typ {
	case record.Alert:
		return m.alert(now, l, payload, out)
	case record.ApplicationData:
		if msg, err := channel.Parse(payload); err == nil {
			return m.message(now, l, &msg, out)
		}
	}
	return out
}

// alert takes an alert of the RDV.
func (m *serverChannel) alert(now time.Time, l *link, payload []byte, out []chanOut) []chanOut {
	var a alert.Alert
	if a.Unmarshal(payload) != nil || a.Level != alert.Fatal && a.Description != alert.CloseNotify {
		return out
	}
	switch l {
	case m.joining:
		return m.fail(now, errClosed, out)
	case m.link:
		return m.lose(now, errClosed, out)
	}
	m.old = nil
	return out
}

// message takes a message of the RDV.
func (m *serverChannel) message(now time.Time, l *link, msg *channel.Message, out []chanOut) []chanOut {
	switch msg.Type {
	case channel.Introduce:
		return m.introduced(l, msg, out)
	case channel.Notice:
		return m.noticed(now, l, msg, out)
	case channel.Fetch, channel.Apply:
		return m.serve(l, msg, out)
	}
	r := m.awaited(l, msg)
	if r == nil {
		return out // late, or repeated
	}
	asked := r.msg.Type
	switch {
	case asked == channel.Register && msg.Type == channel.Registered && l == m.joining:
		m.drop(r)
		return m.registered(now, msg, out)
	case asked == channel.Register && l == m.link:
		m.drop(r)
		return m.updated(now, msg, out)
	case asked == channel.Register && msg.Type == channel.Refused && l == m.joining:
		return m.fail(now, &RefusedError{msg.Reason, msg.Text}, l.closeNotify(out))
	case asked == channel.Ask && msg.Type == channel.Peer && len(msg.VPN) > 0 && msg.VPN[0] == r.vpn():
		m.drop(r)
		return append(out, chanOut{act: actPeer, msg: *msg, vpn: r.vpn()})
	case (asked == channel.Finished || asked == channel.Notice) && msg.Type == channel.Done:
		m.drop(r)
	case asked == channel.Fetch && msg.Type == channel.Chunk && msg.Offset == r.msg.Offset:
		m.drop(r)
		return m.chunk(now, r, msg.Data, out)
	case asked == channel.List && msg.Type == channel.Listed:
		m.drop(r)
		return append(out, chanOut{act: actList, msg: *msg, id: r.msg.ID})
	case asked == channel.Apply && msg.Type == channel.Answer:
		m.drop(r)
		return append(out, chanOut{act: actAnswer, id: r.msg.ID, data: msg.Data})
	case asked == channel.Relay && msg.Type == channel.Relayed:
		m.drop(r)
		return append(out, chanOut{act: actRelayed, msg: *msg, vpn: r.vpn()})
	case msg.Type == channel.Refused:
		return m.refused(now, r, msg, out)
	}
	return out
}

// introduced answers the RDV's INTRODUCE, also a repeated one, and passes it on
// once.
func (m *serverChannel) introduced(l *link, msg *channel.Message, out []chanOut) []chanOut {
	out = l.say(&channel.Message{Type: channel.Done, ID: msg.ID}, out)
	if len(msg.VPN) == 0 || l.again(msg.ID) {
		return out
	}
	return append(out, chanOut{act: actIntroduce, msg: *msg, vpn: msg.VPN[0]})
}

// refused takes that the RDV refuses a request.
func (m *serverChannel) refused(now time.Time, r *request, msg *channel.Message, out []chanOut) []chanOut {
	m.drop(r)
	switch r.msg.Type {
	case channel.Ask:
		out = append(out, chanOut{act: actReject, msg: *msg, vpn: r.vpn()})
	case channel.Fetch:
		out = m.fetchRefused(now, r, msg.Reason, out)
	case channel.Apply:
		out = append(out, chanOut{act: actAnswer, id: r.msg.ID, err: &RefusedError{msg.Reason, msg.Text}})
	case channel.Notice:
		m.duty.unheard(now)
	case channel.List:
		out = append(out, chanOut{act: actList, id: r.msg.ID})
	case channel.Relay:
		out = append(out, chanOut{act: actRelayed, msg: *msg, vpn: r.vpn()})
	}
	if msg.Reason == channel.Strangers { // it has forgotten us
		return m.look(now, out)
	}
	return out
}

// bye returns what tells the RDV that we leave.
func (m *serverChannel) bye(out []chanOut) []chanOut {
	if m.link == nil {
		return out
	}
	m.lastID++
	out = m.link.say(&channel.Message{Type: channel.Bye, ID: m.lastID}, out)
	return m.link.closeNotify(out)
}

// An Auth says how a client registers.
type Auth uint8

// The ways to register.
const (
	// AuthNo registers in clear only.
	AuthNo Auth = iota

	// AuthAuto registers over the authenticated channel if the RDV has one, and
	// in clear if it never had one.
	AuthAuto

	// AuthYes registers over the authenticated channel only.
	AuthYes
)

// String returns the word for it in the configuration.
func (a Auth) String() string {
	switch a {
	case AuthAuto:
		return "auto"
	case AuthYes:
		return "yes"
	}
	return "no"
}

// A ServerIdentity is what the RDV's certificate says.
type ServerIdentity struct {
	Name    string // for people
	Expires time.Time
}
