package turn

import (
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

// How requests are repeated (RFC 8489 section 6.2.1).
const (
	firstRTO = 500 * time.Millisecond
	leastRTO = 100 * time.Millisecond // once the round trip has been measured
	maxSends = 7
	lastWait = 16 // of the first RTO, after the last one

	// reliableWait is how long an answer may take on a stream (section 6.2.2).
	reliableWait = 39500 * time.Millisecond

	// maxChallenges is how often one request is signed anew: for the realm and nonce
	// of the first answer, and nonces that have become stale.
	maxChallenges = 3
)

// A purpose is what a request is for.
type purpose uint8

const (
	allocate purpose = iota
	refresh
	probe // a refresh that is repeated sooner
	permit
	bind
)

func (p purpose) method() stun.Method {
	switch p {
	case allocate:
		return stun.MethodAllocate
	case permit:
		return stun.MethodCreatePermission
	case bind:
		return stun.MethodChannelBind
	default:
		return stun.MethodRefresh
	}
}

// String returns what is refused if the request is.
func (p purpose) String() string {
	switch p {
	case allocate:
		return "allocate"
	case permit:
		return "permit a peer"
	case bind:
		return "bind a channel"
	default:
		return "refresh"
	}
}

// A transaction is a request that waits for its answer.
type transaction struct {
	what  purpose
	perm  *permission // of permit
	route *route      // of bind

	id         transactionID
	raw        []byte
	key        stun.MessageIntegrity // that it is signed with; nil: none
	at         time.Time             // first sent
	sent       time.Time             // last
	next       time.Time             // when it is repeated, or given up
	rto        time.Duration
	sends      int
	challenges int
	refused    int // code of a refusal that nobody has signed
}

// begin makes a request and has it sent.
func (m *machine) begin(now time.Time, t *transaction, out [][]byte) [][]byte {
	m.pending = append(m.pending, t)
	return m.again(now, t, out)
}

// again makes the bytes of a request, with a new ID, and has it sent.
func (m *machine) again(now time.Time, t *transaction, out [][]byte) [][]byte {
	q := newRequest(t.what.method())
	switch t.what {
	case allocate:
		q.add(stun.AttrRequestedTransport, 17, 0, 0, 0) // UDP
		if m.cfg.Family != 0 {
			q.add(stun.AttrRequestedAddressFamily, byte(m.cfg.Family), 0, 0, 0)
		}
		q.addLifetime(m.cfg.Lifetime)
	case refresh, probe:
		q.addLifetime(m.cfg.Lifetime)
	case permit:
		q.addPeer(addrOnly(t.perm.ip))
	case bind:
		q.add(stun.AttrChannelNumber, byte(t.route.number>>8), byte(t.route.number), 0, 0)
		q.addPeer(t.route.peer)
	}
	if m.key != nil {
		q.sign(m.user, m.realm, m.nonce, m.key)
	}
	t.id, t.raw, t.key = q.m.TransactionID, q.m.Raw, m.key
	t.at, t.sends, t.refused, t.rto = now, 0, 0, m.rto(t.what)
	return m.send(now, t, out)
}

// rto returns how long the first answer to a request may take.
func (m *machine) rto(p purpose) time.Duration {
	if p == allocate || m.rtt == 0 {
		return firstRTO
	}
	return min(max(2*m.rtt, leastRTO), firstRTO)
}

// send has a request sent, for the first time or again.
func (m *machine) send(now time.Time, t *transaction, out [][]byte) [][]byte {
	t.sends++
	m.sent, t.sent = now, now
	switch {
	case m.cfg.Reliable:
		t.next = now.Add(reliableWait)
	case t.what == probe:
		t.next = now.Add(max(t.rto, patience/8)) // a few within patience
	case t.sends == maxSends:
		t.next = now.Add(lastWait * m.rto(t.what))
	default:
		t.next = now.Add(t.rto)
		t.rto *= 2
	}
	return append(out, t.raw)
}

// late repeats a request whose answer has not come, or gives up.
func (m *machine) late(now time.Time, t *transaction, out [][]byte) [][]byte {
	switch {
	case t.refused != 0:
		m.end(t)
		return m.denied(now, t, t.refused, out)
	case t.what == probe && m.asked.IsZero(): // it was heard otherwise
		m.end(t)
		return out
	case m.cfg.Reliable, t.sends >= maxSends && t.what != probe:
		m.end(t)
		return m.denied(now, t, 0, out)
	}
	return m.send(now, t, out)
}

// measure takes the time until an answer, if it is known which request it is to.
func (m *machine) measure(now time.Time, t *transaction) {
	if t.sends == 1 {
		m.rtt = max(now.Sub(t.at), time.Microsecond)
	}
}

func (m *machine) find(id transactionID) *transaction {
	for _, t := range m.pending {
		if t.id == id {
			return t
		}
	}
	return nil
}

// has reports whether a request of a kind waits for its answer.
func (m *machine) has(p purpose) bool {
	return slices.ContainsFunc(m.pending, func(t *transaction) bool { return t.what == p })
}

func (m *machine) end(t *transaction) {
	m.pending = slices.DeleteFunc(m.pending, func(o *transaction) bool { return o == t })
}

// drop forgets the requests of a kind.
func (m *machine) drop(p purpose) {
	m.pending = slices.DeleteFunc(m.pending, func(t *transaction) bool { return t.what == p })
}
