package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize has room for UDP_GRO or UDP_SEGMENT, the packet info of either
// family and the traffic class (88 bytes on 64-bit systems), or in place of the
// first a cause of error with the address of its reporter (128 bytes).
const controlSize = 160

// ecnMask is where the ECN field is in the traffic class (RFC 3168 section 5).
const ecnMask = 3

// A control is the ancillary data of a message.
type control struct {
	_ [0]uint64 // the kernel's headers want this alignment
	b [controlSize]byte
}

// add appends a control message with room for size bytes of data to the first
// n bytes of c, and returns a pointer to the data and the new n.
func (c *control) add(n int, level, typ int32, size int) (unsafe.Pointer, int) {
	space := unix.CmsgSpace(size)
	b := c.b[n : n+space]
	clear(b)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(size))
	return unsafe.Pointer(&b[unix.CmsgLen(0)]), n + space
}

// addSegment asks the kernel to cut the message into payloads of size bytes.
func (c *control) addSegment(n, size int) int {
	p, n := c.add(n, unix.SOL_UDP, unix.UDP_SEGMENT, 2)
	*(*uint16)(p) = uint16(size)
	return n
}

// addLocal asks the kernel to send from address a; ifindex, if it is not 0,
// is the interface to send from, which a link-local address needs.
func (c *control) addLocal(n int, a netip.Addr, ifindex uint32) int {
	if a.Is4() {
		p, n := c.add(n, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		(*unix.Inet4Pktinfo)(p).Spec_dst = a.As4()
		return n
	}
	p, n := c.add(n, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	info := (*unix.Inet6Pktinfo)(p)
	info.Addr, info.Ifindex = a.As16(), ifindex
	return n
}

// addECN sets the ECN field of the message; the DSCP is 0.
func (c *control) addECN(n int, is4 bool, ecn uint8) int {
	level, typ := int32(unix.IPPROTO_IPV6), int32(unix.IPV6_TCLASS)
	if is4 {
		level, typ = unix.IPPROTO_IP, unix.IP_TOS
	}
	p, n := c.add(n, level, typ, 4)
	*(*int32)(p) = int32(ecn)
	return n
}

// A received is what the ancillary data of a message say.
type received struct {
	segment int        // size of the joined payloads; 0 if there is one payload
	local   netip.Addr // the address to answer from
	ifindex uint32     // the interface it came by
	ecn     uint8      // the ECN field
}

// parseControl reads the ancillary data of a message. What it does not know or
// cannot read it leaves out.
func parseControl(b []byte) (r received) {
	for {
		level, typ, data, rest, ok := nextControl(b)
		if !ok {
			return r
		}
		b = rest
		switch {
		case level == unix.SOL_UDP && typ == unix.UDP_GRO && len(data) >= 4:
			r.segment = int(int32(binary.NativeEndian.Uint32(data)))
		case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// ifindex, spec_dst, addr. The last is the destination in the
			// header, which can be a broadcast address; spec_dst is what an
			// answer comes from.
			r.ifindex = binary.NativeEndian.Uint32(data)
			r.local = netip.AddrFrom4([4]byte(data[4:8]))
		case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			r.ifindex = binary.NativeEndian.Uint32(data[16:])
			// A socket for both families gets this for IPv4, too. A broadcast
			// address then stays, which the kernel will refuse to answer from.
			if a := netip.AddrFrom16([16]byte(data)).Unmap(); !a.IsMulticast() {
				r.local = a
			}
		case level == unix.IPPROTO_IP && typ == unix.IP_TOS && len(data) >= 1:
			r.ecn = data[0] & ecnMask
		case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_TCLASS && len(data) >= 4:
			r.ecn = uint8(binary.NativeEndian.Uint32(data)) & ecnMask
		}
	}
}

// parseCause reads the ancillary data of a message of the error queue. The
// interface number in the offender's scope is left out.
func parseCause(b []byte) (cause unix.SockExtendedErr, from netip.Addr, ok bool) {
	for {
		level, typ, data, rest, more := nextControl(b)
		if !more {
			return cause, from, ok
		}
		b = rest
		is4 := level == unix.IPPROTO_IP && typ == unix.IP_RECVERR
		is6 := level == unix.IPPROTO_IPV6 && typ == unix.IPV6_RECVERR
		if !is4 && !is6 || len(data) < sizeofExtendedErr {
			continue
		}
		cause = unix.SockExtendedErr{
			Errno:  binary.NativeEndian.Uint32(data),
			Origin: data[4],
			Type:   data[5],
			Code:   data[6],
			Info:   binary.NativeEndian.Uint32(data[8:]),
		}
		from, ok = offender(data[sizeofExtendedErr:]), true
	}
}

const sizeofExtendedErr = int(unsafe.Sizeof(unix.SockExtendedErr{}))

// offender reads the sockaddr of the host that reported an error.
func offender(b []byte) netip.Addr {
	if len(b) < unix.SizeofSockaddrInet4 {
		return netip.Addr{}
	}
	switch f := binary.NativeEndian.Uint16(b); {
	case f == unix.AF_INET:
		return netip.AddrFrom4([4]byte(b[4:]))
	case f == unix.AF_INET6 && len(b) >= unix.SizeofSockaddrInet6:
		return netip.AddrFrom16([16]byte(b[8:])).Unmap()
	}
	return netip.Addr{}
}

// nextControl takes the first control message off b. ok is false at the end
// and at a message that does not fit.
func nextControl(b []byte) (level, typ int32, data, rest []byte, ok bool) {
	if len(b) < unix.SizeofCmsghdr {
		return 0, 0, nil, nil, false
	}
	h, data, rest, err := unix.ParseOneSocketControlMessage(b)
	if err != nil {
		return 0, 0, nil, nil, false
	}
	return h.Level, h.Type, data, rest, true
}
