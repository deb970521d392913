package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
)

// RouterOptions say what a multicast router joins. It forwards what comes from
// its upstream interface, where the sources are, to those of its downstream
// interfaces on which somebody wants it. On these it is the querier, and does
// not give way to others.
type RouterOptions struct {
	Upstream   string
	Downstream []string // at most 31
	Querier    QuerierOptions
	Control    string // the file of its socket; see Args
}

// Args returns the arguments of a binary that plays the router.
func (o RouterOptions) Args() ([]string, error) { return args("route", o) }

// A Route says where the router sends what a source sends to a group.
type Route struct {
	Source, Group netip.Addr
	To            []string // interfaces
}

// maxRoutes is how many streams a router remembers.
const maxRoutes = 4096

// A router is a multicast router. Its state is owned by the goroutine of run,
// but for what its lock protects.
type router struct {
	o      RouterOptions
	kernel *mroute
	vifs   []*vif // the upstream one first

	mu     sync.Mutex // protects the following
	routes map[stream]uint32
}

// A vif is an interface of the router.
type vif struct {
	ifi     *net.Interface
	addr    netip.Addr
	querier *querier // nil upstream
}

// A stream is what a source sends to a group.
type stream struct{ source, group netip.Addr }

// route is the program.
func route(ctx context.Context, o RouterOptions) error {
	if len(o.Downstream) == 0 || len(o.Downstream) >= maxVIFs {
		return fmt.Errorf("program: a router has 1 to %d downstream interfaces, not %d", maxVIFs-1, len(o.Downstream))
	}
	r := &router{o: o, routes: map[stream]uint32{}}
	var err error
	if r.kernel, err = openMroute(); err != nil {
		return err
	}
	defer r.kernel.close()
	for i, name := range append([]string{o.Upstream}, o.Downstream...) {
		v, err := newVIF(name)
		if err != nil {
			return err
		}
		if i > 0 {
			v.querier = newQuerier(clock.Now(), o.Querier)
		}
		r.vifs = append(r.vifs, v)
		if err := r.kernel.addVIF(i, v.ifi, i > 0); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var served, read error
	group.Go(func() {
		defer cancel()
		served = serve(ctx, o.Control, r.handle)
	})
	events := make(chan mrouteEvent)
	group.Go(func() {
		defer cancel()
		read = r.kernel.read(ctx, events)
	})
	err = r.run(ctx, events)
	cancel()
	group.Wait()
	return errors.Join(err, served, read)
}

// newVIF finds out about an interface.
func newVIF(name string) (*vif, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	addr, err := addr4(ifi)
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	return &vif{ifi: ifi, addr: addr}, nil
}

// run routes until the context ends.
func (r *router) run(ctx context.Context, events <-chan mrouteEvent) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			r.event(clock.Now(), e)
		case <-timer.C:
		}
		now := clock.Now()
		next := now.Add(time.Hour)
		for _, v := range r.vifs[1:] {
			for _, m := range v.querier.advance(now, nil) {
				if err := r.kernel.sendQuery(v, m); err != nil {
					return err
				}
			}
			next = min(next, v.querier.timeout())
		}
		if err := r.update(now); err != nil {
			return err
		}
		timer.Reset(next.Sub(now))
	}
}

// event takes what the kernel says.
func (r *router) event(now clock.Instant, e mrouteEvent) {
	if e.unknown {
		// What comes from downstream is not routed: the kernel drops it, and
		// asks again some seconds later.
		r.mu.Lock()
		defer r.mu.Unlock()
		s := stream{e.source, e.group}
		if _, ok := r.routes[s]; !ok && len(r.routes) < maxRoutes && e.vif == 0 {
			r.routes[s] = routeUnset
		}
		return
	}
	for _, v := range r.vifs[1:] {
		if v.ifi.Index == e.index && e.source != v.addr {
			v.querier.handle(now, e.message)
		}
	}
}

// routeUnset is the set of interfaces of a route that the kernel does not have
// yet: no real one has the upstream interface.
const routeUnset = 1

// update tells the kernel about the routes that are not what they should be.
func (r *router) update(now clock.Instant) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, had := range r.routes {
		var want uint32
		for i, v := range r.vifs {
			if v.querier != nil && v.querier.wants(now, s.group, s.source) {
				want |= 1 << i
			}
		}
		if want == had {
			continue
		}
		if err := r.kernel.setRoute(s, want); err != nil {
			return err
		}
		r.routes[s] = want
	}
	return nil
}

// handle does what the router is told.
func (r *router) handle(q request) response {
	if q.Do != "report" {
		return failed(clock.Now(), errors.New("a router does not know what that is"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	response := response{At: clock.Now()}
	for s, to := range r.routes {
		route := Route{Source: s.source, Group: s.group}
		for i, v := range r.vifs {
			if to&(1<<i) != 0 && to != routeUnset {
				route.To = append(route.To, v.ifi.Name)
			}
		}
		response.Routes = append(response.Routes, route)
	}
	slices.SortFunc(response.Routes, func(a, b Route) int {
		return 2*a.Group.Compare(b.Group) + a.Source.Compare(b.Source)
	})
	return response
}

// A Router is the remote control of a router. It is safe for concurrent use.
type Router struct{ c *Control }

// NewRouter returns the remote control of a router that was started with that
// file for its socket, as soon as it can be used.
func NewRouter(ctx context.Context, control string) (*Router, error) {
	c, err := newControl(ctx, control)
	return &Router{c}, err
}

// Routes returns the streams that came from upstream so far, and where each
// goes now.
func (r *Router) Routes(ctx context.Context) ([]Route, error) {
	response, err := r.c.do(ctx, request{Do: "report"})
	return response.Routes, err
}

// errNoRouting says what a kernel lacks.
func errNoRouting(err error) error {
	return fmt.Errorf("program: route multicast (a kernel needs CONFIG_IP_MROUTE): %w", err)
}

// parseMroute reads what the kernel hands to a multicast router: packets of
// IGMP, and its own questions, which look like packets of protocol 0
// (linux/mroute.h, struct igmpmsg). index is the interface that a packet came
// from.
func parseMroute(b []byte, index int) (e mrouteEvent, ok bool) {
	const size, noRoute = 20, 1
	if len(b) >= size && b[9] == 0 {
		e = mrouteEvent{unknown: true, vif: int(b[10])}
		e.source = netip.AddrFrom4([4]byte(b[12:16]))
		e.group = netip.AddrFrom4([4]byte(b[16:20]))
		return e, b[8] == noRoute
	}
	f, err := frame.ParseIP(b)
	if err != nil || f.Message.Kind == frame.NoMessage || f.Message.Kind == frame.Query {
		return e, false
	}
	return mrouteEvent{index: index, source: f.SrcIP, message: f.Message}, true
}

// A mrouteEvent is something that the kernel says.
type mrouteEvent struct {
	source netip.Addr

	// A stream without a route, that came to an interface of the router.
	unknown bool
	vif     int
	group   netip.Addr

	// Or a message from a host, on the interface with that number.
	index   int
	message frame.Message
}
