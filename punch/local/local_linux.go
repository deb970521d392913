package local

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dumpTries is how often the kernel is asked for a list that changes while it is read.
const dumpTries = 4

// addresses returns all addresses of the host.
func addresses() (list []address, err error) {
	for range dumpTries {
		if list, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return list, nil // as good as can be had; another change follows
}

func dump() ([]address, error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	type link struct {
		name string
		up   bool
	}
	byIndex := map[int]link{}
	for _, l := range links {
		a := l.Attrs()
		runs := a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown
		byIndex[a.Index] = link{a.Name, a.Flags&net.FlagUp != 0 && a.Flags&net.FlagLoopback == 0 && runs}
	}
	addrs, more := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if more != nil && !errors.Is(more, netlink.ErrDumpInterrupted) {
		return nil, more
	}
	var list []address
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		l := byIndex[a.LinkIndex]
		list = append(list, address{
			addr: ip, link: l.name, up: l.up,
			tentative:  a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0 || a.Flags&unix.IFA_F_DADFAILED != 0,
			deprecated: a.Flags&unix.IFA_F_DEPRECATED != 0,
			temporary:  ip.Is6() && a.Flags&unix.IFA_F_TEMPORARY != 0, // the same bit says "secondary" of IPv4
		})
	}
	return list, errors.Join(err, more)
}

// wayTo returns how the kernel sends to an address.
func wayTo(to netip.Addr) Way {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return Way{}
	}
	w := Way{Link: routes[0].LinkIndex}
	if gw, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		w.Gateway = gw.Unmap()
	}
	return w
}

// groups are what the kernel tells of.
const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)

// A subscription is a socket that becomes readable when something changes.
type subscription struct{ file *os.File }

// subscribe opens a subscription, in the network namespace of the caller's thread.
func subscribe() (*subscription, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return &subscription{os.NewFile(uintptr(fd), "rtnetlink")}, nil
}

// close ends read.
func (s *subscription) close() { s.file.Close() }

// read says on notes that something has changed, until ctx is done or close was
// called. What the messages say does not matter: the state is looked at as a whole. So
// it does not matter either when the kernel has to drop some (ENOBUFS).
func (s *subscription) read(ctx context.Context, notes chan<- struct{}) error {
	buf := make([]byte, 64<<10)
	for {
		_, err := s.file.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS):
			return err
		}
		select {
		case notes <- struct{}{}:
		default: // it has been said
		}
	}
}

// awake returns how long the host has run, the time that it has slept included.
func awake() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
