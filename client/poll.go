package client

import (
	"net/netip"
	"time"

	"campagnol/punch/nat"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// rejectPatience is how long we wait for the other RDVs after the first that does not
// lead us to a peer.
const rejectPatience = 500 * time.Millisecond

// A serverSet is some of a client's RDVs, by their places in the list.
type serverSet uint8 // maxServers bits

func (s serverSet) has(i int) bool { return s&(1<<i) != 0 }

// A poll is what RDVs have said about where a peer is. The first that knows it
// decides; that it is not to be found counts only if all say so, or if the others
// take their time.
type poll struct {
	asked, against serverSet
	why            string    // of those against
	until          time.Time // when the others have had their time; zero: nobody is against
}

// place returns the place of an RDV in the list, or -1.
func (c *Client) place(r *rendezvous) int {
	for i, o := range c.servers.rdvs {
		if o == r {
			return i
		}
	}
	return -1
}

// ask asks the RDVs for p, again while there is no answer.
func (c *Client) ask(now time.Time, p *peer) {
	c.log.Debug("Asking the RDV server for peer", "peer", p.vpn)
	c.tell(wire.Ask, p.vpn)
	p.try.ask = now.Add(askAgain)
	c.wantRelay(now, p, c.relayDelay(nat.Behaviour{}, true))
	for i, r := range c.servers.rdvs {
		if r.registered() {
			p.try.poll.asked |= 1 << i
		}
	}
}

// handleAgainst: an RDV does not lead us to the peer that we asked for.
func (c *Client) handleAgainst(now time.Time, r *rendezvous, vpn netip.Addr, why string) {
	p, i := c.peers[vpn], c.place(r)
	if p == nil || p.try == nil || !p.try.asked || p.try.attempt != nil || i < 0 {
		return
	}
	c.dossiers.against(now, r.name, vpn, why)
	o := &p.try.poll
	if o.against |= 1 << i; o.why == "" || why != UnknownPeer {
		o.why = why // the one that says more
	}
	if o.asked&^o.against == 0 {
		c.handleReject(now, vpn, o.why)
		return
	}
	if o.until.IsZero() {
		o.until = now.Add(rejectPatience)
	}
	c.settle(p)
}

// introducedBy notes which RDV has introduced us to the peer with these addresses, which
// is behind b: it wants to know when that is over.
func (c *Client) introducedBy(now time.Time, r *rendezvous, b nat.Behaviour, vpn ...netip.Addr) {
	i := c.place(r)
	for _, a := range vpn {
		if p := c.peers[a]; p != nil && i >= 0 {
			p.via |= 1 << i
			c.dossiers.introduced(now, r.name, a, vpn, b)
		}
	}
}

// rejection returns why the RDV does not tell where a peer is.
func rejection(m *channel.Message) string {
	if m.Reason == channel.Unknown {
		return UnknownPeer
	}
	return "the RDV server: " + (&RefusedError{m.Reason, m.Text}).Error()
}
