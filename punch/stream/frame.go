package stream

import (
	"encoding/binary"
	"errors"
)

const (
	channelHead = 4 // number, length
	stunHead    = 20
	stunCookie  = 0x2112A442 // RFC 8489 section 5

	// wrapped is the number of the frames that are no ChannelData. RFC 8656 section 12
	// has it reserved; RFC 5766 had not, and a client that follows that one cannot use
	// this channel here.
	wrapped = 0x7FFF

	// maxPayload is the longest datagram, and maxFrame the longest frame.
	maxPayload = 65535
	maxFrame   = stunHead + maxPayload + 1
)

var (
	errFrame = errors.New("what comes makes no sense")
	errLong  = errors.New("stream: the datagram is too long")
)

// padded returns n, filled up to a multiple of four.
func padded(n int) int { return (n + 3) &^ 3 }

// isChannel reports whether b begins as ChannelData does, or a frame like it.
func isChannel(b []byte) bool { return b[0]>>6 == 1 }

// next returns the payload of the first frame of b, which takes size bytes. size is 0 as
// long as the frame is not complete.
func next(b []byte) (payload []byte, size int, err error) {
	switch {
	case len(b) == 0:
		return nil, 0, nil
	case b[0] > 3 && !isChannel(b):
		return nil, 0, errFrame
	case len(b) < channelHead:
		return nil, 0, nil
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0] <= 3:
		if n&3 != 0 || len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) != stunCookie {
			return nil, 0, errFrame
		}
		size = stunHead + n
	default:
		size = channelHead + padded(n)
	}
	switch {
	case len(b) < size:
		return nil, 0, nil
	case isChannel(b) && binary.BigEndian.Uint16(b) == wrapped:
		return b[channelHead : channelHead+n], size, nil
	}
	return b[:size], size, nil
}

// appendFrame appends a datagram as a frame to b. It reports false, and appends nothing,
// if that is too long.
func appendFrame(b, payload []byte) ([]byte, bool) {
	switch n, is := channelData(payload); {
	case is:
		b = append(b, payload[:channelHead+n]...)
		return fill(b, n), true
	case isSTUN(payload):
		return append(b, payload...), true
	case len(payload) > maxPayload:
		return b, false
	}
	b = binary.BigEndian.AppendUint16(b, wrapped)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	return fill(b, len(payload)), true
}

// fill appends the padding behind n bytes.
func fill(b []byte, n int) []byte {
	var zeros [3]byte
	return append(b, zeros[:padded(n)-n]...)
}

// channelData reports whether a datagram is ChannelData, with n bytes of data and maybe
// padding.
func channelData(b []byte) (n int, is bool) {
	if len(b) < channelHead || !isChannel(b) || binary.BigEndian.Uint16(b) == wrapped {
		return 0, false
	}
	n = int(binary.BigEndian.Uint16(b[2:]))
	rest := len(b) - channelHead - n
	return n, rest >= 0 && rest <= 3
}

// isSTUN reports whether a datagram is a message of STUN, and nothing more.
func isSTUN(b []byte) bool {
	return len(b) >= stunHead && len(b)&3 == 0 && b[0] <= 3 && binary.BigEndian.Uint32(b[4:]) == stunCookie &&
		stunHead+int(binary.BigEndian.Uint16(b[2:])) == len(b)
}
