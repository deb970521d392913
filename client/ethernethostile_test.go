package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/rdv"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
)

// TestEthernetStorm: what a member sends to all is limited where it arrives, and what is
// for one is not.
func TestEthernetStorm(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		a := v.station(1, func(e *Ethernet) { e.Switch.Limits = l2.Limits{Broadcast: -1, Unknown: -1, Multicast: -1} })
		b := v.station(2, func(e *Ethernet) { e.Switch.Limits = l2.Limits{Broadcast: 10, Unknown: 10, Multicast: 10} })
		pass(8 * time.Second)
		b.hears()
		for _, c := range []struct {
			what string
			dst  ether.MAC
		}{{"broadcast", ether.Broadcast}, {"unknown", 0x0200_0000_0077}, {"multicast", 0x0180_c200_0100}} {
			for i := range 100 {
				a.dev.Inject(frameOf(c.dst, a.mac, fmt.Sprint(i)))
				pass(10 * time.Millisecond)
			}
			if n := len(b.hears()); n < 10 || n > 40 {
				v.t.Errorf("%s: %d of 100 frames in a second are taken, at 10 a second", c.what, n)
			}
		}
		a.says(frameOf(b.mac, a.mac, "for-you"))
		want(v.t, "after the storm", map[*station]string{b: "for-you"})
		if n := b.logged("More frames to everybody than are taken"); n == 0 || n > 6 {
			v.t.Errorf("said %d times", n)
		}
		if s := b.status(); s.Drops["switch"] < 150 || s.Ethernet.Drops["storm_broadcast"] < 50 || s.Ethernet.Drops["storm_unknown"] < 50 {
			v.t.Errorf("counted: %v, %v", s.Drops, s.Ethernet.Drops)
		}
	})
}

// tagged returns a frame in a VLAN.
func tagged(vid uint16, dst, src ether.MAC, text string) []byte {
	b := binary.BigEndian.AppendUint16(append(src.Append(dst.Append(nil)), 0x81, 0x00), vid)
	return append(append(b, 0x88, 0xb5), text...)
}

// TestEthernetVLANs: each member carries the VLANs that it is to, both ways, and where an
// address is in one says nothing about another.
func TestEthernetVLANs(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		some := new(ether.VIDSet)
		some.Add(0, 0)
		some.Add(10, 12)
		a, b, c := v.station(1, nil), v.station(2, func(e *Ethernet) { e.Switch.VLANs = some }), v.station(3, nil)
		pass(8 * time.Second)
		guest := ether.MAC(0x0200_0000_0099)
		for _, x := range []struct {
			vid uint16
			toB string
		}{{10, "v10"}, {12, "v12"}, {13, ""}, {20, ""}, {4094, ""}} {
			text := fmt.Sprint("v", x.vid)
			a.says(tagged(x.vid, ether.Broadcast, a.mac, text))
			want(v.t, text, map[*station]string{b: x.toB, c: text})
			b.says(tagged(x.vid, ether.Broadcast, b.mac, text))
			want(v.t, text+" of b", map[*station]string{a: x.toB, c: x.toB})
		}
		c.says(tagged(10, ether.Broadcast, guest, "here"))
		a.hears()
		b.hears()
		a.says(tagged(10, guest, a.mac, "known"))
		want(v.t, "in the guest's VLAN", map[*station]string{b: "", c: "known"})
		a.says(tagged(11, guest, a.mac, "unknown"))
		want(v.t, "in another VLAN", map[*station]string{b: "unknown", c: "unknown"})
		if n := b.status().Ethernet.Drops["vlan"]; n != 6 {
			v.t.Errorf("b has counted %d frames of other VLANs, want 6", n)
		}
	})
}

// TestEthernetOwnAddress: a hardware address of one's own choice is learned, as that of
// any host, and answers find it.
func TestEthernetOwnAddress(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		const chosen = ether.MAC(0x0200_0000_0042)
		a := v.station(1, func(e *Ethernet) { e.Switch.MAC, e.Groups.MAC = chosen, QuerierAddr(chosen).Bytes() })
		b, c := v.station(2, nil), v.station(3, nil)
		pass(8 * time.Second)
		a.says(frameOf(ether.Broadcast, chosen, "hello"))
		b.says(frameOf(chosen, b.mac, "answer"))
		want(v.t, "a chosen address", map[*station]string{a: "answer", b: "hello", c: "hello"})
		c.lies(b, frameOf(b.mac, chosen, "forged")) // no pin protects it, but it is one of many
		if s := a.status().Ethernet; s.MAC != chosen {
			v.t.Errorf("the status says %v", s.MAC)
		}
	})
}

// tell sends a peer an update about groups as it is.
func (s *station) tell(to *station, update []byte) {
	s.t.Helper()
	s.on(func(now time.Time) {
		p := s.client.peers[to.vpn]
		for _, b := range p.session.Groups(update, nil) {
			s.client.sendToPeer(now, p, b)
		}
	})
	pass(10 * time.Millisecond)
}

// TestEthernetGarbage: a member that sends what nobody understands, or what looks like
// something else, changes nothing for others, and fills neither log nor memory.
func TestEthernetGarbage(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(3, nil)
		a, b, c := all[0], all[1], all[2]
		group := netip.MustParseAddr("239.1.2.3")
		b.joins(group, false)
		for _, u := range []string{"", "\x01", "\x02\x01\x00\x01", "\x01\xff\xff\xff", "\x01\x01\x00\x0dxxxxxxxxxxxxx", "\x01\x03\x00\x04\x00\x00\x02\x04",
			strings.Repeat("\x01", 1200), strings.Repeat("\xff", 9000)} {
			for range 20 {
				c.tell(a, []byte(u))
			}
		}
		pkt := packetTo(c.vpn, a.vpn, "a packet, as in mode tun")
		for _, f := range [][]byte{
			{}, {0}, {1}, make([]byte, 13), make([]byte, 14), make([]byte, 60), pkt, append([]byte{0}, pkt...),
			[]byte("\x01\x80\xc2\x00\x00\x01"), []byte("\x01\x80\xc2\x00\x00\x01\x00"), []byte("\x01\x80\xc2\x00\x00\x01\x63signal of no type"),
			frameOf(0x0180_c200_0001, c.mac, "a pause"), frameOf(0x0180_c200_0000, c.mac, "a bridge's"), frameOf(a.mac, 0, "from nobody"),
			frameOf(a.mac, ether.Broadcast, "from all"), []byte(strings.Repeat("\x81\x00\x00\x01", 400)), frameOf(a.mac, c.mac, strings.Repeat("x", 9000)),
		} {
			c.lies(a, f)
		}
		// What a host sends that looks like a signal does not leave.
		c.says(frameOf(0x0180_c200_0001, c.mac, "\x00forged"))
		a.hears()
		a.says(film(a.mac, a.vpn, group, "film1"))
		want(v.t, "a group afterwards", map[*station]string{b: "film1", c: ""})
		c.says(frameOf(a.mac, c.mac, "still-here"))
		want(v.t, "the liar's own frames", map[*station]string{a: "still-here"})
		if n := c.status().Ethernet.Drops["reserved"]; n != 1 {
			v.t.Errorf("%d frames for bridges were kept here, want 1", n)
		}
		if got := a.status().Ethernet; got.Drops["invalid"] == 0 || got.Drops["source_mac"] == 0 || got.Drops["reserved"] == 0 || got.MACs > 3 {
			v.t.Errorf("a has counted %v, and learned %d addresses", got.Drops, got.MACs)
		}
		if n := a.logged("level=WARN"); n > 20 {
			v.t.Errorf("%d warnings", n)
		}
	})
}

// TestEthernetReceiverRestart: a member that was restarted gets only what its hosts ask
// for, as before, and that at once.
func TestEthernetReceiverRestart(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(2, nil)
		a, b := all[0], all[1]
		group := netip.MustParseAddr("239.1.2.3")
		b.joins(group, false)
		a.says(film(a.mac, a.vpn, group, "film0"))
		want(v.t, "before", map[*station]string{b: "film0"})
		b.stop()
		b = v.stationAt(b.site, 2, nil)
		pass(8 * time.Second)
		b.hears()
		a.says(film(a.mac, a.vpn, group, "film1"))
		want(v.t, "its hosts have not said anything", map[*station]string{b: ""})
		b.joins(group, false)
		a.says(film(a.mac, a.vpn, group, "film2"))
		want(v.t, "and now they have", map[*station]string{b: "film2"})
	})
}

// TestEthernetTables: what people are shown.
func TestEthernetTables(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		dev := device.NewMemoryEthernet("tap0", nil)
		a := &station{mac: HardwareAddr(nthMember(1))}
		a.node = v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil, frames(dev, "10.9.0.1", nil), func(c *Config) {
			c.Identify = func(_ time.Time, vpn netip.Addr, _ [][]byte) Identity { return Identity{Name: "host " + vpn.String()} }
		}))
		a.node.dev = dev
		b, c := v.station(2, nil), v.station(3, nil)
		pass(8 * time.Second)
		group := netip.MustParseAddr("239.1.2.3")
		b.joins(group, false)
		c.says(tagged(7, ether.Broadcast, 0x0200_0000_0099, "guest"))
		fdb, err := a.client.FDB(v.t.Context())
		if err != nil {
			v.t.Fatal(err)
		}
		var got []string
		for _, e := range fdb.MACs {
			m := fdb.Members[e.Port]
			got = append(got, fmt.Sprint(e.MAC, " ", e.VID, " ", e.All, " ", e.Kind, " ", m.VPNAddr, " ", m.Name))
		}
		for _, want := range []string{
			fmt.Sprint(a.mac, " 0 true own invalid IP "),
			fmt.Sprint(b.mac, " 0 true pinned 10.9.0.2 host 10.9.0.2"),
			fmt.Sprint(c.mac, " 0 true pinned 10.9.0.3 host 10.9.0.3"),
			"02:00:00:00:00:99 7 false learned 10.9.0.3 host 10.9.0.3",
		} {
			if !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") {
				v.t.Errorf("%q is missing in\n%s", want, strings.Join(got, "\n"))
			}
		}
		mdb, err := a.client.MDB(v.t.Context())
		if err != nil || mdb.Limit != 1024 {
			v.t.Fatalf("limit %d, %v", mdb.Limit, err)
		}
		wanted := 0
		for _, g := range mdb.Groups {
			for _, p := range g.Peers {
				if g.Group == group && mdb.Members[p.Port].VPNAddr == b.vpn {
					wanted++
				}
			}
		}
		if wanted != 1 {
			v.t.Errorf("%+v: want %v, wanted by %v", mdb.Groups, group, b.vpn)
		}
		s := a.status().Ethernet
		if s == nil || s.MAC != a.mac || !s.FullMesh || s.Known != 2 || s.Connected != 2 || s.MACs != 1 || s.Groups != 1 {
			v.t.Errorf("the status says %+v", s)
		}
		b.stop()
		pass(2 * rosterInterval)
		if s := a.status().Ethernet; s.Known != 1 || s.Connected != 1 || s.Groups != 0 {
			v.t.Errorf("without b: %+v", s)
		}
	})
	inBubble(t, func(v *vpn) {
		a, _ := v.pair(nil)
		_, ferr := a.client.FDB(v.t.Context())
		_, merr := a.client.MDB(v.t.Context())
		if !errors.Is(ferr, ErrNoFrames) || !errors.Is(merr, ErrNoFrames) || a.status().Ethernet != nil {
			v.t.Errorf("of a client with packets: %v, %v, %+v", ferr, merr, a.status().Ethernet)
		}
		a.stop()
	})
}

// TestEthernetNumbers: members have numbers of their own, and when there are no more,
// those without a tunnel give theirs up, and nobody else.
func TestEthernetNumbers(t *testing.T) {
	c := &Client{cfg: Config{Ethernet: &Ethernet{}}}
	e := c.newEthernet(time.Now())
	vpn := func(i int) netip.Addr { return nthMember(256 + i) }
	seen := map[l2.Port]bool{}
	for i := range maxNumbered {
		p := e.number(vpn(i))
		if p == l2.TAP || seen[p] || e.number(vpn(i)) != p {
			t.Fatalf("member %d has the number %d, and then %d", i, p, e.number(vpn(i)))
		}
		seen[p] = true
		if err := e.sw.Pin(HardwareAddr(vpn(i)), p); err != nil {
			t.Fatal(err)
		}
		if i != 4711 {
			e.peers[p] = &peer{}
		}
	}
	free := e.number(vpn(4711))
	if got := e.number(vpn(maxNumbered)); got != free {
		t.Fatalf("the next has the number %d, want that of the only one without a tunnel, %d", got, free)
	}
	if err := e.sw.Pin(HardwareAddr(vpn(maxNumbered)), free); err != nil {
		t.Errorf("the address of the next: %v", err)
	}
	for _, m := range e.sw.Dump(time.Now()).MACs {
		if m.MAC == HardwareAddr(vpn(4711)) {
			t.Errorf("the address of who has no number any more is still at %d", m.Port)
		}
	}
	e.peers[free] = &peer{}
	if got := e.number(vpn(maxNumbered + 1)); got != 0 {
		t.Errorf("all have tunnels, and one more gets the number %d", got)
	}
	if len(e.ports) != maxNumbered || len(e.numbered) != maxNumbered {
		t.Errorf("%d and %d numbers are remembered, want %d", len(e.ports), len(e.numbered), maxNumbered)
	}
}
