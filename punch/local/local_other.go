//go:build !linux

package local

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// polls says that changes have to be looked for.
const polls = true

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

// A subscription is nothing here.
type subscription struct{}

func subscribe() (*subscription, error) { return &subscription{}, nil }

func (*subscription) close() {}

// read waits for the end of ctx.
func (*subscription) read(ctx context.Context, _ chan<- struct{}) error {
	<-ctx.Done()
	return nil
}

// awake says that there is no clock that runs while the host sleeps, beside that on
// the wall.
func awake() time.Duration { return 0 }
