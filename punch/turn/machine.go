package turn

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"

	"campagnol/punch/turn/channeldata"
)

const (
	// keepalive is how long nothing may be sent until a Refresh is: a NAT may forget
	// us otherwise (RFC 4787 REQ-5 gives two minutes, some NATs 30 s).
	keepalive = 25 * time.Second

	// quiet is how long nothing may be heard while we send, until the relay is asked
	// whether it is there, and patience how long that may be without a good answer.
	quiet       = 500 * time.Millisecond
	patience    = 2 * time.Second
	leastProbes = 4

	// Lifetimes that relays may grant: within these we refresh.
	leastLife = 10 * time.Second
	mostLife  = time.Hour

	defaultLife = 10 * time.Minute // RFC 8656 section 3.2

	// askLife is what we ask for. An allocation that was given up stays with the relay
	// so long, and counts for its limits; we refresh often anyway.
	askLife = 2 * time.Minute

	// retry is when something that was refused for now is asked for again.
	retry = 30 * time.Second
)

// A state is what has become of an allocation.
type state uint8

const (
	asking state = iota // for it
	standing
	lost
)

// A machine is the control of an allocation. It does no I/O: its methods append the
// requests that are to be sent. It belongs to whoever holds the lock of the Conn.
type machine struct {
	cfg   Config
	state state
	err   error // why it is lost

	user, password string
	realm, nonce   string
	key            stun.MessageIntegrity // nil: there is no realm yet

	relayed, mapped netip.AddrPort
	ends            time.Time     // the allocation, unless it is refreshed
	refresh         time.Time     // when to do so
	rtt             time.Duration // of the last request that was answered at once

	sent  time.Time // anything, last
	owed  time.Time // since when the relay should have been heard; zero: it need not
	asked time.Time // since when the relay is asked whether it is there; zero: it is not

	pending []*transaction
	perms   map[netip.Addr]*permission
	routes  map[netip.AddrPort]*route
	fading  map[netip.AddrPort]*route // whose channels are not renewed
	number  uint16                    // of the last channel
	changed bool                      // something that the data path has to know

	in     stun.Message // the answer that is looked at
	forged int          // answers that were not taken
}

// newMachine returns the machine of an allocation.
func newMachine(cfg Config) *machine {
	return &machine{
		cfg: cfg, user: cfg.User, password: cfg.Password, number: channeldata.Last,
		perms: map[netip.Addr]*permission{}, routes: map[netip.AddrPort]*route{}, fading: map[netip.AddrPort]*route{},
	}
}

// start asks for an allocation.
func (m *machine) start(now time.Time, out [][]byte) [][]byte {
	return m.begin(now, &transaction{what: allocate}, out)
}

// credentials replaces user and password; the key is made when it is needed.
func (m *machine) credentials(user, password string) {
	m.user, m.password = user, password
	if m.key != nil {
		m.key = stun.NewLongTermIntegrity(m.user, m.realm, m.password)
	}
}

// challenge takes realm and nonce. The realm stays what it first was: whoever can make
// us take another one had better not.
func (m *machine) challenge(realm, nonce string) {
	if m.key == nil {
		m.realm = realm
		m.key = stun.NewLongTermIntegrity(m.user, m.realm, m.password)
	}
	m.nonce = nonce
}

// heard tells that the relay was heard, with something that proves that the allocation
// is there.
func (m *machine) heard() { m.owed, m.asked = time.Time{}, time.Time{} }

// observe takes what the data path has seen: when data was last sent, and since when
// something should be heard.
func (m *machine) observe(sent, owed time.Time) {
	if sent.After(m.sent) {
		m.sent = sent
	}
	m.owed = owed
	if owed.IsZero() || owed.After(m.asked) { // it was heard meanwhile
		m.asked = time.Time{}
	}
	for _, r := range m.routes {
		if at := m.cfg.epoch.Add(time.Duration(r.used.Load())); at.After(r.seen) {
			r.seen = at
		}
	}
}

// advance does what is due.
func (m *machine) advance(now time.Time, out [][]byte) [][]byte {
	if at := m.silentAt(); !at.IsZero() && !now.Before(at) {
		m.fail(ErrSilent)
		return out
	}
	for _, t := range slices.Clone(m.pending) {
		if !now.Before(t.next) && m.state != lost && slices.Contains(m.pending, t) {
			out = m.late(now, t, out)
		}
	}
	if m.state != standing {
		return out
	}
	switch {
	case !now.Before(m.ends):
		m.fail(ErrExpired)
		return out
	case m.asked.IsZero() && !m.owed.IsZero() && !now.Before(m.owed.Add(quiet)):
		m.asked = now
		m.drop(probe)
		out = m.begin(now, &transaction{what: probe}, out)
	}
	if !now.Before(m.refreshAt()) && !m.has(refresh) {
		out = m.begin(now, &transaction{what: refresh}, out)
	}
	return m.renew(now, out)
}

// silentAt returns when the relay is given up. It has been asked several times then, and
// the last time long enough ago: time alone may have gone by because this host was busy,
// or asleep.
func (m *machine) silentAt() time.Time {
	if m.state != standing || m.asked.IsZero() {
		return time.Time{}
	}
	at := m.asked.Add(patience)
	for _, t := range m.pending {
		if t.what != probe || m.cfg.Reliable {
			continue
		}
		if t.sends < leastProbes {
			return time.Time{}
		}
		if last := t.sent.Add(t.rto); last.After(at) {
			at = last
		}
	}
	return at
}

// refreshAt returns when the allocation is refreshed for its lifetime or for a NAT.
func (m *machine) refreshAt() time.Time {
	return earlier(m.refresh, m.sent.Add(keepalive))
}

// next returns when advance has something to do, if nothing comes before.
func (m *machine) next() time.Time {
	if m.state == lost {
		return time.Time{}
	}
	var next time.Time
	for _, t := range m.pending {
		next = earlier(next, t.next)
	}
	if m.state == asking {
		return next
	}
	next = earlier(next, m.ends)
	if !m.has(refresh) {
		next = earlier(next, m.refreshAt())
	}
	switch {
	case !m.asked.IsZero():
		next = earlier(next, m.silentAt())
	case !m.owed.IsZero():
		next = earlier(next, m.owed.Add(quiet))
	}
	return earlier(next, m.renewAt())
}

// earlier returns the earlier of two times, of which the zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// fail ends the allocation.
func (m *machine) fail(err error) {
	if m.state != lost {
		m.state, m.err, m.pending = lost, err, nil
	}
}

// release returns the request that ends the allocation, if there may be one. Its answer
// is not waited for.
func (m *machine) release() []byte {
	if !m.relayed.IsValid() {
		return nil
	}
	q := newRequest(stun.MethodRefresh)
	q.addLifetime(0)
	q.sign(m.user, m.realm, m.nonce, m.key)
	return q.m.Raw
}

// handle takes an answer.
func (m *machine) handle(now time.Time, b []byte, out [][]byte) [][]byte {
	if m.state == lost || !decode(b, &m.in) {
		m.forged++
		return out
	}
	t := m.find(m.in.TransactionID)
	if t == nil || t.what.method() != m.in.Type.Method {
		m.forged++ // or the answer to a request that was repeated
		return out
	}
	signed := t.key != nil && t.key.Check(&m.in) == nil
	if !signed && m.in.Contains(stun.AttrMessageIntegrity) {
		m.forged++
		return out
	}
	switch m.in.Type.Class {
	case stun.ClassSuccessResponse:
		if !signed {
			m.forged++
			return out
		}
		m.measure(now, t)
		m.end(t)
		return m.granted(now, t, out)
	case stun.ClassErrorResponse:
		return m.refusal(now, t, signed, out)
	}
	m.forged++
	return out
}

// refusal takes an error.
func (m *machine) refusal(now time.Time, t *transaction, signed bool, out [][]byte) [][]byte {
	code := codeOf(&m.in)
	if code == 0 {
		m.forged++
		return out
	}
	if code == CodeStaleNonce || code == CodeUnauthorized && t.key == nil {
		if realm, nonce, ok := m.fresh(); ok && t.challenges < maxChallenges {
			t.challenges++
			m.measure(now, t)
			m.challenge(realm, nonce)
			return m.again(now, t, out)
		}
	}
	t.refused = code
	if !signed && m.state == standing && !m.cfg.Reliable {
		return out // it counts if no signed answer comes: see late
	}
	m.end(t)
	return m.denied(now, t, code, out)
}

// fresh returns realm and nonce of an answer.
func (m *machine) fresh() (realm, nonce string, ok bool) {
	nonce, ok = text(&m.in, stun.AttrNonce)
	realm, has := text(&m.in, stun.AttrRealm)
	return realm, nonce, ok && (has || m.key != nil)
}

// granted takes the success of a request.
func (m *machine) granted(now time.Time, t *transaction, out [][]byte) [][]byte {
	m.heard()
	switch t.what {
	case allocate:
		return m.allocated(now, out)
	case refresh, probe:
		life, ok := lifetimeOf(&m.in)
		if ok && life == 0 {
			m.fail(ErrExpired)
			return out
		}
		m.live(now, life)
	case permit:
		m.permitted(now, t.perm)
	case bind:
		m.bound(now, t.route)
	}
	return out
}

// allocated takes the answer that names the relayed address.
func (m *machine) allocated(now time.Time, out [][]byte) [][]byte {
	relayed, ok := address(&m.in, stun.AttrXORRelayedAddress)
	if !ok {
		m.fail(errAnswer)
		return out
	}
	m.mapped, _ = address(&m.in, stun.AttrXORMappedAddress)
	life, ok := lifetimeOf(&m.in)
	if !ok {
		life = defaultLife
	}
	m.relayed, m.state = relayed, standing
	m.live(now, life)
	return out
}

// live notes how long the allocation is good; 0 means that the relay has not said.
func (m *machine) live(now time.Time, life time.Duration) {
	if life == 0 {
		life = defaultLife
	}
	life = min(max(life, leastLife), mostLife)
	m.ends, m.refresh = now.Add(life), now.Add(life/2)
}

// denied takes the failure of a request; code 0 says that no answer came.
func (m *machine) denied(now time.Time, t *transaction, code int, out [][]byte) [][]byte {
	err := error(ErrSilent)
	if code != 0 {
		err = &Error{Server: m.cfg.Server, What: t.what.String(), Code: code}
	}
	switch t.what {
	case allocate:
		m.fail(err)
	case refresh, probe:
		if code >= 500 { // for now; the lifetime goes on
			m.heard()
			m.refresh, m.sent = now.Add(retry), now
			return out
		}
		m.fail(err)
	case permit:
		return m.notPermitted(now, t.perm, code, err, out)
	case bind:
		return m.notBound(now, t.route, code, err, out)
	}
	return out
}
