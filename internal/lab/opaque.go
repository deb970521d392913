package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A Content is what a piece of a datagram is, as far as somebody can tell who has no
// keys.
type Content uint8

// The kinds of Content.
const (
	Unknown     Content = iota // none of the following
	TURNMessage                // of STUN, that is, or TURN (RFC 8489, RFC 8656)
	ChannelData                // of TURN, around another piece
	Record                     // of DTLS
	Clear                      // a message of 11 bytes of the rendezvous protocol
	Gate                       // the beginning of a channel to a rendezvous server
	contents
)

// String names the content.
func (c Content) String() string {
	if c >= contents {
		return fmt.Sprintf("content %d", uint8(c))
	}
	return [contents]string{"unknown", "TURN message", "channel data", "DTLS record", "message in clear", "gate"}[c]
}

// A Piece is a part of a datagram.
type Piece struct {
	Content Content
	Data    []byte // all of it, header included; a part of what was dissected
	Relayed bool   // it was in ChannelData, or in the DATA attribute of a TURNMessage
}

const (
	recordHeader  = 13 // bytes; RFC 6347 section 4.1
	recordID      = 4  // bytes of the connection IDs that we choose (RFC 9146)
	typeCID       = 25
	turnHeader    = 20
	turnCookie    = 0x2112A442
	attributeData = 0x0013
	clearMessage  = 11
	clearTypes    = 14
	gateByte      = 15
)

// Dissect says what the payload of a datagram is made of: several records, or a run of
// datagrams that the kernel would cut later, are several pieces. What is inside a piece
// of TURN follows it. It accepts anything; of what it does not understand the rest is
// one piece. The pieces refer to b.
func Dissect(b []byte) []Piece { return dissect(nil, b, false) }

func dissect(list []Piece, b []byte, relayed bool) []Piece {
	for len(b) > 0 {
		content, n := first(b)
		piece := b[:n]
		list = append(list, Piece{content, piece, relayed})
		if !relayed { // a relay that is reached through another is not looked into
			switch content {
			case ChannelData:
				list = dissect(list, piece[4:], true)
			case TURNMessage:
				if data := turnData(piece); data != nil {
					list = dissect(list, data, true)
				}
			}
		}
		b = b[n:]
	}
	return list
}

// first returns what b begins with, which has a byte at least, and its length.
func first(b []byte) (c Content, n int) {
	switch {
	case len(b) == clearMessage && b[0] < clearTypes:
		return Clear, len(b)
	case b[0] < 4 && len(b) >= turnHeader && binary.BigEndian.Uint32(b[4:]) == turnCookie:
		if n = turnHeader + int(binary.BigEndian.Uint16(b[2:])); n <= len(b) {
			return TURNMessage, n
		}
	case b[0] == gateByte:
		return Gate, len(b)
	case b[0] >= 20 && b[0] < 64 && len(b) >= recordHeader && b[1] == 0xfe:
		n = recordHeader
		if b[0] == typeCID {
			n += recordID
		}
		if len(b) >= n {
			if n += int(binary.BigEndian.Uint16(b[n-2:])); n <= len(b) {
				return Record, n
			}
		}
	case b[0] >= 0x40 && b[0] < 0x80 && len(b) >= 4:
		// Over UDP there is no padding (RFC 8656 section 12.5).
		if n = 4 + int(binary.BigEndian.Uint16(b[2:])); n <= len(b) {
			return ChannelData, n
		}
	}
	return Unknown, len(b)
}

// turnData returns the DATA attribute of a message; nil: it has none.
func turnData(message []byte) []byte {
	for b := message[turnHeader:]; len(b) >= 4; {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return nil
		}
		if kind == attributeData {
			return b[4 : 4+n]
		}
		b = b[min(len(b), 4+(n+3)&^3):]
	}
	return nil
}

// maxOdd is how many payloads an Inspection keeps as examples.
const maxOdd = 5

// An Inspection is what somebody sees who watches, and has no keys.
type Inspection struct {
	Datagrams int
	Pieces    [contents]int // by content; those that were relayed, too
	Relayed   [contents]int // by content; only those
	Leaks     int           // frames in which there was something that nobody should see
	Odd       [][]byte      // examples of what is Unknown, or of a leak
}

// add counts a datagram.
func (i *Inspection) add(payload []byte) {
	i.Datagrams++
	for _, p := range Dissect(payload) {
		i.Pieces[p.Content]++
		if p.Relayed {
			i.Relayed[p.Content]++
		}
		if p.Content == Unknown {
			i.odd(p.Data)
		}
	}
}

// look finds out whether a frame has one of several texts in it.
func (i *Inspection) look(raw []byte, secrets [][]byte) {
	for _, s := range secrets {
		if bytes.Contains(raw, s) {
			i.Leaks++
			i.odd(raw)
			return
		}
	}
}

func (i *Inspection) odd(b []byte) {
	if len(i.Odd) < maxOdd {
		i.Odd = append(i.Odd, bytes.Clone(b[:min(len(b), 64)]))
	}
}

// String gives the figures.
func (i Inspection) String() string {
	s := fmt.Sprintf("%d datagrams, %d leaks", i.Datagrams, i.Leaks)
	for c := range contents {
		if i.Pieces[c] > 0 {
			s += fmt.Sprintf(", %v: %d (%d relayed)", c, i.Pieces[c], i.Relayed[c])
		}
	}
	return s
}
