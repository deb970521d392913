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

// A roster is who the RDV says is there, for a client that keeps tunnels to all.
type roster struct {
	due     time.Time // when to ask, or to look at members again
	asking  bool
	coming  []netip.Addr // of the list that is under way
	after   netip.Addr   // which its last piece ended with
	pieces  int          // that have come of it
	members []netip.Addr // of the last one, in order
	lists   int          // so far
	since   time.Time    // when members came
	missed  bool         // there was no list, and that was said
}

// restartRoster asks for the list soon: we have just registered.
func (c *Client) restartRoster(now time.Time) {
	if c.eth != nil && c.eth.cfg.FullMesh {
		c.eth.roster = roster{due: now}
		c.meetOnDemand(false)
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
		r.asking, r.coming, r.after, r.pieces = true, nil, netip.Addr{}, 0
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
		c.unlisted("it does not tell who is there")
		return
	}
	r.coming = append(r.coming, addrs[:min(len(addrs), maxRoster-len(r.coming))]...)
	if r.pieces++; len(msg.VPN) == 1 && r.after.Less(msg.VPN[0]) && len(r.coming) < maxRoster && r.pieces < maxPieces {
		r.after = msg.VPN[0]
		c.server.list(r.after)
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
	r.missed = false
	c.meetOnDemand(false)
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

// unlisted says that the RDV does not list members, and why. What it has told before
// stays so; others are met when somebody here looks for them.
func (c *Client) unlisted(why string) {
	if c.eth == nil || !c.eth.cfg.FullMesh {
		return
	}
	c.meetOnDemand(true)
	if c.eth.roster.missed {
		return
	}
	c.eth.roster.missed = true
	c.log.Warn("The RDV server does not list the members; tunnels are opened to those that are looked for, as with mesh = demand",
		"server", c.set.Server, "reason", why,
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
