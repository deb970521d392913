package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
)

// villagers is how many hosts learn of a revocation.
const villagers = 20

// TestRevokeEverywhere: twenty hosts have joined; one of them, to which all others
// have a tunnel, is revoked at the authority. All tunnels to it are cut within ten
// seconds, none is opened again, and those between the others stay.
func TestRevokeEverywhere(t *testing.T) {
	// Not parallel: what is measured is not the load of the other tests.
	v := newVillage(t)
	v.serveHere()
	var names []string
	for i := range villagers {
		name := fmt.Sprintf("h%d", i+1)
		names = append(names, name)
		v.host(name, lab.None)
		v.run(name, "campagnol join "+v.invite(villageServer, name))
	}
	const bad = "10.9.0.1"
	others := names[1:]
	for i, name := range others {
		v.pings(name, bad)
		v.pings(name, vpnOf(2+(i+1)%len(others))) // a ring beside the star
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, name := range others {
		if !v.tunnel(ctx, name, bad) {
			t.Fatalf("%s has no tunnel to the host that is to be revoked", name)
		}
	}
	began := time.Now()
	v.run(villageServer, "campagnol ca revoke h1")
	took := v.cutTimes(others, bad, began)
	slices.Sort(took)
	t.Logf("%d of %d tunnels were cut: the first %v after \"campagnol ca revoke\" began, the median %v, the last %v",
		len(took), len(others), took[0], took[len(took)/2], took[len(took)-1])
	v.stayCut(names, bad)
}

func vpnOf(host int) string { return fmt.Sprintf("10.9.0.%d", host) }

// cutTimes returns how long after a revocation each of the hosts has no tunnel to a
// VPN address any more. One that still has it at the limit is an error.
func (v *village) cutTimes(hosts []string, vpn string, began time.Time) (took []time.Duration) {
	v.t.Helper()
	ctx, cancel := context.WithDeadline(v.t.Context(), began.Add(cutLimit))
	defer cancel()
	waiting := slices.Clone(hosts)
	for len(waiting) > 0 {
		waiting = slices.DeleteFunc(waiting, func(name string) bool {
			peers := v.tunnels(ctx, name)
			cut := ctx.Err() == nil && !slices.ContainsFunc(peers, func(p control.Peer) bool { return p.VPNAddress == mustAddr(vpn) })
			if cut {
				took = append(took, time.Since(began))
			}
			return cut
		})
		if ctx.Err() != nil {
			v.t.Fatalf("%v after the revocation %d of %d hosts still have a tunnel: %v", cutLimit, len(waiting), len(hosts), waiting)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return took
}

// stayCut tries to open tunnels to a host that was revoked, the first of names, and
// from it, and makes sure that the others have theirs.
func (v *village) stayCut(names []string, vpn string) {
	v.t.Helper()
	var tries sync.WaitGroup
	try := func(from, to string) {
		tries.Go(func() {
			r, err := v.hosts[from].Ping(v.t.Context(), mustAddr(to), lab.PingOptions{Count: 3})
			if err == nil && r.Received() > 0 {
				v.t.Errorf("%s still reaches %s", from, to)
			}
		})
	}
	for i, name := range names[1:] {
		try(name, vpn)
		try(names[0], vpnOf(i+2))
	}
	tries.Wait()
	for _, name := range names {
		for _, p := range v.tunnels(v.t.Context(), name) {
			if name == names[0] || p.VPNAddress == mustAddr(vpn) {
				v.t.Errorf("%s has a tunnel to %v", name, p.VPNAddress)
			}
		}
	}
	for i, name := range names[1:] {
		if next := vpnOf(2 + (i+1)%(len(names)-1)); !v.tunnel(v.t.Context(), name, next) {
			v.t.Errorf("%s has lost its tunnel to %s, which nobody has revoked", name, next)
		}
	}
}
