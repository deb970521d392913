package program

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"campagnol/internal/lab/clock"

	"golang.org/x/sys/unix"
)

// Socket options of linux/in.h and linux/in6.h which the library does not name:
// those of RFC 3678, and which multicast a socket gets at all.
const (
	mcastJoinGroup   = 42
	mcastBlockSource = 43
	mcastUnblock     = 44
	mcastLeaveGroup  = 45
	mcastJoinSource  = 46
	mcastLeaveSource = 47

	ipMulticastAll   = 49
	ipv6MulticastAll = 29
)

// socketBuffer is the room for datagrams while the program does not run.
const socketBuffer = 4 << 20

// An option is a socket option with a number as value.
type option struct{ level, name, value int }

// listen makes a UDP socket of the family of addr with socket options that are
// set before it is bound.
func listen(addr netip.AddrPort, device string, options ...option) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			for _, o := range options {
				if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
					return fmt.Errorf("set socket option %d/%d: %w", o.level, o.name, err)
				}
			}
			if device != "" {
				return unix.BindToDevice(fd, device)
			}
			return nil
		})
	}}
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	c, err := config.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("program: a UDP socket is a %T", c), c.Close())
	}
	return conn, nil
}

// control calls fn with the descriptor of a socket.
func control(c syscall.RawConn, fn func(fd int) error) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) { err = fn(int(fd)) }), err)
}

// level returns the protocol level of the options of a's family.
func level(a netip.Addr) int {
	if a.Is6() {
		return unix.IPPROTO_IPV6
	}
	return unix.IPPROTO_IP
}

// sockaddr returns a struct sockaddr_storage, in which the RFC's options have
// their addresses.
func sockaddr(a netip.Addr) []byte {
	b := make([]byte, unix.SizeofSockaddrAny+16)[:128]
	if a.Is6() {
		binary.NativeEndian.PutUint16(b, unix.AF_INET6)
		copy(b[8:], a.AsSlice())
	} else {
		binary.NativeEndian.PutUint16(b, unix.AF_INET)
		copy(b[4:], a.AsSlice())
	}
	return b
}

// groupRequest returns struct group_req or struct group_source_req. The
// addresses in it are aligned like pointers.
func groupRequest(index int, addrs ...netip.Addr) string {
	b := make([]byte, unsafe.Sizeof(uintptr(0)))
	binary.NativeEndian.PutUint32(b, uint32(index))
	for _, a := range addrs {
		b = append(b, sockaddr(a)...)
	}
	return string(b)
}

// The things that a receiver does with a membership, and the socket options of
// RFC 3678 for them: without a source and with one.
var verbs = map[string]struct{ group, source int }{
	"join":    {mcastJoinGroup, mcastJoinSource},
	"leave":   {mcastLeaveGroup, mcastLeaveSource},
	"block":   {0, mcastBlockSource},
	"unblock": {0, mcastUnblock},
}

// The options of IPv4 alone for the same.
var oldVerbs4 = map[string]struct{ group, source int }{
	"join":    {unix.IP_ADD_MEMBERSHIP, unix.IP_ADD_SOURCE_MEMBERSHIP},
	"leave":   {unix.IP_DROP_MEMBERSHIP, unix.IP_DROP_SOURCE_MEMBERSHIP},
	"block":   {0, unix.IP_BLOCK_SOURCE},
	"unblock": {0, unix.IP_UNBLOCK_SOURCE},
}

// apply does one of the verbs with a membership of the socket.
func (m Membership) apply(fd int, verb string) error {
	if !m.Group.IsMulticast() {
		return fmt.Errorf("%v is not a group", m.Group)
	}
	ifi, err := net.InterfaceByName(m.Interface)
	if err != nil {
		return err
	}
	if m.Old {
		return m.applyOld(fd, verb, ifi)
	}
	options := verbs[verb]
	if m.Source.IsValid() {
		return unix.SetsockoptString(fd, level(m.Group), options.source, groupRequest(ifi.Index, m.Group, m.Source))
	}
	if options.group == 0 {
		return fmt.Errorf("%s needs a source", verb)
	}
	return unix.SetsockoptString(fd, level(m.Group), options.group, groupRequest(ifi.Index, m.Group))
}

func (m Membership) applyOld(fd int, verb string, ifi *net.Interface) error {
	switch {
	case m.Group.Is6() && m.Source.IsValid():
		return errors.New("IPv6 has sources with the options of RFC 3678 only")
	case m.Group.Is6() && (verb == "join" || verb == "leave"):
		name := map[string]int{"join": unix.IPV6_JOIN_GROUP, "leave": unix.IPV6_LEAVE_GROUP}[verb]
		return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, name, &unix.IPv6Mreq{Multiaddr: m.Group.As16(), Interface: uint32(ifi.Index)})
	case m.Source.IsValid():
		own, err := addr4(ifi)
		if err != nil {
			return err
		}
		// struct ip_mreq_source: group, interface, source.
		b := append(append(m.Group.AsSlice(), own.AsSlice()...), m.Source.AsSlice()...)
		return unix.SetsockoptString(fd, unix.IPPROTO_IP, oldVerbs4[verb].source, string(b))
	case oldVerbs4[verb].group == 0 || m.Group.Is6():
		return fmt.Errorf("%s needs a source", verb)
	}
	return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, oldVerbs4[verb].group, &unix.IPMreqn{Multiaddr: m.Group.As4(), Ifindex: int32(ifi.Index)})
}

// addr4 returns the first IPv4 address of an interface.
func addr4(ifi *net.Interface) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no IPv4 address", ifi.Name)
}

// A datagramInfo is what the kernel tells about a datagram.
type datagramInfo struct {
	at    clock.Instant
	dst   netip.Addr
	index int // of the interface
}

// parseInfo reads control messages.
func parseInfo(oob []byte) (info datagramInfo) {
	info.at = clock.Now()
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return info
	}
	for _, m := range messages {
		switch l, t, n := m.Header.Level, m.Header.Type, len(m.Data); {
		case l == unix.SOL_SOCKET && t == unix.SO_TIMESTAMPNS && n >= int(unsafe.Sizeof(unix.Timespec{})):
			stamp := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			info.at = clock.OfStamp(time.Unix(stamp.Unix()))
		case l == unix.IPPROTO_IP && t == unix.IP_PKTINFO && n >= unix.SizeofInet4Pktinfo:
			info.index = int(binary.NativeEndian.Uint32(m.Data))
			info.dst = netip.AddrFrom4([4]byte(m.Data[8:12]))
		case l == unix.IPPROTO_IPV6 && t == unix.IPV6_PKTINFO && n >= unix.SizeofInet6Pktinfo:
			info.dst = netip.AddrFrom16([16]byte(m.Data[:16]))
			info.index = int(binary.NativeEndian.Uint32(m.Data[16:]))
		}
	}
	return info
}
