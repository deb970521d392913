package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// listen opens a socket of the standard library at cfg.Addr. control sets
// options before it is bound.
//
// With cfg.Dual, the error wraps errNotDual if the host cannot do it.
func listen(cfg Config, control func(fd uintptr) error) (*net.UDPConn, error) {
	addr := cfg.Addr.Addr()
	if !addr.IsValid() {
		return nil, errors.New("udp: listen: no local address is given (0.0.0.0 and :: stand for all addresses of the host)")
	}
	network := "udp6" // sets IPV6_V6ONLY
	if addr.Is4() {
		network = "udp4"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) {
			if cfg.Dual && serveIPv4(fd) != nil {
				err = errNotDual
			} else {
				err = control(fd)
			}
		})
		if cerr != nil {
			return cerr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, cfg.Addr.String())
	switch {
	case err == nil:
		return pc.(*net.UDPConn), nil
	case cfg.Dual && (isNoFamily(err) || isAddrNotAvail(err)):
		return nil, errNotDual
	case errors.Is(err, errNotDual):
		return nil, errNotDual
	}
	return nil, explain(cfg, err)
}

// errNotDual says that the host has no IPv6, or none that shares a socket with IPv4.
var errNotDual = errors.New("one socket cannot serve both families")

// explain says what went wrong at listening, and what to do about it.
func explain(cfg Config, err error) error {
	var option *optionError
	if errors.As(err, &option) {
		return option
	}
	// The rest of a net.OpError repeats the address.
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	where := fmt.Sprintf("udp: listen on %v", cfg.Addr)
	switch {
	case isAddrInUse(err):
		return fmt.Errorf("%s: another program has port %d (`ss -ulpn` shows which): stop it or use another port: %w",
			where, cfg.Addr.Port(), err)
	case isAddrNotAvail(err):
		return fmt.Errorf("%s: no interface of this host has the address %v: use one that `ip address` shows, or %v for all: %w",
			where, cfg.Addr.Addr(), unspecified(cfg.Addr.Addr()), err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: ports below 1024 need root or CAP_NET_BIND_SERVICE: %w", where, err)
	case isNoFamily(err):
		return fmt.Errorf("%s: this host does not do %s: %w", where, family(cfg.Addr.Addr()), err)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// An optionError is why a socket option that the user asked for could not be
// set. It already says everything.
type optionError struct {
	msg string
	err error
}

func (e *optionError) Error() string { return e.msg + ": " + e.err.Error() }
func (e *optionError) Unwrap() error { return e.err }

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// localAddr returns the address that uc is bound to.
func localAddr(uc *net.UDPConn) netip.AddrPort {
	ap := uc.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
