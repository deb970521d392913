package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"campagnol/internal/cli"
	"campagnol/internal/service"
	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv"

	"github.com/spf13/pflag"
)

// stunOptions say how clients can find out what their NATs do.
type stunOptions struct {
	port  string // "": the one behind the server's own, if it is free; "0": none
	addrs []string
}

func (o *stunOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.port, "stun-port", "", "answer STUN on UDP port `PORT` as well, which tells clients more about\ntheir NATs; 0: on none (default the next one behind that of the first --port, if it is free)")
	f.StringArrayVar(&o.addrs, "stun-address", nil, "answer STUN also from `ADDRESS`, the second one of this host, which tells\nclients all about their NATs; once for IPv4 and once for IPv6")
	cli.MarkNew(f, "stun-port", "stun-address")
}

// second returns the port to listen on beside main and more, and whether it was asked
// for; 0: none.
func (o *stunOptions) second(main uint16, more []uint16) (port uint16, asked bool, err error) {
	if o.port == "" {
		port = main + 1
		for slices.Contains(more, port) {
			port++
		}
		if port < main { // there are no more
			port = 0
		}
		return port, false, nil
	}
	n, err := strconv.ParseUint(o.port, 10, 16)
	switch {
	case err != nil:
		return 0, true, cli.WithHint(fmt.Errorf("--stun-port: %q is not a port number", o.port),
			"a port is a whole number from 1 to 65535; 0 is none")
	case uint16(n) == main || n > 0 && slices.Contains(more, uint16(n)):
		return 0, true, cli.WithHint(fmt.Errorf("--stun-port: %d is the port of --port", n),
			"STUN is answered there anyhow; choose another port for it, or leave --stun-port out")
	}
	return uint16(n), true, nil
}

// others returns the second addresses.
func (o *stunOptions) others() (list []netip.Addr, err error) {
	for _, text := range o.addrs {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return nil, cli.WithHint(fmt.Errorf("--stun-address: %q is not an address that a host can have", text),
				"write one of this host's addresses, such as 192.0.2.2; ip address shows them")
		}
		a = a.Unmap()
		for _, b := range list {
			if a.Is4() == b.Is4() {
				return nil, cli.WithHint(fmt.Errorf("--stun-address: %v and %v are of the same kind", b, a),
					"give the second address of this host, and not the first; one for IPv4 and one for IPv6 is all that is used")
			}
		}
		if err := here(a); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// here returns an error unless an address is one of this host's.
func here(a netip.Addr) error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("--stun-address: %w", err)
	}
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok {
			if b, ok := netip.AddrFromSlice(n.IP); ok && b.Unmap() == a {
				return nil
			}
		}
	}
	return cli.WithHint(fmt.Errorf("--stun-address: %v is not an address of this host", a),
		"ip address shows those that it has; answers cannot come from another")
}

// open adds to cfg, whose sockets are bound to the port of where and to more, what the
// options ask for.
func (o *stunOptions) open(cfg *rdv.Config, where udp.Config, more []uint16, s *service.Starting) error {
	port, asked, err := o.second(where.Addr.Port(), more)
	if err != nil {
		return err
	}
	if cfg.OtherAddrs, err = o.others(); err != nil {
		return err
	}
	if port == 0 {
		if len(cfg.OtherAddrs) > 0 {
			return cli.WithHint(errors.New("--stun-address needs a second port"), "leave --stun-port 0 out")
		}
		return nil
	}
	where.Addr = netip.AddrPortFrom(where.Addr.Addr(), port)
	// It is seldom used: a few small batches do.
	where.RcvBuf, where.SndBuf, where.Batch = 256<<10, 256<<10, 8
	var conn punch.Conn
	switch conn, err = udp.Listen(where); {
	case err == nil:
		cfg.OtherConn = conn
	case asked || len(cfg.OtherAddrs) > 0:
		return cli.WithHint(fmt.Errorf("STUN on a second port: %w", err), "choose another one with --stun-port; 0 is none")
	default:
		s.Log.Info("No second port for STUN: clients learn less about their NATs", "port", port, "err", err)
	}
	return nil
}
