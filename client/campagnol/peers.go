package main

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/version"
)

// closedState is the state of a peer without session and try.
const closedState = "CLOSED"

// listPeers answers a request for the peers in short.
func (n *node) listPeers(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	v := n.view.Load()
	s, err := v.client.Status(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	members, listed, err := v.client.Roster(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	d := &control.Peers{Version: version.String(), Time: time.Now().UTC(), Interface: v.device.Name(),
		VPNAddress: s.VPNAddr, Listed: listed, Peers: peerEntries(s.Peers)}
	if r.URL.Query().Get("all") == "yes" {
		d.Peers = withOthers(d.Peers, s.VPNAddr, members, s.Failures)
		named, err := v.listed(ctx)
		if err != nil {
			return nil, unanswered(err)
		}
		d.Peers = withNames(d.Peers, append([]netip.Addr{s.VPNAddr}, vpnAddrs(v.cfg)...), named)
	}
	return d, nil
}

// peerEntries describes peers with a session or a try.
func peerEntries(peers []client.PeerStatus) []control.PeersEntry {
	list := make([]control.PeersEntry, len(peers))
	for i, p := range peers {
		e := &list[i]
		*e = control.PeersEntry{VPNAddress: p.VPNAddr, State: p.State}
		if p.Since.IsZero() {
			continue // no session
		}
		e.Name, e.Path, e.PathKind, e.PathRTTSeconds = p.Name, p.Addr, p.Path, p.RTT.Seconds()
		e.Protocol = p.Protocol
		if e.Protocol == "" {
			e.Protocol = originalProtocol
		}
		e.Since, e.BytesIn, e.BytesOut = p.Since.UTC(), p.BytesIn, p.BytesOut
		if !p.Ends.IsZero() {
			e.CertificateExpires = p.Ends.UTC()
		}
	}
	return list
}

// withOthers adds the members without a tunnel, and the peers that were not reached last.
func withOthers(list []control.PeersEntry, own netip.Addr, members []netip.Addr, failures []client.Failure) []control.PeersEntry {
	known := map[netip.Addr]bool{own: true}
	for _, p := range list {
		known[p.VPNAddress] = true
	}
	for _, f := range failures {
		if !known[f.VPNAddr] {
			known[f.VPNAddr] = true
			list = append(list, control.PeersEntry{VPNAddress: f.VPNAddr, State: closedState, Reason: f.Reason})
		}
	}
	for _, a := range members {
		if !known[a] {
			known[a] = true
			list = append(list, control.PeersEntry{VPNAddress: a, State: closedState})
		}
	}
	slices.SortStableFunc(list, func(a, b control.PeersEntry) int { return a.VPNAddress.Compare(b.VPNAddress) })
	return list
}

// withNames gives peers without a tunnel the names that rendezvous servers tell, and adds
// the members that only they name. own are our addresses.
func withNames(list []control.PeersEntry, own []netip.Addr, members []client.ListedMember) []control.PeersEntry {
	at := map[netip.Addr]int{}
	for i, p := range list {
		at[p.VPNAddress] = i
	}
	for _, m := range members {
		i := slices.IndexFunc(m.Addrs, func(a netip.Addr) bool { _, ok := at[a]; return ok || slices.Contains(own, a) })
		switch {
		case i < 0:
			list = append(list, control.PeersEntry{VPNAddress: m.Addrs[0], Name: m.Name, State: closedState})
		case !slices.Contains(own, m.Addrs[i]):
			if p := &list[at[m.Addrs[i]]]; p.Since.IsZero() {
				p.Name = m.Name
			}
		}
	}
	slices.SortStableFunc(list, func(a, b control.PeersEntry) int { return a.VPNAddress.Compare(b.VPNAddress) })
	return list
}
