package client

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/channel"
)

// A ListedMember is somebody who is registered at an RDV, as that says. It may lie: no more
// follows from it than whom to ask for.
type ListedMember struct {
	Name    string
	Addrs   []netip.Addr // in order
	Gateway bool         // there are networks behind it
}

// maxCensuses bounds those who wait for lists of members at a time.
const maxCensuses = 4

// A census asks all RDVs who is there, and by which names.
type census struct {
	parts []*censusPart
	found []channel.Member
	done  chan struct{} // closed when all have answered
}

// A censusPart is what one RDV is asked.
type censusPart struct {
	by     *rendezvous
	id     uint32 // of the request that is out
	after  netip.Addr
	pieces int
	count  int // of members
}

// Members returns whom the RDVs list that tell names, those that have answered when ctx
// is done. There are none without an authenticated channel, and servers of before tell
// no names.
func (c *Client) Members(ctx context.Context) ([]ListedMember, error) {
	s := &census{done: make(chan struct{})}
	if err := c.do(ctx, func(now time.Time) { c.takeCensus(now, s) }); err != nil {
		return nil, err
	}
	select {
	case <-s.done:
	case <-ctx.Done():
	case <-c.done:
		return nil, ErrStopped
	}
	var found []channel.Member
	// Without ctx, which may have ended; control always has time.
	err := c.do(context.WithoutCancel(ctx), func(time.Time) {
		c.censuses = slices.DeleteFunc(c.censuses, func(o *census) bool { return o == s })
		for _, part := range s.parts {
			part.by.server.forget(part.id)
		}
		found = s.found
	})
	return membersOf(found), err
}

// takeCensus begins s, unless there are too many.
func (c *Client) takeCensus(now time.Time, s *census) {
	if len(c.censuses) < maxCensuses {
		for _, r := range c.servers.rdvs {
			if r.server.stands() {
				part := &censusPart{by: r}
				s.parts = append(s.parts, part)
			}
		}
	}
	c.censuses = append(c.censuses, s)
	for _, part := range slices.Clone(s.parts) {
		c.askCensus(now, part)
	}
	s.settle()
}

// askCensus asks for the next piece of a list.
func (c *Client) askCensus(now time.Time, part *censusPart) {
	q := &request{msg: channel.Message{Type: channel.List, Named: true}}
	if part.after.IsValid() {
		q.msg.VPN = []netip.Addr{part.after}
	}
	out := part.by.server.send(now, q, nil)
	part.id = q.msg.ID
	c.perform(now, part.by, out)
}

// settle tells who waits that there is no more to come.
func (s *census) settle() {
	if len(s.parts) == 0 {
		select {
		case <-s.done:
		default:
			close(s.done)
		}
	}
}

// handleCensus takes a piece of an RDV's list, or that it does not come, if it was asked
// for by a census.
func (c *Client) handleCensus(now time.Time, r *rendezvous, id uint32, msg *channel.Message) bool {
	for _, s := range c.censuses {
		i := slices.IndexFunc(s.parts, func(p *censusPart) bool { return p.by == r && p.id == id })
		if i < 0 {
			continue
		}
		if part := s.parts[i]; part.take(s, msg) {
			c.askCensus(now, part)
		} else {
			s.parts = slices.Delete(s.parts, i, i+1)
			s.settle()
		}
		return true
	}
	return false
}

// take adds a piece to s, and reports whether there are more.
func (p *censusPart) take(s *census, msg *channel.Message) (more bool) {
	list, ok := channel.ParseMembers(msg.Data)
	if msg.Type != channel.Listed || !msg.Named || !ok {
		return false
	}
	list = list[:min(len(list), maxRoster-p.count)]
	s.found = append(s.found, list...)
	p.count += len(list)
	p.pieces++
	if len(msg.VPN) != 1 || !p.after.Less(msg.VPN[0]) || p.count >= maxRoster || p.pieces >= maxPieces {
		return false
	}
	p.after = msg.VPN[0]
	return true
}

// membersOf joins the addresses of each name. An address belongs to the one who was
// named first.
func membersOf(found []channel.Member) []ListedMember {
	by := map[string]*ListedMember{}
	seen := map[netip.Addr]bool{}
	var order []string
	for _, f := range found {
		if f.Name == "" || seen[f.Addr] {
			continue
		}
		seen[f.Addr] = true
		m := by[f.Name]
		if m == nil {
			m = &ListedMember{Name: f.Name}
			by[f.Name] = m
			order = append(order, f.Name)
		}
		m.Addrs = append(m.Addrs, f.Addr)
		m.Gateway = m.Gateway || f.Gateway
	}
	slices.Sort(order)
	list := make([]ListedMember, 0, len(order))
	for _, name := range order {
		m := by[name]
		slices.SortFunc(m.Addrs, netip.Addr.Compare)
		list = append(list, *m)
	}
	return list
}

// Meet opens a tunnel to a peer, unless there is one: its certificate tells then what is
// behind it.
func (c *Client) Meet(ctx context.Context, vpn netip.Addr) error {
	return c.do(ctx, func(now time.Time) {
		if vpn = vpn.Unmap(); c.mayBePeer(vpn) && c.claims.holderOf(vpn) == nil && c.peers[vpn] == nil {
			c.reach(now, vpn, nil)
		}
	})
}
