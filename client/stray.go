package client

import (
	"crypto/rand"
	"net/netip"
	"slices"

	"campagnol/tunnel"
	"campagnol/tunnel/record"
)

// Records carry a connection ID where both ends know what that is (RFC 9146): by it
// the data path finds the session of a record that comes from an address at which the
// peer was not known to be, after its NAT or itself got another one. What opens is the
// peer's and is delivered like all that it sends. Where it came from proves nothing:
// anybody on the way can send a record on from elsewhere. So control hears of it, and
// has to find out whether the peer receives there before anything is sent there.

// newID draws a connection ID for a handshake, which no session of ours has. That two
// handshakes at the same time draw the same is next to impossible, and would cost no
// more than that records of one of them from elsewhere are not known as its own.
func (c *Client) newID() *record.ID {
	for {
		id := new(record.ID)
		rand.Read(id[:])
		if _, taken := c.table.Load().session(*id); !taken {
			return id
		}
	}
}

// session returns the session whose peer sends records with an ID.
func (t *table) session(id record.ID) (*tunnel.Session, bool) { return t.ids.get(id[0], id) }

// withID returns a copy in which s is found by its connection ID, if it has one.
func (t *table) withID(s *tunnel.Session) *table {
	id, ok := s.ConnectionID()
	if !ok {
		return t
	}
	if known, _ := t.session(id); known == s {
		return t
	}
	next := *t
	next.ids = t.ids.with(id[0], id, s)
	return &next
}

// withoutID returns a copy in which s is not found by its connection ID.
func (t *table) withoutID(s *tunnel.Session) *table {
	id, ok := s.ConnectionID()
	if !ok {
		return t
	}
	if other, _ := t.session(id); other != s {
		return t
	}
	next := *t
	next.ids = t.ids.without(id[0], id)
	return &next
}

// session returns the session at the source whose peer sends records with an ID, or
// nil.
func (s *source) session(id record.ID) *tunnel.Session {
	for _, t := range s.sessions {
		if t.HasID(id) {
			return t
		}
	}
	return nil
}

// identified handles a record with an ID from a source of sessions.
func (in *inbound) identified(src *source, from netip.AddrPort, h record.Header, rec []byte) {
	s := src.session(h.ID)
	if s != nil {
		payload, control, d := s.Receive(in.now, h, rec, &in.tmp)
		in.received(s, h, payload, control, d)
		return
	}
	if s, ok := in.table.session(h.ID); ok {
		in.stray(s, from, h, rec)
		return
	}
	if src.handshaking { // perhaps of the session that is about to begin
		in.c.hand(in.c.records, event{addr: from, conn: in.conn, data: slices.Clone(rec)})
		return
	}
	in.drop(src, tunnel.DropNoPeer)
}

// strays handles a datagram from an address that is no source of a session, and
// reports whether it begins with a record of one. Whatever the datagram holds, no more
// than one record is tried in vain.
func (in *inbound) strays(from netip.AddrPort, b []byte) bool {
	for first := true; len(b) > 0; first = false {
		h, rec, rest, err := record.Split(b)
		if err != nil || h.Type != record.WithID {
			return !first
		}
		s, ok := in.table.session(h.ID)
		if !ok {
			return !first
		}
		if !in.stray(s, from, h, rec) {
			return true
		}
		b = rest
	}
	return true
}

// stray handles a record with the ID of a session of which its address is no source,
// and reports whether it is authentic.
func (in *inbound) stray(s *tunnel.Session, from netip.AddrPort, h record.Header, rec []byte) bool {
	payload, control, d := s.Receive(in.now, h, rec, &in.tmp)
	authentic := d == tunnel.Kept
	if authentic && s.Stray(in.now) {
		in.c.hand(in.c.inner, event{addr: from, conn: in.conn, session: s, stray: true})
	}
	in.received(s, h, payload, control, d)
	return authentic
}
