package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sockaddr has room for an address of either family.
type sockaddr = unix.RawSockaddrInet6

// putAddr writes a to sa and returns the number of bytes in use. z turns the
// zone of a link-local address into a number.
func putAddr(sa *sockaddr, a netip.AddrPort, z *zones) uint32 {
	addr := a.Addr()
	if addr.Is4() {
		s4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		s4.Family = unix.AF_INET
		s4.Addr = addr.As4()
		putPort(&s4.Port, a.Port())
		return unix.SizeofSockaddrInet4
	}
	sa.Family = unix.AF_INET6
	sa.Addr = addr.As16()
	sa.Flowinfo = 0
	sa.Scope_id = 0
	if addr.Zone() != "" {
		sa.Scope_id = z.index(addr.Zone())
	}
	putPort(&sa.Port, a.Port())
	return unix.SizeofSockaddrInet6
}

// getAddr reads what the kernel wrote to the n bytes of sa. It returns the
// zero AddrPort for a family that is none of ours.
func getAddr(sa *sockaddr, n uint32, z *zones) netip.AddrPort {
	switch {
	case sa.Family == unix.AF_INET && n >= unix.SizeofSockaddrInet4:
		s4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(s4.Addr), getPort(&s4.Port))
	case sa.Family == unix.AF_INET6 && n >= unix.SizeofSockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && addr.Is6() {
			addr = addr.WithZone(z.name(sa.Scope_id))
		}
		return netip.AddrPortFrom(addr, getPort(&sa.Port))
	}
	return netip.AddrPort{}
}

// putPort and getPort know that a sockaddr's port is in network byte order.
func putPort(p *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], port)
}

func getPort(p *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])
}

// zones translates between the zones of link-local IPv6 addresses, which are
// names of interfaces, and the kernel's numbers. Asking the kernel for each
// datagram would be slow. It is safe for concurrent use; the zero value is
// ready.
type zones struct {
	mu      sync.Mutex
	byIndex map[uint32]string
	byName  map[string]uint32
}

// maxZones bounds the memory of zones: hosts with more interfaces ask again.
const maxZones = 64

// name returns the zone for an interface's number: its name, and the number
// itself if it has none any more.
func (z *zones) name(index uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	if name, ok := z.byIndex[index]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(index), 10)
	if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
		name = ifi.Name
	}
	z.rememberLocked(index, name)
	return name
}

// index returns the number for a zone, and 0, which is no interface's, for the
// name of an interface that does not exist.
func (z *zones) index(name string) uint32 {
	z.mu.Lock()
	defer z.mu.Unlock()
	if index, ok := z.byName[name]; ok {
		return index
	}
	var index uint32
	if ifi, err := net.InterfaceByName(name); err == nil {
		index = uint32(ifi.Index)
	} else if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		index = uint32(n)
	} else {
		return 0
	}
	z.rememberLocked(index, name)
	return index
}

func (z *zones) rememberLocked(index uint32, name string) {
	if z.byIndex == nil || len(z.byIndex) >= maxZones || len(z.byName) >= maxZones {
		z.byIndex, z.byName = make(map[uint32]string), make(map[string]uint32)
	}
	z.byIndex[index], z.byName[name] = name, index
}

// forget empties z. It is called when a zone did not work: an interface may
// have been renamed, or made anew.
func (z *zones) forget() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.byIndex, z.byName = nil, nil
}
