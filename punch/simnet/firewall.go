package simnet

import (
	"fmt"
	"net/netip"
	"time"
)

// A Firewall describes a stateful firewall, which translates nothing. It lets
// out what comes from inside, and lets in what that allows.
type Firewall struct {
	// Filtering says who may answer: any remote host that finds the port, the
	// address that was sent to, or that address and port only.
	Filtering Dependence
	// Lifetime is how long a permission lasts after the last packet from
	// inside; 0 means 30 s.
	Lifetime time.Duration
	// RefreshInbound makes packets from outside refresh it, too.
	RefreshInbound bool
	// Open lets everything in. With it, the other fields mean nothing.
	Open bool
}

// check returns what is wrong with f.
func (f Firewall) check() error {
	if f.Filtering > AddressAndPortDependent || f.Lifetime < 0 {
		return fmt.Errorf("no such firewall: %+v", f)
	}
	return nil
}

// A firewall is a Firewall at work.
type firewall struct {
	cfg      Firewall
	lifetime int64
	byInside map[netip.AddrPort]*admission
}

func newFirewall(cfg Firewall) *firewall {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	return &firewall{cfg: cfg, lifetime: int64(cfg.Lifetime), byInside: map[netip.AddrPort]*admission{}}
}

// outbound takes note of a packet from inside.
func (f *firewall) outbound(now int64, inside, remote netip.AddrPort) {
	if f.cfg.Open {
		return
	}
	a := f.byInside[inside]
	if a == nil {
		a = new(admission)
		f.byInside[inside] = a
	}
	a.add(now, f.cfg.Filtering.Of(remote))
}

// inbound reports whether a packet from outside may pass.
func (f *firewall) inbound(now int64, remote, inside netip.AddrPort) bool {
	if f.cfg.Open {
		return true
	}
	a := f.byInside[inside]
	if a == nil || !a.has(now, f.lifetime, f.cfg.Filtering.Of(remote)) {
		return false
	}
	if f.cfg.RefreshInbound {
		a.refresh(now, f.cfg.Filtering.Of(remote))
	}
	return true
}

// An admission is the remote endpoints, or as much of them as filtering
// depends on, that may send to one place, and when that was last confirmed.
type admission struct {
	since map[netip.AddrPort]int64
}

func (a *admission) add(now int64, remote netip.AddrPort) {
	if a.since == nil {
		a.since = map[netip.AddrPort]int64{}
	}
	a.since[remote] = now
}

func (a *admission) has(now, lifetime int64, remote netip.AddrPort) bool {
	at, ok := a.since[remote]
	return ok && now-at <= lifetime
}

func (a *admission) refresh(now int64, remote netip.AddrPort) {
	if _, ok := a.since[remote]; ok {
		a.since[remote] = now
	}
}
