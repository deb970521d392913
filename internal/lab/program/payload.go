package program

import (
	"encoding/binary"
	"errors"

	"campagnol/internal/lab/clock"
)

// A Payload is what a datagram of a sender says.
type Payload struct {
	Run  uint32 // tells senders apart
	Seq  uint64 // counts the datagrams to each group, from 0
	Sent clock.Instant
}

// payloadMagic begins every datagram of a sender.
const payloadMagic = "cLab"

// PayloadSize is the size of a Payload; datagrams may be longer.
const PayloadSize = len(payloadMagic) + 4 + 8 + 8

// ErrPayload is for datagrams that no sender sent.
var ErrPayload = errors.New("program: not a datagram of a sender")

// Append adds the payload to b.
func (p Payload) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, payloadMagic...), p.Run)
	b = binary.BigEndian.AppendUint64(b, p.Seq)
	return binary.BigEndian.AppendUint64(b, uint64(p.Sent))
}

// ParsePayload reads a payload; what follows it does not matter.
func ParsePayload(b []byte) (Payload, error) {
	if len(b) < PayloadSize || string(b[:len(payloadMagic)]) != payloadMagic {
		return Payload{}, ErrPayload
	}
	b = b[len(payloadMagic):]
	return Payload{
		Run:  binary.BigEndian.Uint32(b),
		Seq:  binary.BigEndian.Uint64(b[4:]),
		Sent: clock.Instant(binary.BigEndian.Uint64(b[12:])),
	}, nil
}
