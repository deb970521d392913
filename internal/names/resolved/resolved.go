// Package resolved tells systemd-resolved of this host, over D-Bus, which names are
// answered on a link (org.freedesktop.resolve1, its manual page). It changes nothing
// else, and no file.
package resolved

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/godbus/dbus/v5"
)

// How systemd-resolved is found on the bus of the system.
const (
	service = "org.freedesktop.resolve1"
	object  = "/org/freedesktop/resolve1"
	manager = "org.freedesktop.resolve1.Manager"
)

// Families of addresses, as Linux numbers them.
const (
	inet4 = 2
	inet6 = 10
)

// patience is how long an answer is waited for.
const patience = 5 * time.Second

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

// Set tells systemd-resolved of a link, and returns what takes that back.
func Set(ctx context.Context, l Link) (revert func() error, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return nil, ErrNotThere // there is no bus
	}
	defer conn.Close()
	var there bool
	if err := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, service).Store(&there); err != nil {
		return nil, fmt.Errorf("resolved: %w", err)
	}
	if !there {
		return nil, ErrNotThere
	}
	if err := l.set(ctx, conn); err != nil {
		_ = l.revert(ctx, conn) // of what may have been done; err is what matters
		return nil, err
	}
	return func() error { return Revert(l.Index) }, nil
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

// Revert makes systemd-resolved forget what it was told of a link. It does not need to
// be told of one that is gone.
func Revert(index int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("resolved: %w", err)
	}
	defer conn.Close()
	return Link{Index: index}.revert(ctx, conn)
}

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
