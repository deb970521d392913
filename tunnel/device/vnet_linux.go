package device

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"campagnol/tunnel/segment"

	"golang.org/x/sys/unix"
)

// With IFF_VNET_HDR every packet has a header of virtio before it (struct
// virtio_net_hdr of linux/virtio_net.h, in the machine's byte order):
//
//	offset  size  field
//	0       1     flags
//	1       1     kind of large packet
//	2       2     length of the packet's headers
//	4       2     payload of a segment
//	6       2     where the transport checksum begins to count
//	8       2     where it stands, from there
const vnetLen = 10

const (
	vnetNeedsSum = 1 // flag: the transport checksum is to be completed

	vnetNone = 0
	vnetTCP4 = 1
	vnetTCP6 = 4
	vnetUDP  = 5
	vnetECN  = 0x80 // added to the kind: the segments after the first have no CWR
)

// parseVnet takes the packet out of what was read. The checksum of one that is
// not large is completed; those of a large one are made when it is cut.
func parseVnet(b []byte) (Packet, bool) {
	p := Packet{Data: b[vnetLen:]}
	start := int(binary.NativeEndian.Uint16(b[6:]))
	offset := int(binary.NativeEndian.Uint16(b[8:]))
	switch b[1] &^ vnetECN {
	case vnetNone:
		ok := b[0]&vnetNeedsSum == 0 || segment.Complete(p.Data, start, offset)
		return p, ok
	case vnetTCP4:
		p.GSO.Kind = segment.TCP4
	case vnetTCP6:
		p.GSO.Kind = segment.TCP6
	case vnetUDP:
		p.GSO.Kind = segment.UDP
	default:
		return p, false
	}
	p.GSO.Size = int(binary.NativeEndian.Uint16(b[4:]))
	return p, p.GSO.Size > 0
}

// putVnet writes the header of a packet.
func putVnet(h *[vnetLen]byte, p *Packet) {
	*h = [vnetLen]byte{}
	if p.GSO.Kind == segment.None {
		return
	}
	h[0] = vnetNeedsSum
	l4 := 8 // of a UDP header
	switch p.GSO.Kind {
	case segment.TCP4:
		h[1] = vnetTCP4
	case segment.TCP6:
		h[1] = vnetTCP6
	case segment.UDP:
		h[1] = vnetUDP
	}
	if p.GSO.Kind != segment.UDP {
		l4 = int(p.Data[p.SumStart+12]>>4) * 4
	}
	binary.NativeEndian.PutUint16(h[2:], uint16(p.SumStart+l4))
	binary.NativeEndian.PutUint16(h[4:], uint16(p.GSO.Size))
	binary.NativeEndian.PutUint16(h[6:], uint16(p.SumStart))
	binary.NativeEndian.PutUint16(h[8:], uint16(p.SumOffset))
}

// writeVnet writes a packet, with its header, in one call.
func (w *writer) writeVnet(fd uintptr, p *Packet) error {
	putVnet(&w.header, p)
	w.pieces = append(w.pieces[:0], iovec(w.header[:]), iovec(p.Data))
	for _, t := range p.Tail {
		w.pieces = append(w.pieces, iovec(t))
	}
	_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.pieces[0])), uintptr(len(w.pieces)))
	runtime.KeepAlive(p)
	clear(w.pieces)
	if errno != 0 {
		return errno
	}
	return nil
}

// iovec returns the kernel's description of b, which is not empty.
func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return v
}
