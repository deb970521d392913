package client

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/l2/mcast"
	"campagnol/tunnel/l2/mcast/gmp"
)

// A station is a node of a mesh of Ethernet, and the operating system behind its
// device.
type station struct {
	*node
	mac  ether.MAC
	site *simnet.Site
}

// frames makes a node carry frames.
func frames(dev *device.Memory, vpnAddr string, edit func(*Ethernet)) func(*Config) {
	return func(c *Config) {
		mac := HardwareAddr(netip.MustParseAddr(vpnAddr))
		e := &Ethernet{Switch: l2.Config{MAC: mac}, Groups: mcast.Config{MAC: QuerierAddr(mac).Bytes()}, FullMesh: true}
		if edit != nil {
			edit(e)
		}
		c.Ethernet, c.Device, c.ECN = e, dev, true
	}
}

// station starts a node with the VPN address 10.9.0.n, at home n.
func (v *vpn) station(n int, edit func(*Ethernet)) *station {
	v.t.Helper()
	return v.stationAt(v.home(n, portRestricted), n, edit)
}

func (v *vpn) stationAt(site *simnet.Site, n int, edit func(*Ethernet)) *station {
	v.t.Helper()
	addr := fmt.Sprintf("10.9.0.%d", n)
	dev := device.NewMemoryEthernet("tap0", nil)
	s := &station{mac: HardwareAddr(netip.MustParseAddr(addr)), site: site}
	s.node = v.node(site, "192.168.1.2:5000", addr, v.authentic(AuthYes, nil, frames(dev, addr, edit)))
	s.node.dev = dev
	return s
}

// mesh starts a server and so many stations, and gives them time to find each other.
func (v *vpn) mesh(n int, edit func(*Ethernet)) (all []*station) {
	v.t.Helper()
	v.ourServer(rdv.Strict)
	for i := range n {
		all = append(all, v.station(i+1, edit))
	}
	pass(8 * time.Second)
	return all
}

// frameOf returns a frame with a text in it, of a type that nobody knows.
func frameOf(dst, src ether.MAC, text string) []byte {
	b := src.Append(dst.Append(nil))
	return append(append(b, 0x88, 0xb5), text...) // IEEE 802: for experiments
}

// says has the operating system of s send a frame, and everything happen.
func (s *station) says(frame []byte) {
	s.t.Helper()
	if !s.dev.Inject(frame) {
		s.t.Errorf("%v: the device takes no more", s.vpn)
	}
	pass(100 * time.Millisecond)
}

// lies sends a peer a frame that the switch of s would not let pass.
func (s *station) lies(to *station, frame []byte) {
	s.client.calls <- func(now time.Time) {
		s.client.sendPacket(now, s.client.peers[to.vpn].way, frame)
	}
	pass(100 * time.Millisecond)
}

// hears returns the texts in the frames that have come since the last call.
func (s *station) hears() (texts []string) {
	for {
		select {
		case b := <-s.dev.Delivered():
			f, err := ether.Parse(b)
			if err != nil {
				s.t.Fatalf("%v: a frame %x: %v", s.vpn, b, err)
			}
			if f.Type == 0x88b5 {
				texts = append(texts, string(b[f.Net:]))
			} else if ip, ok := ether.ParseIP(b, &f); ok && bytes.HasPrefix(b[min(ip.Body+8, len(b)):], []byte("film")) {
				texts = append(texts, string(b[ip.Body+8:ip.End]))
			}
		default:
			return texts
		}
	}
}

// want checks what stations have heard.
func want(t *testing.T, when string, heard map[*station]string) {
	t.Helper()
	for s, text := range heard {
		if got := strings.Join(s.hears(), " "); got != text {
			t.Errorf("%s: %v has heard %q, want %q", when, s.vpn, got, text)
		}
	}
}

// TestEthernetMesh: members find each other without being asked for, and stay. What
// is for all, all get, and once; what is for one whose address is known, he alone.
func TestEthernetMesh(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(3, nil)
		a, b, c := all[0], all[1], all[2]
		pass(5 * time.Minute) // longer than sessions are idle
		for i, s := range all {
			for _, o := range all[i+1:] {
				if got := s.state(o.node); got != "ESTABLISHED" {
					t.Errorf("%v and %v: %s", s.vpn, o.vpn, got)
				}
				if n := s.logged("New DTLS connection opened with peer"); n != 2 {
					t.Errorf("%v has opened %d sessions, want 2", s.vpn, n)
				}
			}
		}
		a.hears()
		b.hears()
		c.hears()
		a.says(frameOf(ether.Broadcast, a.mac, "to-all"))
		want(t, "broadcast", map[*station]string{a: "", b: "to-all", c: "to-all"})
		b.says(frameOf(a.mac, b.mac, "answer"))
		want(t, "to who has spoken", map[*station]string{a: "answer", b: "", c: ""})
		a.says(frameOf(0x02_00_00_00_00_77, a.mac, "to-nobody"))
		want(t, "to an unknown address", map[*station]string{b: "to-nobody", c: "to-nobody"})
		guest := ether.MAC(0x02_00_00_00_00_99) // behind a bridge at c
		c.says(frameOf(ether.Broadcast, guest, "guest"))
		b.says(frameOf(guest, b.mac, "hello-guest"))
		want(t, "to a station behind a bridge", map[*station]string{a: "guest", b: "guest", c: "hello-guest"})
		if d := a.status().Drops; d["auth"]+d["replay"]+d["not_ip"] != 0 {
			t.Errorf("a has dropped %v", d)
		}
	})
}

// TestEthernetTheft: nobody gets frames for another's address by sending from it, and
// no forged frame is delivered.
func TestEthernetTheft(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(3, nil)
		a, b, c := all[0], all[1], all[2]
		c.lies(a, frameOf(a.mac, b.mac, "forged")) // c plays b
		c.lies(b, frameOf(b.mac, a.mac, "forged")) // and a, to b
		c.lies(a, frameOf(ether.Broadcast, a.mac, "forged"))
		want(t, "forged", map[*station]string{a: "", b: ""})
		a.says(frameOf(b.mac, a.mac, "secret"))
		want(t, "afterwards", map[*station]string{b: "secret", c: ""})
		for _, s := range []*station{a, b} {
			if s.logged("A peer has sent from a hardware address that is another's; dropped") == 0 {
				t.Errorf("%v has not noticed", s.vpn)
			}
			if s.status().Drops["switch"] == 0 {
				t.Errorf("%v has not counted it", s.vpn)
			}
		}
		// While its owner is away, too.
		b.stop()
		pass(time.Second)
		c.lies(a, frameOf(ether.Broadcast, b.mac, "forged"))
		want(t, "while b is away", map[*station]string{a: ""})
	})
}

// TestEthernetDemand: without a mesh a question for a member's address opens the tunnel
// to it, and is not lost.
func TestEthernetDemand(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(2, func(e *Ethernet) { e.FullMesh, e.Switch.OnDemand = false, true })
		a, b := all[0], all[1]
		if s := a.state(b.node); s != "CLOSED" {
			t.Fatalf("a and b before anything was sent: %s", s)
		}
		q := ether.ARPPacket{Op: ether.ARPRequest, Sender: a.mac, SenderIP: a.vpn, TargetIP: b.vpn}
		frame := append(a.mac.Append(ether.Broadcast.Append(nil)), 0x08, 0x06)
		frame = q.Append(frame)
		a.says(frame)
		pass(time.Second)
		if s := a.state(b.node); s != "ESTABLISHED" {
			t.Fatalf("a and b after a question: %s", s)
		}
		found := false
		for more := true; more; {
			select {
			case got := <-b.dev.Delivered():
				found = found || bytes.Equal(got, frame)
			default:
				more = false
			}
		}
		if !found {
			t.Error("the question was lost")
		}
		pass(3 * time.Minute)
		if s := a.state(b.node); s != "CLOSED" {
			t.Errorf("an idle tunnel: %s", s)
		}
	})
}

// film returns a frame of a stream to a group.
func film(src ether.MAC, from, group netip.Addr, text string) []byte {
	pkt := packetTo(from, group, text)
	b := src.Append(ether.GroupMAC(group).Append(nil))
	return append(append(b, 0x08, 0x00), pkt...)
}

// joins has a host behind s say that it wants a group, in the words of IGMPv2.
func (s *station) joins(group netip.Addr, leave bool) {
	s.t.Helper()
	typ := gmp.IsEx
	if leave {
		typ = gmp.ToIn
	}
	m := gmp.Message{Kind: gmp.Report, Version: 2, Src: s.vpn, Records: []gmp.Record{{Type: typ, Group: group}}}
	m.Dst = m.To()
	pkt := m.Append(nil)
	b := s.mac.Append(ether.GroupMAC(m.Dst).Append(nil))
	s.says(append(append(b, 0x08, 0x00), pkt...))
}

// TestEthernetMulticast: a stream goes to those who want it and to nobody else, from
// the moment in which they do.
func TestEthernetMulticast(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(3, nil)
		a, b, c := all[0], all[1], all[2]
		group := netip.MustParseAddr("239.1.2.3")
		a.says(film(a.mac, a.vpn, group, "film0"))
		want(t, "before anybody wants it", map[*station]string{b: "", c: ""})
		b.joins(group, false)
		a.says(film(a.mac, a.vpn, group, "film1"))
		want(t, "with one member", map[*station]string{b: "film1", c: ""})
		a.says(film(a.mac, a.vpn, netip.MustParseAddr("239.129.2.3"), "film2")) // the same MAC
		want(t, "another group with the same MAC", map[*station]string{b: "", c: ""})
		b.joins(group, true)
		pass(2500 * time.Millisecond)
		a.says(film(a.mac, a.vpn, group, "film3"))
		want(t, "after it has left", map[*station]string{b: "", c: ""})
		a.says(film(a.mac, a.vpn, netip.MustParseAddr("224.0.0.251"), "film4"))
		want(t, "what nobody has to ask for", map[*station]string{b: "film4", c: "film4"})
	})
}

// TestEthernetECN: the ECN field of a datagram is that of the packet in the frame, not
// what stands there in the addresses of the frame.
func TestEthernetECN(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(2, nil)
		a, b := all[0], all[1]
		for _, dst := range []ether.MAC{0x3333_ff00_0002, 0x4f4f_ff00_0002 &^ 0x0100_0000_0000} {
			a.says(frameOf(dst, a.mac, dst.String()))
			want(t, "a frame", map[*station]string{b: dst.String()})
			pkt := packetTo(a.vpn, b.vpn, "film"+dst.String())
			a.says(append(a.mac.Append(dst.Append(nil)), append([]byte{0x08, 0x00}, pkt...)...))
			want(t, "a frame with a packet", map[*station]string{b: "film" + dst.String()})
		}
		if n := b.status().Drops["ce"]; n != 0 {
			t.Errorf("%d dropped for congestion", n)
		}
	})
}

// TestEthernetRestart: a member that was restarted, and that knows nothing any more,
// has its stream again soon.
func TestEthernetRestart(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(2, nil)
		a, b := all[0], all[1]
		group := netip.MustParseAddr("239.1.2.3")
		b.joins(group, false)
		a.says(film(a.mac, a.vpn, group, "film0"))
		want(t, "before", map[*station]string{b: "film0"})
		a.stop()
		a = v.stationAt(a.site, 1, nil)
		pass(2 * time.Second)
		a.says(film(a.mac, a.vpn, group, "film1"))
		want(t, "the sender was restarted", map[*station]string{b: "film1"})
	})
}

// TestEthernetNewcomer: who comes to a mesh, with the highest address of all or with
// the lowest, has tunnels to all at once, and one to each; and so have those who come
// in the same moment, soon.
func TestEthernetNewcomer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		old := []*station{v.station(2, nil), v.station(3, nil)}
		pass(time.Minute)
		for _, n := range []int{4, 1} {
			came := v.station(n, nil)
			pass(time.Second)
			for _, o := range old {
				if got := came.state(o.node); got != "ESTABLISHED" {
					t.Errorf("a second after %v has come, it and %v: %s", came.vpn, o.vpn, got)
				}
			}
			pass(time.Minute)
			if got := came.logged("New DTLS connection opened with peer"); got != len(old) {
				t.Errorf("%v has opened %d sessions, want %d", came.vpn, got, len(old))
			}
			old = append(old, came)
		}
		crowd := []*station{v.station(7, nil), v.station(6, nil), v.station(5, nil)}
		pass(2 * time.Second)
		for _, a := range crowd {
			for _, b := range append(crowd, old...) {
				if got := a.state(b.node); a != b && got != "ESTABLISHED" {
					t.Errorf("two seconds after several have come, %v and %v: %s", a.vpn, b.vpn, got)
				}
			}
			if got, want := a.logged("New DTLS connection opened with peer"), len(crowd)+len(old)-1; got != want {
				t.Errorf("%v has opened %d sessions, want %d", a.vpn, got, want)
			}
		}
	})
}

// TestEthernetMode: who carries packets and who carries frames learn that they have
// nothing to say to each other.
func TestEthernetMode(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		a := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil))
		b := v.station(2, nil)
		pass(time.Second)
		a.send(b.vpn, "hello")
		pass(10 * time.Second)
		if s := a.state(b.node); s == "ESTABLISHED" {
			t.Error("there is a tunnel")
		}
		if a.logged("mode has to be the same")+b.logged("mode has to be the same") == 0 {
			t.Errorf("nobody has said why:\n%s\n%s", a.log, b.log)
		}
	})
}
