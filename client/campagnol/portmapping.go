package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/human"
	"campagnol/punch"
	"campagnol/punch/portmap"
)

// mappedPorts names the gateway's forwarding as a source of candidates.
const mappedPorts = "port mapping"

// A mapping keeps the socket's port forwarded by the gateway, as long as the
// configuration wants that, and tells the client where it is reached by it. It is safe
// for concurrent use. nil is the mapping of parts that never run.
type mapping struct {
	cfg     portmap.Config
	client  *client.Client
	wanted  atomic.Bool
	changed chan struct{} // wanted has; has room for one
	mapper  atomic.Pointer[portmap.Mapper]
}

// newMapping returns the mapping for parts, which does nothing before run.
func newMapping(p *parts, log *slog.Logger) *mapping {
	m := &mapping{client: p.client, changed: make(chan struct{}, 1), cfg: portmap.Config{
		Port:      p.port,
		Local:     p.where.bind.Addr(),
		Interface: p.cfg.Interface,
		IPv6:      p.conn.LocalAddr().Addr().Is6(),
		Log:       log,
	}}
	m.cfg.Changed = m.offer
	m.wanted.Store(p.cfg.PortMapping)
	return m
}

// offer makes the outer addresses candidates of ours.
func (m *mapping) offer(ctx context.Context, addrs []netip.AddrPort) {
	list := make([]punch.Candidate, len(addrs))
	for i, a := range addrs {
		list[i] = punch.Candidate{Addr: a, Kind: punch.Mapped}
	}
	_ = m.client.Offer(ctx, mappedPorts, list) // fails only if the client has ended
}

// set says whether there is to be a mapping.
func (m *mapping) set(wanted bool) {
	if m == nil {
		return
	}
	m.wanted.Store(wanted)
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// run keeps the port forwarded until ctx is done, and has it ended then.
func (m *mapping) run(ctx context.Context) {
	for ctx.Err() == nil {
		if m.wanted.Load() {
			m.keep(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-m.changed:
		}
	}
}

// keep keeps the port forwarded until it is no longer wanted, or ctx is done.
func (m *mapping) keep(ctx context.Context) {
	running, stop := context.WithCancel(ctx)
	mapper := portmap.New(m.cfg)
	m.mapper.Store(mapper)
	var wg sync.WaitGroup
	wg.Go(func() { _ = mapper.Run(running) }) // there is no error
	for ctx.Err() == nil && m.wanted.Load() {
		select {
		case <-ctx.Done():
		case <-m.changed:
		}
	}
	stop()
	wg.Wait()
	m.mapper.Store(nil)
	if ctx.Err() == nil {
		m.offer(ctx, nil)
	}
}

// document returns what the control socket tells of the mapping.
func (m *mapping) document() control.PortMapping {
	d := control.PortMapping{Mappings: []control.MappedPort{}}
	if m == nil {
		return d
	}
	mapper := m.mapper.Load()
	if mapper == nil {
		return d
	}
	d.Enabled = true
	for _, s := range mapper.Status() {
		p := control.MappedPort{Family: "ipv4", Gateway: s.Way.Gateway, Reason: s.Reason}
		if s.IPv6 {
			p.Family = "ipv6"
		}
		if s.Method != 0 {
			p.Method, p.External, p.Private = s.Method.String(), s.External, s.Private()
			p.Since, p.Expires = s.Since.UTC(), s.Expires.UTC()
		}
		d.Mappings = append(d.Mappings, p)
	}
	return d
}

// statusPortMapping says what the gateway forwards to us. That it does nothing for IPv6
// is as it should be, mostly.
func statusPortMapping(b *strings.Builder, s *control.Status, width int) {
	for _, p := range s.PortMapping.Mappings {
		switch {
		case p.Method != "":
			text := fmt.Sprintf("the gateway %s forwards %s to us (%s)", addrText(p.Gateway), p.External, human.Printable(p.Method))
			if !p.Expires.IsZero() {
				text += ", for " + human.Age(p.Expires.Sub(s.Time))
			}
			if p.Private {
				text += "; that is a private address: there is another NAT behind it"
			}
			wrap(b, text, "", "  ", width)
		case p.Family != "ipv6":
			wrap(b, "no port mapping: "+human.Printable(p.Reason), "", "  ", width)
		}
	}
}
