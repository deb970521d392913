package tunnel

import (
	"encoding/binary"
	"time"

	"campagnol/tunnel/record"
)

// Fresh keys for a tunnel are those of another session, from another complete
// handshake, which goes on where the last one is. Its datagrams travel inside the
// session that it will replace, as signals, so that nobody but the peer can begin
// such a handshake, disturb it, or take part in it.
//
// Whoever was the DTLS client of the first session is that of all: two handshakes
// at once cannot be, and certificates that are good for one role only stay in it.
// The other end asks.
//
// The content of the signal is
//
//	offset  size  field
//	0       4     the handshake's number; 0: please begin one
//	4       -     a datagram of it
const renewalHead = 4

// A Renewal is what one end of a session tells the other about fresh keys.
type Renewal struct {
	Number   uint32 // of the handshake; they count up in a session. 0: the peer asks us to begin one
	Datagram []byte // borrowed
}

// RenewalOverhead returns by how many bytes a datagram that carries one of a
// handshake is longer than it.
func (s *Session) RenewalOverhead() int { return s.markLen() + 1 + renewalHead + s.Overhead() }

// SealRenewal returns the datagram that carries r. It is safe for concurrent use,
// each caller with a Scratch of its own. It returns nil if the sequence numbers
// are spent.
func (s *Session) SealRenewal(r Renewal, tmp *record.Scratch) []byte {
	payload := make([]byte, 0, s.markLen()+1+renewalHead+len(r.Datagram))
	payload = s.appendHead(payload, signalRekey)
	payload = binary.BigEndian.AppendUint32(payload, r.Number)
	payload = append(payload, r.Datagram...)
	rec, err := s.seal.Seal(nil, payload, record.ApplicationData, tmp)
	if err != nil {
		return nil
	}
	return rec
}

// parseRenewal reads what SealRenewal has sealed, and returns nil for another
// payload.
func (s *Session) parseRenewal(payload []byte) *Renewal {
	typ, content, ok := s.signal(payload)
	if !ok || typ != signalRekey || len(content) < renewalHead {
		return nil
	}
	return &Renewal{Number: binary.BigEndian.Uint32(content), Datagram: content[renewalHead:]}
}

// An inheritance is what a session has from that which it goes on for.
type inheritance struct {
	since             time.Time // when the tunnel was opened
	lastIn, lastOut   Stamp
	bytesIn, bytesOut uint64 // of the stats, that other keys have protected
	renewals          int
}

// Continue makes s, which has not been used yet, go on for old: to the outside the
// tunnel is the same, and has fresh keys. Counters go on, and the change counts
// for no use of the tunnel.
func (s *Session) Continue(old *Session) {
	s.stats = old.stats
	s.before = inheritance{
		since:  old.before.since,
		lastIn: old.LastIn(), lastOut: old.LastOut(),
		bytesIn: old.stats.BytesIn.Load(), bytesOut: old.stats.BytesOut.Load(),
		renewals: old.before.renewals + 1,
	}
	s.peerAbilities.Store(old.peerAbilities.Load())
	s.filter.Store(old.filter.Load())
	s.port.Store(old.port.Load())
	s.sources.Store(old.sources.Load())
	s.strange.Store(old.strange.Load())
}

// Continues reports whether s goes on for old: both are of one tunnel.
func (s *Session) Continues(old *Session) bool { return s.stats == old.stats }

// Since returns when the tunnel was opened: the first of the sessions that go on
// for each other.
func (s *Session) Since() time.Time { return s.before.since }

// Renewals returns how often the tunnel has got fresh keys.
func (s *Session) Renewals() int { return s.before.renewals }

// Records returns how many records have been sealed with the session's keys, by
// the end that has sealed more.
func (s *Session) Records() uint64 { return max(s.seal.Sealed(), s.open.Opened()) }

// Worn returns how much of what its keys may be used for the session has used up:
// 1 is all of it. See [record.Limits].
func (s *Session) Worn() float64 {
	l := s.suite.Limits()
	sealed, opened := s.seal.Sealed(), s.open.Opened()
	blocks := max(
		blocksOf(s.stats.BytesOut.Load()-s.before.bytesOut+s.carriedOut.Load(), sealed, s.seal.Overhead() > s.suite.Overhead()),
		blocksOf(s.stats.BytesIn.Load()-s.before.bytesIn+s.carriedIn.Load(), opened, s.id != nil))
	return max(
		float64(max(sealed, opened))/float64(l.Records),
		float64(blocks)/float64(l.Blocks),
		float64(s.open.Failed())/float64(l.Forgeries))
}

// blocksOf returns how many blocks of the cipher so many records with so many
// bytes take at most. A record's last block may be short, and one more each goes
// into its tag and into its header; with a connection ID, that takes two.
func blocksOf(bytes, records uint64, withID bool) uint64 {
	each := uint64(3)
	if withID {
		each++
	}
	return bytes/16 + each*records
}
