package client

import (
	"errors"
	"slices"
	"time"

	"campagnol/tunnel"
	"campagnol/tunnel/record"
)

// receive takes a datagram of records from the RDV's address, whose content it
// destroys, and returns why something in it was dropped. next says that it came the way
// of the attempt at the next channel, and may be of its handshake.
func (m *serverChannel) receive(now time.Time, b []byte, next bool, out []chanOut) ([]chanOut, tunnel.Drop) {
	why := tunnel.Kept
	for len(b) > 0 {
		h, rec, rest, err := record.Split(b)
		if err != nil {
			return out, tunnel.DropShort
		}
		if h.Epoch == 0 {
			if m.state != chanShaking || !next {
				return out, tunnel.DropEpoch
			}
			m.answered = true
			return append(out, chanOut{act: actShake, data: b}), why
		}
		var d tunnel.Drop
		if out, d = m.record(now, h, rec, next, out); d != tunnel.Kept {
			why = d
		}
		b = rest
	}
	return out, why
}

// record takes a protected record: of a link, or of the handshake.
func (m *serverChannel) record(now time.Time, h record.Header, rec []byte, next bool, out []chanOut) ([]chanOut, tunnel.Drop) {
	// A failed attempt destroys the record: keep a copy for the next one.
	m.spare = append(m.spare[:0], rec...)
	why := tunnel.DropNoPeer
	for _, l := range [...]*link{m.joining, m.link, m.old} {
		if l == nil {
			continue
		}
		payload, err := l.open.Open(h, rec, &l.tmp)
		if err == nil {
			return m.opened(now, l, h.Type, payload, out), tunnel.Kept
		}
		if d := dropOfRecord(err); why == tunnel.DropNoPeer || d == tunnel.DropReplay {
			why = d
		}
		copy(rec, m.spare)
	}
	if m.state == chanShaking && next { // perhaps the RDV's Finished
		return append(out, chanOut{act: actShake, data: slices.Clone(rec)}), tunnel.Kept
	}
	return out, why
}

func dropOfRecord(err error) tunnel.Drop {
	switch {
	case errors.Is(err, record.ErrReplay):
		return tunnel.DropReplay
	case errors.Is(err, record.ErrShort):
		return tunnel.DropShort
	case errors.Is(err, record.ErrEpoch), errors.Is(err, record.ErrVersion):
		return tunnel.DropEpoch
	}
	return tunnel.DropAuth
}
