package ether

import (
	"encoding/binary"
	"errors"
)

// Lengths in bytes.
const (
	HeaderLen = 14 // of a frame's header without tags
	TagLen    = 4  // of a VLAN tag

	addressesLen = 12
	typeLen      = 2

	// maxTags is how many VLAN tags are read. Providers use two. Linux does not
	// look behind more than this (VLAN_MAX_DEPTH), and a frame in which a
	// receiver may find another VLAN than we have found must not pass.
	maxTags = 8
)

// A Type says what a frame carries. Those below MinType are lengths: what follows is
// a header of LLC (IEEE 802.3 section 3.2.6).
type Type uint16

// The types that are known here.
const (
	MinType    Type = 0x0600
	IPv4       Type = 0x0800
	ARP        Type = 0x0806
	IPv6       Type = 0x86dd
	MACControl Type = 0x8808 // pause frames and their like

	tagged        Type = 0x8100 // of a customer (802.1Q)
	serviceTagged Type = 0x88a8 // of a provider (802.1ad)
)

// Why bytes are not a frame.
var (
	ErrShort = errors.New("ether: frame cut short")
	ErrTags  = errors.New("ether: too many VLAN tags")
)

// A Frame is what the header of a frame says.
type Frame struct {
	Dst, Src MAC
	Type     Type  // behind the tags
	Tags     uint8 // how many
	Priority uint8 // of the first tag (PCP), 0 to 7
	VID      VID   // which VLAN it belongs to: the first number in the tags that is not 0
	Inner    VID   // the number in the tag behind that; 0: there is none
	Net      int   // offset of what it carries
}

// Parse reads the header of the frame b. A frame whose first tags have the number 0
// belongs to the VLAN of the next: that is what the receiver's kernel makes of it.
func Parse(b []byte) (Frame, error) {
	if len(b) < HeaderLen {
		return Frame{}, ErrShort
	}
	f := Frame{Dst: macAt(b), Src: macAt(b[6:]), Net: HeaderLen}
	f.Type = Type(binary.BigEndian.Uint16(b[addressesLen:]))
	if f.Type != tagged && f.Type != serviceTagged {
		return f, nil
	}
	return f, f.tags(b)
}

// tags reads the tags of a frame that has at least one.
func (f *Frame) tags(b []byte) error {
	outer := false
	for f.Type == tagged || f.Type == serviceTagged {
		if f.Tags == maxTags {
			*f = Frame{}
			return ErrTags
		}
		if len(b) < f.Net+TagLen {
			*f = Frame{}
			return ErrShort
		}
		tci := binary.BigEndian.Uint16(b[f.Net:])
		vid := VID(tci & 0xfff)
		switch {
		case !outer && vid != 0:
			f.VID, outer = vid, true
		case outer && f.Inner == 0:
			f.Inner = vid
		}
		if f.Tags == 0 {
			f.Priority = uint8(tci >> 13)
		}
		f.Tags++
		f.Type = Type(binary.BigEndian.Uint16(b[f.Net+typeLen:]))
		f.Net += TagLen
	}
	return nil
}

// AppendReply appends to b the header of a frame in the same VLAN as frame, whose
// header is f, with the same tags.
func (f *Frame) AppendReply(b, frame []byte, dst, src MAC, t Type) []byte {
	b = src.Append(dst.Append(b))
	b = append(b, frame[addressesLen:f.Net-typeLen]...)
	return binary.BigEndian.AppendUint16(b, uint16(t))
}
