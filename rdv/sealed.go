package rdv

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// What one datagram to a channel may make us do. Its sender may be forged: opening
// a record that proves false costs less than receiving it did, as long as there
// are few of them in a datagram.
const (
	maxRecords   = 4
	maxRecordLen = channel.MaxSize + 100 // with header and protection
)

// A sealed is the server's end of a channel: its keys, and what they were made
// from. Control owns it.
type sealed struct {
	seal  *record.Sealer
	open  *record.Opener
	after *handshake.Aftermath // nil: the client has got our last flight
	hello uint64               // of the random of the ClientHello that began it
	chain [][]byte             // the client's certificates, to check them anew
}

// helloID is what is kept of the random of a ClientHello: enough to know a
// repetition from another one.
func helloID(random [32]byte) uint64 { return binary.BigEndian.Uint64(random[:]) }

// receiveRecords takes the records of a datagram from the endpoint of m.
func (s *Server) receiveRecords(now time.Time, m *Member, b []byte) {
	for opened := 0; opened < maxRecords; {
		h, rec, rest, err := record.Split(b)
		if err != nil {
			return
		}
		b = rest
		if h.Epoch == 0 {
			continue // of a flight that is repeated; the record that counts follows
		}
		opened++
		if len(rec) > maxRecordLen {
			s.stats.forged.Add(1)
			continue
		}
		payload, err := m.channel.open.Open(h, rec, &s.tmp)
		switch {
		case err == record.ErrReplay:
			s.stats.replayed.Add(1)
		case err != nil:
			s.stats.forged.Add(1)
		default:
			s.receiveRecord(now, m, h.Type, payload)
		}
		if s.registry.member(m.spot()) != m {
			return // it has left
		}
	}
}

// receiveRecord takes the content of an authentic record.
func (s *Server) receiveRecord(now time.Time, m *Member, typ record.ContentType, payload []byte) {
	switch typ {
	case record.ApplicationData:
		m.channel.after = nil
		s.receiveMessage(now, m, payload)
	case record.Alert:
		const closeNotify, fatal = 0, 2 // RFC 5246 section 7.2
		switch {
		case len(payload) != 2:
		case payload[1] == closeNotify:
			s.registry.Leave(now, m, whyClosed)
		case payload[0] == fatal:
			s.registry.Leave(now, m, whyAlert)
		}
	case record.Handshake:
		if m.channel.after == nil {
			return // a late repetition
		}
		repeat, renegotiates := m.channel.after.Handle(now, payload)
		for _, b := range repeat {
			s.queue(m.at, m.server, m.socket, b)
		}
		if renegotiates {
			const warning, noRenegotiation = 1, 100
			s.sayAlert(m, warning, noRenegotiation)
		}
	}
}

// Why a channel is over, beside what the registry knows.
const (
	whyClosed = "its client has closed it"
	whyAlert  = "its client reports an error"
)

// receiveMessage takes a message of m.
func (s *Server) receiveMessage(now time.Time, m *Member, b []byte) {
	ctx := context.Background()
	msg, err := channel.Parse(b)
	if s.logs(ctx) {
		s.logRequest(ctx, m, &msg, err)
	}
	if err != nil {
		s.stats.malformed.Add(1)
		s.refuseMessage(m, b, err)
		return
	}
	s.out = s.registry.Handle(now, In{From: m.at, Local: m.server, Socket: m.socket, Member: m, Request: &msg}, s.out)
}

// refuseMessage answers what cannot be read, if that has a type and an id where
// every version has them. A REFUSED is not answered: that could go on for ever.
func (s *Server) refuseMessage(m *Member, b []byte, err error) {
	const head = 6
	if len(b) < head || channel.Type(b[1]) == channel.Refused {
		return
	}
	why := channel.Malformed
	if err == channel.ErrVersion {
		why = channel.Unsupported
	}
	s.out = m.refuse(&channel.Message{ID: binary.BigEndian.Uint32(b[2:])}, why, "", s.out)
}

// say queues a message to m.
func (s *Server) say(m *Member, msg *channel.Message) {
	s.plain = msg.Append(s.plain[:0])
	s.sayRecord(m, record.ApplicationData, s.plain)
}

func (s *Server) sayAlert(m *Member, level, description byte) {
	s.sayRecord(m, record.Alert, []byte{level, description})
}

// sayRecord queues a record to m.
func (s *Server) sayRecord(m *Member, typ record.ContentType, payload []byte) {
	start := len(s.buf)
	b, err := m.channel.seal.Seal(s.buf, payload, typ, &s.tmp)
	if err != nil {
		return // after 2^48 records
	}
	s.buf = b
	s.queue(m.at, m.server, m.socket, s.buf[start:])
}

// endChannel tells m that its channel is over, and why the log.
func (s *Server) endChannel(now time.Time, m *Member, why string) {
	const warning, closeNotify = 1, 0
	s.sayAlert(m, warning, closeNotify)
	s.registry.Leave(now, m, why)
}

// queue queues a datagram. b must stay as it is until the flush.
func (s *Server) queue(to netip.AddrPort, local netip.Addr, socket uint8, b []byte) {
	s.send[socket] = append(s.send[socket], punch.Datagram{Addr: to, Local: local, Data: b})
}

// logs reports whether messages are logged.
func (s *Server) logs(ctx context.Context) bool {
	return s.cfg.LogMessages && s.log.Enabled(ctx, slog.LevelDebug)
}
