package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/channel"
)

const (
	// rosterInterval is how often the RDV is asked who is there. Who comes asks at
	// once, and so is noticed by all; this is for what was lost.
	rosterInterval = 15 * time.Second

	// rosterAgain is when who comes asks for the second time: the first list
	// may lack those who came in the same second.
	rosterAgain = 1100 * time.Millisecond

	// rosterPatience is how long a member that was here before waits for one
	// that has come to begin.
	rosterPatience = 3 * time.Second

	// maxRoster bounds what is remembered of a list; the RDV may be a lying one.
	maxRoster = 4096
)

// A roster is who the RDV says is there, for a client that keeps tunnels to all.
type roster struct {
	due     time.Time // when to ask, or to look at members again
	asking  bool
	coming  []netip.Addr // of the list that is under way
	members []netip.Addr // of the last one, in order
	lists   int          // so far
	since   time.Time    // when members came
}

// restartRoster asks for the list soon: we have just registered.
func (c *Client) restartRoster(now time.Time) {
	if c.eth != nil && c.eth.cfg.FullMesh {
		c.eth.roster = roster{due: now}
	}
}

// advanceRoster asks who is there, when it is time to.
func (c *Client) advanceRoster(now time.Time) {
	r := &c.eth.roster
	if r.due.IsZero() || now.Before(r.due) {
		return
	}
	r.due = now.Add(rosterInterval)
	if c.server.stands() && !r.asking {
		r.asking, r.coming = true, nil
		c.server.list(netip.Addr{})
	}
	c.mesh(now)
}

// handleList takes a piece of the list, or that it does not come.
func (c *Client) handleList(now time.Time, msg *channel.Message) {
	if c.eth == nil || !c.eth.roster.asking {
		return
	}
	r := &c.eth.roster
	addrs, ok := channel.ParseAddrs(msg.Data)
	if msg.Type != channel.Listed || !ok {
		r.asking = false
		return
	}
	r.coming = append(r.coming, addrs[:min(len(addrs), maxRoster-len(r.coming))]...)
	if len(msg.VPN) == 1 && len(r.coming) < maxRoster {
		c.server.list(msg.VPN[0])
		return
	}
	r.asking = false
	slices.SortFunc(r.coming, netip.Addr.Compare)
	r.coming = slices.Compact(r.coming)
	if !slices.Equal(r.coming, r.members) || r.since.IsZero() {
		r.since = now
	}
	r.members, r.coming = r.coming, nil
	r.lists++
	c.mesh(now)
	switch {
	case r.lists == 1:
		r.due = now.Add(rosterAgain)
	case now.Sub(r.since) < rosterPatience:
		r.due = now.Add(rosterPatience)
	default:
		r.due = now.Add(rosterInterval)
	}
}

// mesh opens tunnels to the members to whom there is none. Who has come begins, with
// all: some may believe that they have a tunnel to it, from before it was restarted,
// and would not. If two come at the same time, both begin, which does no harm.
func (c *Client) mesh(now time.Time) {
	r := &c.eth.roster
	for _, vpn := range r.members {
		if !c.isMember(vpn) {
			continue
		}
		if p := c.peers[vpn]; p != nil {
			continue
		}
		if r.lists > 2 && now.Sub(r.since) < rosterPatience {
			continue
		}
		c.reach(now, vpn, nil)
	}
}

// meshed reports whether the tunnel to a peer is to stay though it is not used.
func (c *Client) meshed(vpn netip.Addr) bool {
	if c.eth == nil || !c.eth.cfg.FullMesh {
		return false
	}
	_, found := slices.BinarySearchFunc(c.eth.roster.members, vpn, netip.Addr.Compare)
	return found
}
