package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/l2/mcast"
)

// An Ethernet says how a client that carries frames does that.
type Ethernet struct {
	Switch l2.Config
	Groups mcast.Config

	FullMesh bool // keep tunnels to all members that the RDV knows
	Fragment bool // cut frames that are larger than the path, for peers that do so, too
}

// hardwarePrefix is what the hardware address of a member begins with that has none of
// its own choice: 02 for one that no manufacturer has given out.
const hardwarePrefix = 0x02ca_0000_0000

// HardwareAddr returns the hardware address that belongs to a VPN address; 0 if that is
// not of IPv4. No other member can use it.
func HardwareAddr(vpn netip.Addr) ether.MAC {
	if !vpn.Is4() {
		return 0
	}
	b := vpn.As4()
	return hardwarePrefix | ether.MAC(binary.BigEndian.Uint32(b[:]))
}

// vpnOf returns the VPN address to which a hardware address belongs.
func vpnOf(m ether.MAC) (netip.Addr, bool) {
	if m&^0xffff_ffff != hardwarePrefix {
		return netip.Addr{}, false
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(m))
	return netip.AddrFrom4(b), true
}

// QuerierAddr returns the hardware address from which a member with a device of the
// address m asks its own hosts about groups. It is another one: m is that of a host.
func QuerierAddr(m ether.MAC) ether.MAC { return m ^ 0x0001_0000_0000 }

// maxNumbered is how many peers are remembered by number. Their hardware addresses are
// their own also while they have no tunnel.
const maxNumbered = 8192

// An ethernet is control's part of the switch.
type ethernet struct {
	cfg      Ethernet
	sw       *l2.Switch
	groups   *mcast.Snooper
	view     *mcast.View            // that sw has
	ports    map[netip.Addr]l2.Port // by VPN address; they never change while one is remembered
	peers    map[l2.Port]*peer      // with a tunnel
	numbered map[l2.Port]netip.Addr // the inverse of ports
	free     []l2.Port              // numbers that were given back
	roster   roster
	events   []l2.Event  // scratch
	outs     []mcast.Out // scratch
}

// newEthernet returns the switch of a client, without peers, and what the data path is
// to know of it; nil for a client that carries packets.
func (c *Client) newEthernet(now time.Time) *ethernet {
	if c.cfg.Ethernet == nil {
		return nil
	}
	e := &ethernet{
		cfg:      *c.cfg.Ethernet,
		sw:       l2.New(now, c.cfg.Ethernet.Switch),
		groups:   mcast.New(c.cfg.Ethernet.Groups),
		ports:    map[netip.Addr]l2.Port{},
		peers:    map[l2.Port]*peer{},
		numbered: map[l2.Port]netip.Addr{},
	}
	return e
}

// startEthernet brings the switch up, before the data path begins.
func (c *Client) startEthernet(now time.Time) {
	c.eth = c.newEthernet(now)
	if c.eth == nil {
		return
	}
	next := *c.table.Load()
	next.frames = &fabric{view: c.eth.sw.View()}
	c.publish(&next)
	c.performGroups(now, c.eth.groups.Up(now, c.eth.outs[:0]))
}

// errMode says that the other end carries something else.
var errMode = errors.New("one end carries IP packets and the other Ethernet frames; mode has to be the same for all")

// checkMode returns an error if a handshake has led to somebody who carries something
// else than we do.
func (c *Client) checkMode(protocol string) error {
	if (protocol == tunnel.FrameProtocolName) != (c.cfg.Ethernet != nil) {
		return errMode
	}
	return nil
}

// protocol returns what our sessions are called in ALPN.
func (c *Client) protocol() string {
	if c.cfg.Ethernet != nil {
		return tunnel.FrameProtocolName
	}
	return tunnel.ProtocolName
}

// number returns the port of a peer, and 0 if there is none left.
func (e *ethernet) number(vpn netip.Addr) l2.Port {
	if p, ok := e.ports[vpn]; ok {
		return p
	}
	var p l2.Port
	switch {
	case len(e.free) > 0:
		p, e.free = e.free[0], e.free[1:]
	case len(e.ports) < maxNumbered:
		p = l2.Port(len(e.ports) + 1)
	default:
		if p = e.reuse(); p == 0 {
			return 0
		}
	}
	e.ports[vpn], e.numbered[p] = p, vpn
	return p
}

// reuse takes its number from some peer without a tunnel, or returns 0.
func (e *ethernet) reuse() l2.Port {
	for p, vpn := range e.numbered {
		if e.peers[p] == nil {
			e.sw.Unpin(HardwareAddr(vpn))
			delete(e.ports, vpn)
			delete(e.numbered, p)
			return p
		}
	}
	return 0
}

// plug connects p, whose session is new, to the switch. It must be done before the data
// path knows the session.
func (c *Client) plug(now time.Time, p *peer) {
	e := c.eth
	if e == nil {
		return
	}
	port := e.number(p.vpn)
	if port == 0 {
		c.log.Error("The switch has no port left for the peer", "peer", p.vpn)
		return
	}
	if e.peers[port] != nil { // it was restarted, and knows nothing of us
		c.performGroups(now, e.groups.PeerDown(now, port, e.outs[:0]))
	}
	if err := e.sw.PortUp(port, l2.PortOptions{}); err != nil {
		c.log.Error("The switch does not take the peer", "peer", p.vpn, "err", err)
		return
	}
	if err := e.sw.Pin(HardwareAddr(p.vpn), port); err != nil && !errors.Is(err, l2.ErrAddress) {
		c.log.Warn("The hardware address of the peer is another's", "peer", p.vpn, "mac", HardwareAddr(p.vpn), "err", err)
	}
	e.peers[port] = p
	p.session.SetPort(port)
}

// plugged tells the peer of a new session what our hosts want.
func (c *Client) plugged(now time.Time, p *peer) {
	if c.eth != nil && p.session.Port() != 0 {
		c.performGroups(now, c.eth.groups.PeerUp(now, p.session.Port(), c.eth.outs[:0]))
	}
}

// unplug takes p, which loses its session, out of the switch.
func (c *Client) unplug(p *peer) {
	e, port := c.eth, p.session.Port()
	if e == nil || port == 0 || e.peers[port] != p {
		return
	}
	delete(e.peers, port)
	e.sw.PortDown(port)
	next := *c.table.Load()
	next.frames = next.frames.withWay(port, nil)
	c.publish(&next)
	now := time.Now()
	c.performGroups(now, e.groups.PeerDown(now, port, e.outs[:0]))
}

// withPort returns tab with p's port and the way to it.
func (c *Client) withPort(tab *table, p *peer) *table {
	if c.eth == nil {
		return tab
	}
	return c.withSwitch(c.withWay(tab, p))
}

// withWay returns tab in which p's way is that to its port.
func (c *Client) withWay(tab *table, p *peer) *table {
	if c.eth == nil || p.session == nil || p.session.Port() == 0 {
		return tab
	}
	next := *tab
	next.frames = tab.frames.withWay(p.session.Port(), p.way)
	return &next
}

// withSwitch returns tab with what the switch and the groups are now.
func (c *Client) withSwitch(tab *table) *table {
	e := c.eth
	if v := e.groups.View(); v != e.view {
		e.view = v
		e.sw.SetGroups(v)
	}
	if tab.frames.view == e.sw.View() {
		return tab
	}
	next := *tab
	next.frames = &fabric{view: e.sw.View(), ways: tab.frames.ways}
	return &next
}

// showSwitch makes the data path see what has changed in the switch.
func (c *Client) showSwitch() {
	tab := c.table.Load()
	if next := c.withSwitch(tab); next != tab {
		c.publish(next)
	}
}

// handleNote takes what the data path has found out about a frame. data is the frame
// if it waits for a tunnel.
func (c *Client) handleNote(now time.Time, n l2.Note, data []byte) {
	e := c.eth
	e.events = e.sw.Handle(now, n, e.events[:0])
	if n.Asks&l2.AskLearn != 0 && n.Port == l2.TAP {
		c.performGroups(now, e.groups.VLAN(now, uint16(n.VID), e.outs[:0]))
	}
	for i := range e.events {
		if ev := &e.events[i]; ev.Kind == l2.EventWanted {
			c.handleWanted(now, ev, data)
		} else {
			c.reportFrames(ev)
		}
	}
	c.showSwitch()
}

// handleWanted opens a tunnel to whom a host looks for.
func (c *Client) handleWanted(now time.Time, ev *l2.Event, data []byte) {
	vpn := ev.IP
	if !c.isMember(vpn) {
		vpn, _ = vpnOf(ev.MAC)
	}
	if !c.isMember(vpn) {
		vpn = c.eth.numbered[ev.Port]
	}
	if c.isMember(vpn) {
		c.reach(now, vpn, data)
	}
}

// isMember reports whether another member may have a VPN address.
func (c *Client) isMember(vpn netip.Addr) bool {
	return vpn.Is4() && c.cfg.Network.Contains(vpn) && vpn != c.cfg.VPNAddr && vpn != c.cfg.Broadcast
}

// reportFrames logs what the switch has noticed.
func (c *Client) reportFrames(ev *l2.Event) {
	args := []any{"peer", c.portName(ev.Port), "mac", ev.MAC}
	if ev.VID != 0 {
		args = append(args, "vlan", ev.VID)
	}
	if ev.IP.IsValid() {
		args = append(args, "ip", ev.IP)
	}
	text, hint := "", ""
	switch ev.Kind {
	case l2.EventQuota:
		text, hint = "More hardware addresses than are learned of one peer", "max_macs is the limit"
	case l2.EventFrozen:
		text, hint = "A hardware address moves to and fro; it stays where it was", "there may be a loop, or two devices with one address"
	case l2.EventConflict:
		text = "Two peers say that they have the same IP address"
	case l2.EventLoop:
		text, hint = "A frame of our own has come back", "something behind two members connects them: take the other link away, or set stp = yes and use bridges that speak it"
	case l2.EventTheft:
		text = "A peer has sent from a hardware address that is another's; dropped"
	case l2.EventUnbound:
		text, hint = "A peer has sent from a hardware address that is not its own; dropped", "pin_macs is set"
	case l2.EventStorm:
		text, hint = "More frames to everybody than are taken; the rest is dropped", "storm_rate is the limit"
		args = append(args, "reason", ev.Drop.String())
	default:
		return
	}
	if hint != "" {
		args = append(args, "hint", hint)
	}
	c.log.Warn(text, args...)
}

// portName returns who is at a port, for people.
func (c *Client) portName(p l2.Port) string {
	if vpn, ok := c.eth.numbered[p]; ok {
		return vpn.String()
	}
	return "this host"
}

// handleGroups takes a frame of our device that is about multicast groups.
func (c *Client) handleGroups(now time.Time, frame []byte) {
	f, err := ether.Parse(frame)
	if err != nil {
		return
	}
	e := c.eth
	c.performGroups(now, e.groups.Local(now, uint16(f.VID), f.Src.Bytes(), frame[f.Net:], e.outs[:0]))
}

// handlePeersGroups takes what a peer says of groups.
func (c *Client) handlePeersGroups(now time.Time, p *peer, update []byte) {
	if c.eth != nil && c.eth.peers[p.session.Port()] == p {
		c.performGroups(now, c.eth.groups.Peer(now, p.session.Port(), update, c.eth.outs[:0]))
	}
}

// performGroups does what the snooper wants to be done.
func (c *Client) performGroups(now time.Time, outs []mcast.Out) {
	e := c.eth
	e.outs = outs
	for i := range outs {
		switch o := &outs[i]; o.Kind {
		case mcast.ToTAP:
			c.toTAP(o)
		case mcast.ToPeer:
			if p := e.peers[o.Port]; p != nil && p.session != nil {
				for _, b := range p.session.Groups(o.Packet, nil) {
					c.sendToPeer(now, p, b)
				}
			}
		case mcast.Happens:
			c.reportGroups(&o.Event)
		}
	}
	c.showSwitch()
}

// toTAP gives the device a message of IGMP or MLD.
func (c *Client) toTAP(o *mcast.Out) {
	const tagged = 0x8100 // IEEE 802.1Q section 9.6
	typ := ether.IPv4
	if len(o.Packet) > 0 && o.Packet[0]>>4 == 6 {
		typ = ether.IPv6
	}
	b := make([]byte, 0, ether.HeaderLen+ether.TagLen+len(o.Packet))
	b = ether.MACFrom(o.Dst).Append(b)
	b = ether.MACFrom(c.eth.cfg.Groups.MAC).Append(b)
	if o.VID != 0 {
		b = binary.BigEndian.AppendUint16(b, tagged)
		b = binary.BigEndian.AppendUint16(b, o.VID)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(typ))
	b = append(b, o.Packet...)
	if err := c.cfg.Device.Write([]device.Packet{{Data: b}}); err != nil {
		c.drops.Add(tunnel.DropDevice)
	}
}

// reportGroups logs what the snooper has noticed.
func (c *Client) reportGroups(ev *mcast.Event) {
	args := []any{"what", ev.Kind.String()}
	if ev.Port != 0 {
		args = append(args, "peer", c.portName(ev.Port))
	}
	if ev.Group.IsValid() {
		args = append(args, "group", ev.Group)
	}
	if ev.Addr.IsValid() {
		args = append(args, "addr", ev.Addr)
	}
	if ev.VID != 0 {
		args = append(args, "vlan", ev.VID)
	}
	switch ev.Kind {
	case mcast.QuerierHere, mcast.QuerierGone, mcast.RouterHere, mcast.RouterGone:
		c.log.Info("Multicast: {what}", args...)
	default:
		c.log.Warn("Multicast: {what}", args...)
	}
}

// advanceEthernet does what is due in the switch.
func (c *Client) advanceEthernet(now time.Time) {
	e := c.eth
	if e == nil {
		return
	}
	if t := e.sw.Timeout(); !t.IsZero() && !now.Before(t) {
		e.sw.Advance(now)
	}
	if t := e.groups.Timeout(); !t.IsZero() && !now.Before(t) {
		c.performGroups(now, e.groups.Advance(now, e.outs[:0]))
	}
	c.advanceRoster(now)
	c.showSwitch()
}

// timeout returns when advanceEthernet has something to do; zero: never.
func (e *ethernet) timeout() time.Time {
	if e == nil {
		return time.Time{}
	}
	var next time.Time
	for _, t := range [...]time.Time{e.sw.Timeout(), e.groups.Timeout(), e.roster.due} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// check returns what is wrong with e for a client with a device; nil is for packets.
func (e *Ethernet) check(d device.Device) error {
	want := "IP"
	if e != nil {
		want = "Ethernet"
	}
	if got := d.Link().String(); got != want {
		return fmt.Errorf("client: the device carries %s, and %s is to be carried", got, want)
	}
	return nil
}
