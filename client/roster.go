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

	// maxPieces bounds the pieces of one list, of which an honest RDV may send some that
	// are empty.
	maxPieces = 256
)

// A roster is who the RDVs say is there, for a client that keeps tunnels to all.
type roster struct {
	due     time.Time    // when to ask, or to look at members again
	members []netip.Addr // that any RDV has listed last, in order
	lists   int          // so far; those that are asked for together count once
	since   time.Time    // when members came
	missed  bool         // there was no list, and that was said
}

// A rosterPart is who one RDV says is there.
type rosterPart struct {
	asking  bool
	coming  []netip.Addr // of the list that is under way
	after   netip.Addr   // which its last piece ended with
	pieces  int          // that have come of it
	members []netip.Addr // of the last one
	done    bool         // there was one
}

// restartRoster asks for the list soon: we have just registered at an RDV. If that is
// the only one, we begin with all that are there.
func (c *Client) restartRoster(now time.Time, r *rendezvous) {
	if c.eth == nil || !c.eth.cfg.FullMesh {
		return
	}
	r.roster = rosterPart{}
	others := c.anyServer(func(q *rendezvous) bool { return q.roster.done })
	if o := &c.eth.roster; others {
		o.due = now
	} else {
		*o = roster{due: now}
	}
	c.meetOnDemand(false)
}

// advanceRoster asks who is there, when it is time to.
func (c *Client) advanceRoster(now time.Time) {
	o := &c.eth.roster
	if o.due.IsZero() || now.Before(o.due) {
		return
	}
	o.due = now.Add(rosterInterval)
	for _, r := range c.servers.rdvs {
		if r.server.stands() && !r.roster.asking {
			l := &r.roster
			l.asking, l.coming, l.after, l.pieces = true, nil, netip.Addr{}, 0
			r.server.list(netip.Addr{})
		}
	}
	c.mesh(now)
}

// handleList takes a piece of an RDV's list, or that it does not come.
func (c *Client) handleList(now time.Time, r *rendezvous, msg *channel.Message) {
	l := &r.roster
	if c.eth == nil || !l.asking {
		return
	}
	addrs, ok := channel.ParseAddrs(msg.Data)
	if msg.Type != channel.Listed || !ok {
		l.asking = false
		c.unlisted(r, "it does not tell who is there")
		return
	}
	l.coming = append(l.coming, addrs[:min(len(addrs), maxRoster-len(l.coming))]...)
	if l.pieces++; len(msg.VPN) == 1 && l.after.Less(msg.VPN[0]) && len(l.coming) < maxRoster && l.pieces < maxPieces {
		l.after = msg.VPN[0]
		r.server.list(l.after)
		return
	}
	l.asking, l.done = false, true
	l.members, l.coming = l.coming, nil
	c.listed(now)
}

// listed makes the members those of all lists.
func (c *Client) listed(now time.Time) {
	o := &c.eth.roster
	var all []netip.Addr
	busy := false
	for _, r := range c.servers.rdvs {
		if r.server.stands() {
			all = append(all, r.roster.members...)
			busy = busy || r.roster.asking
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	all = slices.Compact(all)
	if !slices.Equal(all, o.members) || o.since.IsZero() {
		o.since = now
	}
	o.members, o.missed = all, false
	if !busy {
		o.lists++
	}
	c.meetOnDemand(false)
	c.mesh(now)
	switch {
	case o.lists <= 1:
		o.due = now.Add(rosterAgain)
	case now.Sub(o.since) < rosterPatience:
		o.due = now.Add(rosterPatience)
	default:
		o.due = now.Add(rosterInterval)
	}
}

// unlisted says that an RDV does not list members, and why, if no other does. What was
// told before stays so; others are met when somebody here looks for them.
func (c *Client) unlisted(r *rendezvous, why string) {
	switch {
	case c.eth == nil || !c.eth.cfg.FullMesh:
		return
	case c.anyServer(func(q *rendezvous) bool { return q != r && q.server.stands() }):
		return
	}
	c.meetOnDemand(true)
	if c.eth.roster.missed {
		return
	}
	c.eth.roster.missed = true
	c.log.Warn("The RDV server does not list the members; tunnels are opened to those that are looked for, as with mesh = demand",
		"server", r.at, "reason", why,
		"hint", "a server with a certificate lists members (campagnol ca issue NAME --rdv); or set mesh = demand")
}

// meetOnDemand makes the switch say, or not, whom a host looks for and there is no
// tunnel to. The roster makes that superfluous.
func (c *Client) meetOnDemand(on bool) {
	c.eth.sw.SetOnDemand(on || c.eth.cfg.Switch.OnDemand)
	c.showSwitch()
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
