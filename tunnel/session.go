package tunnel

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"campagnol/tunnel/filter"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// A Session is an established DTLS association with a peer.
//
// Seal, Receive and the counters are for the data path and safe for concurrent
// use. Handle and CloseNotify belong to control.
type Session struct {
	peer     netip.Addr
	suite    record.Suite
	chain    [][]byte // the peer's certificates
	protocol string
	ours     bool // the peer understands signals
	frames   bool // they carry Ethernet frames
	seal     *record.Sealer
	open     *record.Opener
	id       *record.ID // in the peer's records; nil: in none
	before   inheritance

	stats         *Stats        // of all sessions of the tunnel
	heard         atomic.Int64  // Stamp of the last authentic record
	lastIn        atomic.Int64  // Stamp of the last packet from the peer
	lastOut       atomic.Int64  // Stamp of the last packet for the peer
	strayed       atomic.Int64  // Stamp of the last report that the peer sends from elsewhere
	strange       atomic.Uint32 // bit set of the Drops that were reported
	peerAbilities atomic.Uint32 // bit set of what the peer says that it can do
	carriedIn     atomic.Uint64 // bytes of signals with what passes a relay, which are in no other counter
	carriedOut    atomic.Uint64
	filter        atomic.Pointer[filter.Table]
	ip6           atomic.Bool             // the peer has an IPv6 address in the VPN
	port          atomic.Uint32           // of the switch, for frames
	sources       atomic.Pointer[Sources] // beyond peer; nil: none

	// Owned by control.
	opened time.Time
	after  handshake.Aftermath
	tmp    record.Scratch
}

// A Stamp is a moment as the data path notes it: nanoseconds since the Clock
// began. Zero is never.
type Stamp int64

// A Clock makes Stamps. It is a value: copies agree.
type Clock struct{ base time.Time }

// NewClock returns a clock that begins at now.
func NewClock(now time.Time) Clock { return Clock{now.Add(-time.Nanosecond)} }

// Stamp returns the stamp of a moment. Moments before the clock began are never.
func (c Clock) Stamp(t time.Time) Stamp { return Stamp(max(0, t.Sub(c.base))) }

// Time returns the moment of a stamp, and the zero Time for never.
func (c Clock) Time(s Stamp) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return c.base.Add(time.Duration(s))
}

// Stats counts a session's data. Bytes are those of the packets inside.
type Stats struct {
	PacketsIn, BytesIn   atomic.Uint64
	PacketsOut, BytesOut atomic.Uint64
	Drops                Drops         // of what the peer sent
	Filtered             atomic.Uint64 // packets for the peer that the policy does not let pass
}

// NewSession returns the session that a handshake with the peer of a VPN
// address has made.
func NewSession(now time.Time, peer netip.Addr, r *handshake.Result) *Session {
	return &Session{
		peer:     peer,
		suite:    r.Suite,
		chain:    r.Certificates,
		protocol: r.Protocol,
		ours:     r.Protocol == ProtocolName || r.Protocol == FrameProtocolName,
		frames:   r.Protocol == FrameProtocolName,
		seal:     r.Seal,
		open:     r.Open,
		id:       r.ConnectionID,
		before:   inheritance{since: now},
		stats:    new(Stats),
		opened:   now,
		after:    handshake.NewAftermath(now, r),
	}
}

// Peer returns the VPN address of the peer.
func (s *Session) Peer() netip.Addr { return s.peer }

// Suite returns the cipher suite.
func (s *Session) Suite() record.Suite { return s.suite }

// Certificates returns the peer's chain, in DER, leaf first.
func (s *Session) Certificates() [][]byte { return s.chain }

// Protocol returns what ALPN agreed on; "" for an original peer.
func (s *Session) Protocol() string { return s.protocol }

// Opened returns when the handshake ended: when the keys were made.
func (s *Session) Opened() time.Time { return s.opened }

// Stats returns the counters.
func (s *Session) Stats() *Stats { return s.stats }

// Overhead returns by how many bytes a datagram is longer than the packet in it.
func (s *Session) Overhead() int { return s.seal.Overhead() }

// Filter returns what decides about the packets in the session; nil lets all
// pass. It is for the data path.
func (s *Session) Filter() *filter.Table { return s.filter.Load() }

// SetFilter sets what decides about the packets in the session.
func (s *Session) SetFilter(t *filter.Table) { s.filter.Store(t) }

// SetSources sets from which addresses the peer may send packets beyond the one that
// the session is with.
func (s *Session) SetSources(set *Sources) { s.sources.Store(set) }

// IPv6 reports whether the peer has an IPv6 address in the VPN.
func (s *Session) IPv6() bool { return s.ip6.Load() }

// SetIPv6 sets whether the peer has an IPv6 address in the VPN.
func (s *Session) SetIPv6(yes bool) { s.ip6.Store(yes) }

// owns reports whether the peer may send packets from an address.
func (s *Session) owns(a netip.Addr) bool { return a == s.peer || s.sources.Load().Contains(a) }

// Heard returns when the last authentic record came, of whatever kind.
func (s *Session) Heard() Stamp { return Stamp(s.heard.Load()) }

// LastIn returns when the last packet came from the peer, good or bad.
func (s *Session) LastIn() Stamp { return max(Stamp(s.lastIn.Load()), s.before.lastIn) }

// LastOut returns when the last packet was sent to the peer.
func (s *Session) LastOut() Stamp { return max(Stamp(s.lastOut.Load()), s.before.lastOut) }

// Seal appends to dst a record with an IP packet for the peer, and returns the
// extended slice. After a drop dst is as it was. now is that of the batch; 0
// leaves the session's idle time alone, as a broadcast does.
func (s *Session) Seal(now Stamp, dst, pkt []byte, tmp *record.Scratch) ([]byte, Drop) {
	dst, err := s.seal.Seal(dst, pkt, record.ApplicationData, tmp)
	if err != nil {
		return dst, DropSize // or the numbers are spent: the session is over long before
	}
	if now != 0 {
		stamp(&s.lastOut, now)
	}
	s.stats.PacketsOut.Add(1)
	s.stats.BytesOut.Add(uint64(len(pkt)))
	return dst, Kept
}

// Receive opens rec, one whole record with header h, in place. It yields either
// an IP packet, which is the peer's own, or, with control, something for Handle, of
// type tmp.Type().
//
// After DropAuth the content of rec is undefined; after DropEpoch, DropShort and
// DropReplay it is as it was.
func (s *Session) Receive(now Stamp, h record.Header, rec []byte, tmp *record.Scratch) (payload []byte, control bool, d Drop) {
	payload, err := s.open.Open(h, rec, tmp)
	if err != nil {
		return nil, false, dropOf(err)
	}
	stamp(&s.heard, now)
	if tmp.Type() != record.ApplicationData || s.isSignal(payload) {
		return payload, true, Kept
	}
	stamp(&s.lastIn, now)
	if s.frames {
		return s.receiveFrame(payload)
	}
	info, err := packet.Parse(payload)
	switch {
	case err != nil:
		return nil, false, DropNotIP
	case !s.owns(info.Src):
		return nil, false, DropSource
	}
	s.stats.PacketsIn.Add(1)
	s.stats.BytesIn.Add(uint64(info.Len))
	return payload[:info.Len], false, Kept
}

// frameLen is the length of the header of a frame.
const frameLen = 14

// receiveFrame takes an Ethernet frame of the peer's. Whose it is, the switch finds
// out.
func (s *Session) receiveFrame(frame []byte) (payload []byte, control bool, d Drop) {
	if len(frame) < frameLen {
		return nil, false, DropNotIP
	}
	s.stats.PacketsIn.Add(1)
	s.stats.BytesIn.Add(uint64(len(frame)))
	return frame, false, Kept
}

// Port returns the number that control has given the peer in its switch. It is for
// the data path.
func (s *Session) Port() uint32 { return s.port.Load() }

// SetPort sets the number of the peer in the switch.
func (s *Session) SetPort(n uint32) { s.port.Store(n) }

// Frames reports whether the session carries Ethernet frames, not IP packets.
func (s *Session) Frames() bool { return s.frames }

// FirstTime reports whether d has not happened in this session before, so that
// it is logged once and not for every packet.
func (s *Session) FirstTime(d Drop) bool {
	bit := uint32(1) << d
	return s.strange.Load()&bit == 0 && s.strange.Or(bit)&bit == 0
}

// stamp sets a to now. It writes only when that changes it, since the value is
// shared between cores.
func stamp(a *atomic.Int64, now Stamp) {
	if a.Load() != int64(now) {
		a.Store(int64(now))
	}
}

func dropOf(err error) Drop {
	switch {
	case errors.Is(err, record.ErrReplay):
		return DropReplay
	case errors.Is(err, record.ErrShort):
		return DropShort
	case errors.Is(err, record.ErrEpoch), errors.Is(err, record.ErrVersion):
		return DropEpoch
	case errors.Is(err, record.ErrNoType):
		return DropInvalid
	}
	return DropAuth
}

// An Event is what an authentic record that is not a packet leads to.
type Event struct {
	Closed bool  // the session is over
	Reason error // why, if not by the peer's close_notify

	// Renewal is what the peer says of fresh keys; nil: nothing.
	Renewal *Renewal

	// Path is about the path by which it came; nil: nothing.
	Path *PathSignal

	// Groups is what the peer says of multicast, borrowed; nil: nothing.
	Groups []byte

	Probe bool // the peer has said what it can do
	Echo  bool // the peer has heard what we can do

	// Echoed is the number of a probe that has come back; 0: none has.
	Echoed uint64
}

// ErrPeerAlert says that the peer ended the session with a fatal alert.
var ErrPeerAlert = errors.New("the peer reports an error")

// Handle takes what Receive has called control, and appends the datagrams to send
// to out.
func (s *Session) Handle(now time.Time, typ record.ContentType, payload []byte, out [][]byte) ([][]byte, Event) {
	switch typ {
	case record.Alert:
		var a alert.Alert
		if a.Unmarshal(payload) != nil {
			return out, Event{}
		}
		switch {
		case a.Description == alert.CloseNotify:
			return out, Event{Closed: true}
		case a.Level == alert.Fatal:
			return out, Event{Closed: true, Reason: alertError(a.Description)}
		}
	case record.Handshake:
		return s.handleHandshake(now, payload, out), Event{}
	case record.ApplicationData:
		if r := s.parseRenewal(payload); r != nil {
			return out, Event{Renewal: r}
		}
		if p := s.parsePath(payload); p != nil {
			return out, Event{Path: p}
		}
		if typ, content, ok := s.signal(payload); ok && typ == signalGroups && s.frames {
			return out, Event{Groups: content}
		}
		out, ev := s.handleSignal(payload, out)
		ev.Echoed = s.parseEcho(payload)
		return out, ev
	}
	return out, Event{}
}

// handleHandshake answers the two handshake messages that a peer may send in an
// established session.
func (s *Session) handleHandshake(now time.Time, payload []byte, out [][]byte) [][]byte {
	if s.lastIn.Load() != 0 {
		s.after.Settle() // data has shown that the peer has got all
	}
	repeat, renegotiates := s.after.Handle(now, payload)
	if renegotiates {
		return s.appendAlert(out, alert.Warning, alert.NoRenegotiation)
	}
	return append(out, repeat...)
}

// LastFlight returns the datagrams of the handshake that the peer still misses, to
// be sent unchanged: none if it does not, or has been given them a moment ago.
func (s *Session) LastFlight(now time.Time) [][]byte {
	if s.lastIn.Load() != 0 {
		s.after.Settle() // data has shown that the peer has got all
	}
	return s.after.LastFlight(now)
}

// CloseNotify appends to out the datagram that tells the peer that the session
// is over (RFC 5246 section 7.2.1).
func (s *Session) CloseNotify(out [][]byte) [][]byte {
	return s.appendAlert(out, alert.Warning, alert.CloseNotify)
}

func (s *Session) appendAlert(out [][]byte, level alert.Level, d alert.Description) [][]byte {
	rec, err := s.seal.Seal(nil, []byte{byte(level), byte(d)}, record.Alert, &s.tmp)
	if err != nil {
		return out
	}
	return append(out, rec)
}

// alertError is the reason of a session that the peer ended with an alert.
func alertError(d alert.Description) error {
	return &peerAlert{d}
}

type peerAlert struct{ d alert.Description }

func (e *peerAlert) Error() string { return ErrPeerAlert.Error() + ": " + e.d.String() }
func (e *peerAlert) Unwrap() error { return ErrPeerAlert }
