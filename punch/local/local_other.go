//go:build !linux

package local

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// addresses returns all addresses of the host. That an address is deprecated or
// temporary is not known here.
func addresses() ([]address, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []address
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			continue // it has gone meanwhile
		}
		up := l.Flags&net.FlagUp != 0 && l.Flags&net.FlagRunning != 0 && l.Flags&net.FlagLoopback == 0
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					list = append(list, address{addr: ip.Unmap(), link: l.Name, up: up})
				}
			}
		}
	}
	return list, nil
}

// wayTo returns nothing: it is not known here.
func wayTo(netip.Addr) Way { return Way{} }

// A subscription is nothing here.
type subscription struct{}

func subscribe() (*subscription, error) { return nil, errors.ErrUnsupported }

func (*subscription) close() {}

func (*subscription) read(context.Context, chan<- struct{}) error { return errors.ErrUnsupported }

// awake says that there is no clock that runs while the host sleeps, beside that on
// the wall.
func awake() time.Duration { return 0 }
