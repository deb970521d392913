package tunnel

import (
	"time"

	"campagnol/tunnel/record"
)

// ConnectionID returns the ID by which the peer's records are known as those of the
// session, wherever they come from (RFC 9146), and false if they carry none.
func (s *Session) ConnectionID() (id record.ID, ok bool) {
	if s.id == nil {
		return id, false
	}
	return *s.id, true
}

// HasID reports whether the records of the peer carry an ID. It is for the data path.
func (s *Session) HasID(id record.ID) bool { return s.id != nil && *s.id == id }

// StrayGap is the least time between two reports about a session whose peer sends from
// elsewhere.
const StrayGap = 50 * time.Millisecond

// Stray notes that an authentic record came from an address at which the peer was not
// known to be, and reports whether control is to hear of it. It is for the data path.
func (s *Session) Stray(now Stamp) bool {
	last := s.strayed.Load()
	if last != 0 && now-Stamp(last) < Stamp(StrayGap) {
		return false
	}
	return s.strayed.CompareAndSwap(last, int64(now)) // another goroutine may be faster
}

// RepeatsFlight reports whether a record in clear shows that the peer repeats the
// flight before our last one, and so misses that.
//
// The Finished behind it shows the same, and is authentic. But with connection IDs it
// is byte for byte the one that came before, a replay. So anybody who can write the
// peer's address can make us repeat our last flight: no more often than the peer can
// (see [handshake.Aftermath]), to the peer, and not after the peer's first data.
func (s *Session) RepeatsFlight(h record.Header) bool {
	return s.id != nil && h.Epoch == 0 && h.Type == record.ChangeCipherSpec
}
