package turn

import (
	"net/netip"
	"sync/atomic"
	"time"

	"campagnol/punch/turn/channeldata"
)

const (
	// Lifetimes of what peers have at the relay (RFC 8656 sections 9 and 12), and when
	// it is renewed.
	permissionLife  = 5 * time.Minute
	permissionRenew = 4 * time.Minute
	channelLife     = 10 * time.Minute
	channelRenew    = 9 * time.Minute

	// unused is how long nothing may go to or come from a peer until its channel is
	// not renewed any more.
	unused = 10 * time.Minute

	// Bounds of what an allocation has. rdv/relay allows for 64 each. Of the channels
	// only some are for peers that have sent first: who is at an address that we
	// permit could take all of them by sending from many ports.
	maxPermissions = 64
	maxRoutes      = 64
	maxMet         = 16

	// spare is how long a channel is unused until it makes room for another peer's.
	spare = 30 * time.Second
)

// A permission is what lets a peer's address send to us.
type permission struct {
	ip      netip.Addr
	used    time.Time // wanted, last
	until   time.Time // zero: not granted
	renew   time.Time // when it is asked for again; zero: it is not
	refused bool
}

// A route is how data gets to a peer: over a channel, once the relay has agreed.
type route struct {
	peer   netip.AddrPort
	number uint16
	met    bool         // it has sent first
	used   atomic.Int64 // when data last went over it, since Config.epoch; of the data path

	seen  time.Time // used, as of the last look
	until time.Time // zero: there is no channel
	renew time.Time // when it is asked for again; zero: it is not
}

// A hop is how the data path sends to a peer.
type hop struct {
	*route
	bound   bool // there is a channel
	refused bool
}

// A table is what the data path knows. It does not change once it is published.
type table struct {
	hops map[netip.AddrPort]hop
	from map[uint16]*route // channels
}

// table returns it.
func (m *machine) table() *table {
	t := &table{hops: make(map[netip.AddrPort]hop, len(m.routes)), from: make(map[uint16]*route, len(m.routes))}
	for peer, r := range m.routes {
		p := m.perms[peer.Addr()]
		t.hops[peer] = hop{r, !r.until.IsZero(), p != nil && p.refused}
	}
	for _, routes := range []map[netip.AddrPort]*route{m.routes, m.fading} {
		for _, r := range routes {
			if !r.until.IsZero() {
				t.from[r.number] = r
			}
		}
	}
	return t
}

// addrOnly returns an address as a permission has it: the port means nothing.
func addrOnly(ip netip.Addr) netip.AddrPort { return netip.AddrPortFrom(ip, 1) }

// open permits an address, if it is not.
func (m *machine) open(now time.Time, ip netip.Addr, out [][]byte) ([][]byte, error) {
	p, err := m.permission(now, ip)
	if err != nil || !p.until.IsZero() || !p.renew.IsZero() {
		return out, err
	}
	return m.ask(now, p, out), nil
}

// permission returns the one of an address, which is used by that.
func (m *machine) permission(now time.Time, ip netip.Addr) (*permission, error) {
	p := m.perms[ip]
	if p == nil {
		if !ip.IsValid() || ip.Is4In6() || ip.Zone() != "" || ip.Is4() != m.relayed.Addr().Is4() {
			return nil, ErrFamily
		}
		if len(m.perms) >= maxPermissions && !m.yield(now) {
			return nil, ErrPeers
		}
		p = &permission{ip: ip}
		m.perms[ip] = p
	}
	p.used = now
	return p, nil
}

// yield takes out a permission that nobody needs now: one that was refused, or is
// without a route. The relay may have it for some minutes still, and refuse others then.
func (m *machine) yield(now time.Time) bool {
	var oldest *permission
	for _, p := range m.perms {
		if (oldest == nil || p.used.Before(oldest.used)) && !m.isUsed(p) && !now.Before(p.used.Add(spare)) {
			oldest = p
		}
	}
	if oldest == nil {
		return false
	}
	delete(m.perms, oldest.ip)
	for peer, r := range m.routes {
		if peer.Addr() == oldest.ip {
			m.remove(r)
		}
	}
	return true
}

// isUsed reports whether a route needs a permission.
func (m *machine) isUsed(p *permission) bool {
	for peer := range m.routes {
		if peer.Addr() == p.ip {
			return !p.refused
		}
	}
	return false
}

// ask asks for a permission.
func (m *machine) ask(now time.Time, p *permission, out [][]byte) [][]byte {
	p.renew = now.Add(permissionRenew)
	return m.begin(now, &transaction{what: permit, perm: p}, out)
}

// reach makes a route to a peer, with a channel if there is room for one. met says that
// the peer has sent first: then it has a permission, or is none of ours.
func (m *machine) reach(now time.Time, peer netip.AddrPort, met bool, out [][]byte) ([][]byte, error) {
	if r := m.routes[peer]; r != nil {
		r.met = r.met && met
		return out, nil
	}
	if met && (m.perms[peer.Addr()] == nil || m.countMet() >= maxMet) {
		return out, nil
	}
	p, err := m.permission(now, peer.Addr())
	if err != nil {
		return out, err
	}
	if len(m.routes) >= maxRoutes && !m.fade(now, !met) {
		return m.open(now, peer.Addr(), out)
	}
	r := m.fading[peer]
	delete(m.fading, peer)
	if r == nil {
		r = &route{peer: peer, number: m.draw()}
	}
	r.met, r.seen = met, now
	m.routes[peer] = r
	m.changed = true
	if p.until.IsZero() { // it comes with the channel
		p.renew = now.Add(permissionRenew)
	}
	return m.bind(now, r, out), nil
}

// bind asks for a channel.
func (m *machine) bind(now time.Time, r *route, out [][]byte) [][]byte {
	r.renew = now.Add(channelRenew)
	return m.begin(now, &transaction{what: bind, route: r}, out)
}

func (m *machine) countMet() (n int) {
	for _, r := range m.routes {
		if r.met {
			n++
		}
	}
	return n
}

// fade lets go of the route that was unused for longest; at once of those that peers
// have made, if for one of ours. The relay keeps the channel until its time is over: so
// long what comes over it is understood, and the peer can get no other.
func (m *machine) fade(now time.Time, ours bool) bool {
	if len(m.fading) >= maxRoutes {
		return false
	}
	var oldest *route
	for _, r := range m.routes {
		if !(ours && r.met) && now.Before(r.seen.Add(spare)) {
			continue
		}
		if oldest == nil || r.met && !oldest.met || r.met == oldest.met && r.seen.Before(oldest.seen) {
			oldest = r
		}
	}
	if oldest == nil {
		return false
	}
	m.remove(oldest)
	if oldest.until.IsZero() { // asked for, maybe
		oldest.until = now.Add(channelLife)
	}
	oldest.renew = time.Time{}
	m.fading[oldest.peer] = oldest
	return true
}

// remove takes a route out, with what is asked for it.
func (m *machine) remove(r *route) {
	delete(m.routes, r.peer)
	m.changed = true
	for _, t := range m.pending {
		if t.route == r {
			m.end(t)
			return
		}
	}
}

// draw returns the number of the next channel. A number means another peer only after
// a long time (section 12): there are 4096 of them, of which 128 are in use, and a few
// a second at most take their turn, each of which waits for spare.
func (m *machine) draw() uint16 {
	for {
		if m.number++; m.number > channeldata.Last {
			m.number = channeldata.First
		}
		if !m.taken(m.number) {
			return m.number
		}
	}
}

func (m *machine) taken(number uint16) bool {
	for _, routes := range []map[netip.AddrPort]*route{m.routes, m.fading} {
		for _, r := range routes {
			if r.number == number {
				return true
			}
		}
	}
	return false
}

// permitted takes that the relay has permitted an address.
func (m *machine) permitted(now time.Time, p *permission) {
	m.changed = m.changed || p.refused
	p.refused = false
	p.until, p.renew = now.Add(permissionLife), now.Add(permissionRenew)
}

// notPermitted takes that it has not.
func (m *machine) notPermitted(now time.Time, p *permission, code int, err error, out [][]byte) [][]byte {
	switch code {
	case CodeMismatch, CodeCredentials, CodeUnauthorized:
		m.fail(err)
	case CodeForbidden, 443:
		p.refused, p.until, m.changed = true, time.Time{}, true
		fallthrough
	default:
		p.renew = now.Add(retry)
	}
	return out
}

// bound takes that the relay has bound a channel.
func (m *machine) bound(now time.Time, r *route) {
	r.until, r.renew = now.Add(channelLife), now.Add(channelRenew)
	m.changed = true
	if p := m.perms[r.peer.Addr()]; p != nil {
		m.permitted(now, p)
	}
}

// notBound takes that it has not: maybe it has no channel, and a permission, or neither.
func (m *machine) notBound(now time.Time, r *route, code int, err error, out [][]byte) [][]byte {
	if code == CodeMismatch || code == CodeCredentials || code == CodeUnauthorized {
		m.fail(err)
		return out
	}
	r.renew = now.Add(2 * retry)
	if p := m.perms[r.peer.Addr()]; p != nil && p.until.IsZero() && !m.asksFor(p) {
		return m.ask(now, p, out)
	}
	return out
}

func (m *machine) asksFor(p *permission) bool {
	for _, t := range m.pending {
		if t.perm == p {
			return true
		}
	}
	return false
}

// renew renews what is used, and forgets what is over.
func (m *machine) renew(now time.Time, out [][]byte) [][]byte {
	for _, r := range m.fading {
		if !now.Before(r.until) {
			delete(m.fading, r.peer)
			m.changed = true
		}
	}
	for _, r := range m.routes {
		if p := m.perms[r.peer.Addr()]; p != nil && r.seen.After(p.used) {
			p.used = r.seen
		}
		switch {
		case !r.until.IsZero() && !now.Before(r.until):
			r.until, m.changed = time.Time{}, true
			fallthrough
		case !r.renew.IsZero() && !now.Before(r.renew):
			if !now.Before(r.seen.Add(unused)) {
				m.letGo(now, r)
			} else if !m.binds(r) {
				out = m.bind(now, r, out)
			}
		}
	}
	for _, p := range m.perms {
		if !p.until.IsZero() && !now.Before(p.until) {
			p.until = time.Time{}
		}
		switch {
		case p.renew.IsZero(), now.Before(p.renew), m.asksFor(p):
		case now.Before(p.used.Add(unused)):
			out = m.ask(now, p, out)
		case p.until.IsZero():
			delete(m.perms, p.ip)
			m.changed = true
		default:
			p.renew = p.until
		}
	}
	return out
}

// letGo has a channel that is unused end when its time is over.
func (m *machine) letGo(now time.Time, r *route) {
	m.remove(r)
	if now.Before(r.until) {
		r.renew = time.Time{}
		m.fading[r.peer] = r
	}
}

// binds reports whether a channel is asked for.
func (m *machine) binds(r *route) bool {
	for _, t := range m.pending {
		if t.route == r {
			return true
		}
	}
	return false
}

// renewAt returns when renew has something to do.
func (m *machine) renewAt() (next time.Time) {
	for _, r := range m.fading {
		next = earlier(next, r.until)
	}
	for _, r := range m.routes {
		if !m.binds(r) {
			next = earlier(next, earlier(r.until, r.renew))
		}
	}
	for _, p := range m.perms {
		next = earlier(next, p.until)
		if !m.asksFor(p) {
			next = earlier(next, p.renew)
		}
	}
	return next
}
