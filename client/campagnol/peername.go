package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/spell"
)

// A roll says which member has which name, to find the one that somebody means. Names
// in certificates that we have seen come before what rendezvous servers say, which may
// lie: nobody takes a name, or an address, from who has shown a certificate for it.
// A lie leads to a host that shows another name once there is a tunnel.
type roll struct {
	domain  string // of names (dns_domain); "": none
	members []rollEntry
}

// A rollEntry is a member.
type rollEntry struct {
	name string
	addr netip.Addr // in the VPN
	seen bool       // its certificate was
}

// see adds a member whose certificate we have seen.
func (r *roll) see(name string, addr netip.Addr) {
	if name != "" && addr.IsValid() {
		r.members = append(r.members, rollEntry{name, addr, true})
	}
}

// hear adds whom rendezvous servers list. A member is found by its first address.
func (r *roll) hear(list []client.ListedMember) {
	seen := map[netip.Addr]bool{}
	for _, m := range r.members {
		seen[m.addr] = true
	}
	for _, m := range list {
		first := slices.IndexFunc(m.Addrs, func(a netip.Addr) bool { return !seen[a] })
		if first >= 0 && m.Name != "" {
			r.members = append(r.members, rollEntry{m.Name, m.Addrs[first], false})
		}
	}
}

// label returns what two names have in common that mean the same member.
func (r *roll) label(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if r.domain != "" {
		name = strings.TrimSuffix(name, "."+strings.ToLower(strings.TrimSuffix(r.domain, ".")))
	}
	return name
}

// find returns the addresses of those who have a name. There are several if certificates
// of several have it, or none has and servers name several.
func (r *roll) find(name string) (list []netip.Addr) {
	for _, seen := range []bool{true, false} {
		for _, m := range r.members {
			if m.seen == seen && r.label(m.name) == r.label(name) && !slices.Contains(list, m.addr) {
				list = append(list, m.addr)
			}
		}
		if len(list) > 0 {
			break
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// names returns all names.
func (r *roll) names() (list []string) {
	for _, m := range r.members {
		list = append(list, m.name)
	}
	return list
}

// choose returns the address of the member with a name, or why it is not known which one
// that is.
func (r *roll) choose(name string) (netip.Addr, error) {
	list := r.find(name)
	switch len(list) {
	case 1:
		return list[0], nil
	case 0:
		e := &control.Error{Status: http.StatusUnprocessableEntity, Text: fmt.Sprintf("no peer is known by the name %q", name),
			Advice: `"campagnol peers --all" lists who is known; a VPN address is always good`}
		if near := spell.Nearest(r.label(name), r.names()); near != "" {
			e.Advice = fmt.Sprintf("did you mean %q?", near)
		}
		return netip.Addr{}, e
	}
	return netip.Addr{}, &control.Error{Status: http.StatusConflict, Text: fmt.Sprintf("several peers have the name %q: %s", name, join(list)),
		Advice: "name one by its VPN address"}
}

// peerOf returns the VPN address of a peer, by that or by its name. Rendezvous servers
// are asked for names only if no certificate that we have seen has it.
func (v *view) peerOf(ctx context.Context, who string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(who); err == nil && a.Zone() == "" {
		return a.Unmap(), nil
	}
	if who == "" {
		return netip.Addr{}, &control.Error{Status: http.StatusBadRequest, Text: "the request names no peer",
			Advice: "name one by its VPN address or its name: ?peer=10.9.0.2"}
	}
	known, err := v.client.Known(ctx)
	if err != nil {
		return netip.Addr{}, unanswered(err)
	}
	r := &roll{domain: v.cfg.DNSDomain}
	r.see(ownName(v.trust.identity), v.cfg.VPNIP)
	for _, k := range known {
		r.see(k.Name, k.VPNAddr)
	}
	seen := len(r.members)
	if h := v.heard.Load(); h != nil && time.Since(h.at) < hearsayLife {
		r.hear(h.list)
	}
	if len(r.find(who)) == 0 { // he may have come a moment ago
		members, err := v.listed(ctx)
		if err != nil {
			return netip.Addr{}, unanswered(err)
		}
		r.members = r.members[:seen]
		r.hear(members)
	}
	return r.choose(who)
}

// A hearsay is whom rendezvous servers have listed, and when.
type hearsay struct {
	at   time.Time
	list []client.ListedMember
}

// hearsayLife is how long a list is good for: a command asks for the same name several
// times in a row.
const hearsayLife = 3 * time.Second

// listed returns whom the rendezvous servers name, those that answer in time.
func (v *view) listed(ctx context.Context) ([]client.ListedMember, error) {
	ctx, cancel := context.WithTimeout(ctx, namerPatience)
	defer cancel()
	list, err := v.client.Members(ctx)
	if err == nil {
		v.heard.Store(&hearsay{time.Now(), list})
	}
	return list, err
}
