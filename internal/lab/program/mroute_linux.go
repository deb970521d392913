package program

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"campagnol/internal/lab/frame"

	"golang.org/x/sys/unix"
)

// Socket options of a multicast router, and limits (linux/mroute.h).
const (
	mrtInit   = 200
	mrtAddVIF = 202
	mrtAddMFC = 204

	vifByIndex = 8
	maxVIFs    = 32
)

// Addresses that a querier listens to on its networks: leaves of version 2, and
// reports of version 3. Reports of version 2 go to the group itself, and the
// kernel hands them over because of their Router Alert option.
var routerGroups = [][4]byte{{224, 0, 0, 2}, {224, 0, 0, 22}}

// A mroute is the kernel's multicast routing in a namespace, of which there can
// be one. Its methods are called by one goroutine, read by another.
type mroute struct {
	file *os.File // the raw socket that the kernel talks to
	conn syscall.RawConn
	out  int // a raw socket for packets with their header
}

// openMroute takes over the kernel's multicast routing.
func openMroute() (*mroute, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_IGMP)
	if err != nil {
		return nil, errNoRouting(err)
	}
	m := &mroute{file: os.NewFile(uintptr(fd), "mroute"), out: -1}
	if m.conn, err = m.file.SyscallConn(); err == nil {
		err = control(m.conn, func(fd int) error {
			return errors.Join(
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, mrtInit, 1),
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
			)
		})
	}
	if err == nil {
		m.out, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	}
	if err == nil {
		err = unix.SetsockoptInt(m.out, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0)
	}
	if err != nil {
		m.close()
		return nil, errNoRouting(err)
	}
	return m, nil
}

// close gives the kernel's routing up, which removes all its routes.
func (m *mroute) close() {
	m.file.Close()
	if m.out >= 0 {
		unix.Close(m.out)
	}
}

// addVIF makes an interface one of the router's, and listens there to hosts.
func (m *mroute) addVIF(number int, ifi *net.Interface, hosts bool) error {
	// struct vifctl: number, flags, TTL threshold, rate limit, interface,
	// remote end.
	b := binary.NativeEndian.AppendUint16(nil, uint16(number))
	b = append(b, vifByIndex, 1, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(ifi.Index))
	b = append(b, 0, 0, 0, 0)
	err := control(m.conn, func(fd int) error {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_IP, mrtAddVIF, string(b)); err != nil || !hosts {
			return err
		}
		for _, g := range routerGroups {
			mreq := &unix.IPMreqn{Multiaddr: g, Ifindex: int32(ifi.Index)}
			if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("program: make %s an interface of the router: %w", ifi.Name, err)
	}
	return nil
}

// setRoute sends a stream that comes from upstream to the interfaces of a set.
func (m *mroute) setRoute(s stream, to uint32) error {
	// struct mfcctl: source, group, number of the upstream interface, a TTL
	// threshold per interface (0 is never), and counters.
	b := append(s.source.AsSlice(), s.group.AsSlice()...)
	b = append(b, 0, 0)
	for i := range maxVIFs {
		b = append(b, byte(to>>i&1))
	}
	b = append(b, make([]byte, 18)...)
	err := control(m.conn, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_IP, mrtAddMFC, string(b))
	})
	if err != nil {
		return fmt.Errorf("program: route %v to %v: %w", s.source, s.group, err)
	}
	return nil
}

// sendQuery sends a query from an interface.
func (m *mroute) sendQuery(v *vif, q frame.Message) error {
	const ethernet = 14
	packet := frame.Membership(frame.Header{SrcIP: v.addr}, q)[ethernet:]
	dst := [4]byte(packet[16:20])
	err := unix.SetsockoptIPMreqn(m.out, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(v.ifi.Index)})
	if err == nil {
		err = unix.Sendto(m.out, packet, 0, &unix.SockaddrInet4{Addr: dst})
	}
	// An interface that is down for a while has nobody to ask.
	if err != nil && !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("program: ask on %s: %w", v.ifi.Name, err)
	}
	return nil
}

// read hands over what the kernel says until the context ends.
func (m *mroute) read(ctx context.Context, events chan<- mrouteEvent) error {
	defer context.AfterFunc(ctx, func() { m.file.Close() })()
	b, oob := make([]byte, 1<<16), make([]byte, 256)
	for {
		var n, oobn int
		var err error
		ready := m.conn.Read(func(fd uintptr) bool {
			n, oobn, _, _, err = unix.Recvmsg(int(fd), b, oob, 0)
			return err != unix.EAGAIN
		})
		if ctx.Err() != nil {
			return nil
		}
		if err := errors.Join(ready, err); err != nil {
			return fmt.Errorf("program: listen to the kernel's multicast routing: %w", err)
		}
		e, ok := parseMroute(b[:n], parseInfo(oob[:oobn]).index)
		if !ok {
			continue
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return nil
		}
	}
}
