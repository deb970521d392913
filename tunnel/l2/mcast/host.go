package mcast

import (
	"net/netip"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A host is what one host wants of a group. Who wants what is known of hosts that
// speak the newest version only: those of older ones keep quiet when they hear
// another's report (RFC 3376 section 4.2.14 and appendix A.2).
type host struct {
	want
	until time.Time // when what it said is too old
}

// hosts are those that have reported a group.
type hosts struct {
	by map[MAC]*host
	// blind says that not all could be noted: no leave is fast.
	blind bool
}

// note applies a record of the host with a MAC. limit bounds the hosts, budget
// all hosts with their sources of the whole node.
func (h *hosts) note(mac MAC, t gmp.RecordType, b []netip.Addr, until time.Time, limit int, budget *int) {
	if h.by == nil {
		h.by = map[MAC]*host{}
	}
	x := h.by[mac]
	if x == nil {
		if len(h.by) >= limit || *budget <= 0 {
			h.blind = true
			return
		}
		x = &host{want: want{mode: include}}
		h.by[mac] = x
		*budget--
	}
	*budget += len(x.sources)
	x.until = until
	x.want = x.want.after(t, b)
	if len(x.sources) > maxEntrySources || len(x.sources) > *budget {
		h.blind = true
		x.sources = nil
	}
	*budget -= len(x.sources)
	if x.mode == include && len(x.sources) == 0 {
		delete(h.by, mac)
		*budget++
	}
}

// after returns what a host wants after a record.
func (w want) after(t gmp.RecordType, b []netip.Addr) want {
	switch {
	case t == gmp.IsIn || t == gmp.ToIn:
		return want{include, b}
	case t == gmp.IsEx || t == gmp.ToEx:
		return want{exclude, b}
	case (t == gmp.Allow) == (w.mode == include):
		return want{w.mode, union(w.sources, b)}
	}
	return want{w.mode, minus(w.sources, b)}
}

// expire forgets hosts that have not reported for too long.
func (h *hosts) expire(now time.Time, budget *int) {
	for mac, x := range h.by {
		if !now.Before(x.until) {
			delete(h.by, mac)
			*budget += 1 + len(x.sources)
		}
	}
}

// clear forgets all hosts.
func (h *hosts) clear(budget *int) {
	for _, x := range h.by {
		*budget += 1 + len(x.sources)
	}
	h.by, h.blind = nil, false
}

// wantAll reports whether a host other than mac wants sources that it has not named.
func (h *hosts) wantAll() bool {
	for _, x := range h.by {
		if x.mode == exclude {
			return true
		}
	}
	return false
}

// unwanted returns which sources no host wants.
func (h *hosts) unwanted(sources []netip.Addr) (out []netip.Addr) {
	for _, a := range sources {
		found := false
		for _, x := range h.by {
			found = found || x.takes(a)
		}
		if !found {
			out = append(out, a)
		}
	}
	return out
}
