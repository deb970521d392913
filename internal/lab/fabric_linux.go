package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"campagnol/internal/lab/scenario"
)

// A PortFabric is a [scenario.Fabric] whose ports are interfaces: what is sent
// into a port leaves through its interface, and what comes out of the port
// arrives there. The interfaces may be ends of cables to a bridge, or Ethernet
// devices of a program.
type PortFabric struct {
	ports []*Watch
}

// NewPortFabric returns the fabric behind the interfaces. It ends with
// [PortFabric.Close].
func NewPortFabric(ports ...Interface) (*PortFabric, error) {
	f := &PortFabric{}
	for _, i := range ports {
		w, err := i.Watch(WatchOptions{Incoming: true})
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.ports = append(f.ports, w)
	}
	return f, nil
}

// Close ends the watches on the ports.
func (f *PortFabric) Close() error {
	var errs []error
	for _, w := range f.ports {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// Ports returns the number of ports.
func (f *PortFabric) Ports() int { return len(f.ports) }

// Port returns the watch on a port, which has seen what came out of it.
func (f *PortFabric) Port(port int) *Watch { return f.ports[port] }

// Send sends a frame into a port.
func (f *PortFabric) Send(port int, b []byte) error { return f.ports[port].Send(b) }

// Capture returns the frames that came out of a port, from the given number on.
func (f *PortFabric) Capture(port, from int) [][]byte {
	seen := f.ports[port].Seen()
	frames := make([][]byte, 0, len(seen)-from)
	for _, s := range seen[from:] {
		frames = append(frames, s.Raw)
	}
	return frames
}

// Await waits until more than n frames came out of a port.
func (f *PortFabric) Await(ctx context.Context, port, n int) error {
	_, err := f.ports[port].Await(ctx, 0, func(Sighting) bool {
		n--
		return n < 0
	})
	return err
}

// A BridgeFabric is a kernel's bridge as [scenario.Fabric], which can also tell
// what it believes: the oracle that others are compared with.
type BridgeFabric struct {
	*PortFabric
	Bridge *Bridge

	ports []uint32 // the numbers of the bridge's ports, as the kernel has them
}

// bridgeFabricPatience is how long a bridge may take to begin to snoop.
const bridgeFabricPatience = 30 * time.Second

// OracleOptions are the options of a bridge whose times suit the scenarios:
// those that are quick, or the others.
func OracleOptions(quick bool) BridgeOptions {
	o := BridgeOptions{
		Snooping: On, Querier: On, IGMPVersion: 3, MLDVersion: 2,
		QueryResponseInterval: 100 * time.Millisecond, StartupQueryInterval: time.Second,
		LastMemberInterval: scenario.LastMember / 2, LastMemberCount: 2,
	}
	if quick {
		// The kernel derives the time that a report of version 3 is good for
		// from the first two (RFC 3376 section 8.4).
		o.QueryInterval, o.QueryResponseInterval = time.Second, scenario.QuickMembership-2*time.Second
		o.MembershipInterval = scenario.QuickMembership
	}
	return o
}

// NewBridgeFabric makes a bridge with ports, in a namespace of its own and with
// the cables to its ports in another, and waits until it forwards multicast to
// members only. It is part of the lab, but its watches end with Close.
func (l *Lab) NewBridgeFabric(ctx context.Context, name string, ports int, o BridgeOptions) (*BridgeFabric, error) {
	inside, err := l.AddNode(name)
	if err != nil {
		return nil, err
	}
	outside, err := l.AddNode(name + ".out")
	if err != nil {
		return nil, err
	}
	// Kernels at the far ends of the cables would report groups of their own.
	for _, n := range []*Node{inside, outside} {
		if err := n.ns.sysctlIfAny("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
			return nil, err
		}
	}
	f := &BridgeFabric{}
	if f.Bridge, err = inside.AddBridge("br0", BridgeOptions{}); err != nil {
		return nil, err
	}
	var ends []Interface
	for port := range ports {
		p := fmt.Sprintf("p%d", port)
		if _, err := l.Join(inside, p, outside, p); err != nil {
			return nil, err
		}
		if err := f.Bridge.AddPort(p); err != nil {
			return nil, err
		}
		index, err := inside.Interface(p).Index()
		if err != nil {
			return nil, err
		}
		f.ports = append(f.ports, uint32(index))
		ends = append(ends, outside.Interface(p))
	}
	// Over IPv6, the querier needs its address.
	if err := f.Bridge.begin(o); err != nil {
		return nil, err
	}
	if f.PortFabric, err = NewPortFabric(ends...); err != nil {
		return nil, err
	}
	if err := f.awaitSnooping(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// begin gives the bridge IPv6 and, when its address is in use, its options.
func (b *Bridge) begin(o BridgeOptions) error {
	i := b.node.Interface(b.name)
	if err := i.SetIPv6(true); err != nil {
		return err
	}
	if err := i.AwaitUp(); err != nil {
		return err
	}
	return b.Set(o)
}

// awaitSnooping waits until frames to groups that nobody wants stay inside.
func (f *BridgeFabric) awaitSnooping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bridgeFabricPatience)
	defer cancel()
	for _, s := range scenario.Silence() {
		if err := scenario.Run(ctx, f, s, scenario.Options{Grace: bridgeFabricPatience}); err != nil {
			return fmt.Errorf("lab: the bridge does not begin to snoop: %w", err)
		}
	}
	return nil
}

// State returns what the bridge believes a port wants of a group.
func (f *BridgeFabric) State(port int, group netip.Addr) (s scenario.State, err error) {
	m, err := f.Bridge.MDB()
	if err != nil {
		return s, err
	}
	for _, e := range m.Of(f.ports[port], group) {
		if !e.Source.IsValid() {
			s = e.state()
		}
	}
	return s, nil
}
