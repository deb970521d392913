// Package resolved tells systemd-resolved of this host, over D-Bus, which names are
// answered on a link (org.freedesktop.resolve1, its manual page). It changes nothing
// else, and no file.
package resolved

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/godbus/dbus/v5"
)

// How systemd-resolved is found on the bus of the system.
const (
	service = "org.freedesktop.resolve1"
	object  = "/org/freedesktop/resolve1"
	manager = "org.freedesktop.resolve1.Manager"

	bus = "org.freedesktop.DBus"
)

// Families of addresses, as Linux numbers them.
const (
	inet4 = 2
	inet6 = 10
)

// patience is how long an answer is waited for.
const patience = 5 * time.Second

// busRetry is how long it takes until the bus is looked for again when there is none, or
// it has gone: it starts before nearly everything else.
const busRetry = 30 * time.Second

// ErrNotThere says that systemd-resolved does not run on this host.
var ErrNotThere = errors.New("resolved: systemd-resolved does not run on this host")

// A Link says who answers which questions.
type Link struct {
	Index   int          // of the interface
	Servers []netip.Addr // of the link, at port 53
	Domain  string       // asked for there, and added to names without dots
	Reverse []string     // further domains that are asked for there
}

// A linkAddress is an address as systemd-resolved takes it.
type linkAddress struct {
	Family  int32
	Address []byte
}

// A linkDomain is a domain as it takes it.
type linkDomain struct {
	Name      string
	RouteOnly bool // not for names without dots
}

// Keep tells systemd-resolved of a link now, and again whenever that has been started,
// until ctx is done; then it takes that back, and returns the error of that. told is
// called with what has become of it each time.
func Keep(ctx context.Context, l Link, told func(error)) error {
	for {
		conn, err := dbus.ConnectSystemBus()
		if err != nil {
			told(ErrNotThere) // there is no bus
		} else {
			err = l.keep(ctx, conn, told)
			conn.Close()
		}
		if ctx.Err() != nil && conn != nil {
			return err
		}
		select {
		case <-time.After(busRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

// keep is Keep until ctx is done or the bus is gone.
func (l Link) keep(ctx context.Context, conn *dbus.Conn, told func(error)) error {
	signals := make(chan *dbus.Signal, 8)
	conn.Signal(signals)
	// Before it is told for the first time, not to miss a start in between.
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(bus), dbus.WithMatchInterface(bus),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, service)); err != nil {
		return fmt.Errorf("resolved: %w", err)
	}
	known := false // by systemd-resolved, which also remembers links while it is started again
	tell := func() {
		err := l.setIfThere(ctx, conn)
		known = known || err == nil
		if ctx.Err() == nil {
			told(err)
		}
	}
	for tell(); ; {
		select {
		case s, ok := <-signals:
			if !ok {
				return nil // the bus is gone
			}
			if starts(s) {
				tell()
			}
		case <-ctx.Done():
			if !known {
				return nil
			}
			return l.takeBack(conn)
		}
	}
}

// starts reports whether a signal says that systemd-resolved is on the bus from now on.
func starts(s *dbus.Signal) bool {
	if s.Name != bus+".NameOwnerChanged" || len(s.Body) != 3 || s.Body[0] != service {
		return false
	}
	owner, ok := s.Body[2].(string)
	return ok && owner != ""
}

// setIfThere makes the calls, if there is somebody to take them.
func (l Link) setIfThere(ctx context.Context, conn *dbus.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var there bool
	if err := conn.BusObject().CallWithContext(ctx, bus+".NameHasOwner", 0, service).Store(&there); err != nil {
		return fmt.Errorf("resolved: %w", err)
	}
	if !there {
		return ErrNotThere
	}
	err := l.set(ctx, conn)
	if err != nil {
		_ = l.revert(ctx, conn) // of what may have been done; err is what matters
	}
	return err
}

// set makes the calls.
func (l Link) set(ctx context.Context, conn *dbus.Conn) error {
	var servers []linkAddress
	for _, a := range l.Servers {
		family := int32(inet6)
		if a.Is4() {
			family = inet4
		}
		servers = append(servers, linkAddress{family, a.AsSlice()})
	}
	domains := []linkDomain{{l.Domain, false}}
	for _, d := range l.Reverse {
		domains = append(domains, linkDomain{d, true})
	}
	index := int32(l.Index)
	for _, c := range []struct {
		method string
		arg    any
	}{
		{"SetLinkDNS", servers},
		{"SetLinkDomains", domains},
		{"SetLinkDefaultRoute", false}, // no other questions go there
		{"SetLinkDNSSEC", "no"},        // nobody has signed the domain
	} {
		if err := call(ctx, conn, c.method, index, c.arg); err != nil {
			return err
		}
	}
	return nil
}

// takeBack makes systemd-resolved forget the link, when the time for it is over.
func (l Link) takeBack(conn *dbus.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return l.revert(ctx, conn)
}

// revert makes systemd-resolved forget the link. It does not need to be told of one that
// is gone.
func (l Link) revert(ctx context.Context, conn *dbus.Conn) error {
	err := call(ctx, conn, "RevertLink", int32(l.Index))
	var gone dbus.Error
	if errors.As(err, &gone) && gone.Name == "org.freedesktop.resolve1.NoSuchLink" {
		return nil
	}
	return err
}

func call(ctx context.Context, conn *dbus.Conn, method string, args ...any) error {
	if err := conn.Object(service, object).CallWithContext(ctx, manager+"."+method, dbus.FlagNoAutoStart, args...).Err; err != nil {
		return fmt.Errorf("resolved: %s: %w", method, err)
	}
	return nil
}

// Refused reports whether an error of systemd-resolved says that we have no right to
// tell it anything.
func Refused(err error) bool {
	var refused dbus.Error
	if !errors.As(err, &refused) {
		return false
	}
	return slices.Contains([]string{"org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"}, refused.Name)
}
