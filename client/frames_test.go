package client

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/tunnel"
	"campagnol/tunnel/l2/ether"
)

// narrow makes what s sends get lost if it is larger than mtu, and makes s hear of it.
func (s *station) narrow(to *station, mtu int) {
	s.t.Helper()
	s.site.SetLinks(simnet.Link{MTU: mtu}, simnet.Link{})
	s.on(func(now time.Time) {
		s.client.handlePathError(now, punch.PathError{Addr: s.client.peers[to.vpn].at.Addr, Err: syscall.EMSGSIZE, MTU: mtu})
	})
}

// on has the control goroutine of s do something.
func (s *station) on(f func(now time.Time)) {
	s.t.Helper()
	if err := s.client.do(s.t.Context(), f); err != nil {
		s.t.Fatal(err)
	}
}

// long returns a text of n bytes that nothing else begins like.
func long(number, n int) string { return fmt.Sprintf("%d-%s", number, strings.Repeat("x", n-2)) }

// TestFragments: a frame that is larger than the path passes in parts if both ends are
// to, and else not at all; the sender has counted it then.
func TestFragments(t *testing.T) {
	for _, c := range []struct {
		name   string
		of, at bool // who is to
		passes bool
	}{
		{"both", true, true, true}, {"the sender alone", true, false, false}, {"the receiver alone", false, true, false}, {"nobody", false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				t := v.t
				v.ourServer(rdv.Strict)
				a := v.station(1, func(e *Ethernet) { e.Fragment = c.of })
				b := v.station(2, func(e *Ethernet) { e.Fragment = c.at })
				pass(8 * time.Second)
				a.narrow(b, 800)
				for i, size := range []int{300, 1300, 1378} {
					text := long(i, size)
					for _, dst := range []ether.MAC{b.mac, ether.Broadcast} {
						a.says(frameOf(dst, a.mac, text))
						if !c.passes && size > 800 {
							want(t, fmt.Sprintf("%d bytes to %v", size, dst), map[*station]string{b: ""})
						} else {
							want(t, fmt.Sprintf("%d bytes to %v", size, dst), map[*station]string{b: text})
						}
					}
				}
				if got := a.status().Drops["too_big"]; (got == 4) == c.passes {
					t.Errorf("%d frames are counted as too big", got)
				}
				b.says(frameOf(a.mac, b.mac, long(7, 1300))) // the other way is wide
				want(t, "back", map[*station]string{a: long(7, 1300)})
			})
		})
	}
}

// TestFragmentHostile: parts that fit nothing, lie or never become whole cost what is
// bounded, and do not keep good ones away.
func TestFragmentHostile(t *testing.T) {
	inBubble(t, func(v *vpn) {
		t := v.t
		v.ourServer(rdv.Strict)
		takes := func(e *Ethernet) { e.Fragment = true }
		a, b, c := v.station(1, takes), v.station(2, nil), v.station(3, takes)
		pass(8 * time.Second)
		part := func(number uint32, index, count byte, length uint16, body string) []byte {
			b := c.client.peers[a.vpn].session.FragmentHead(nil)
			b = append(binary.BigEndian.AppendUint32(b, number), index, count)
			return append(binary.BigEndian.AppendUint16(b, length), body...)
		}
		whole := string(frameOf(ether.Broadcast, a.mac, "forged"))
		lies := [][]byte{
			part(1, 0, 0, 10, "x"), part(1, 0, 65, 10, "x"), part(1, 9, 3, 10, "xxxx"), part(1, 0, 2, 0, ""), part(1, 0, 2, 65535, "short"),
			part(2, 0, 1, uint16(len(whole)), whole), part(2, 0, 1, 5, "frame"), part(2, 0, 1, 1, "x"), part(3, 0, 1, 65535, strings.Repeat("x", 1300)),
			part(4, 0, 2, 20, "0123456789")[:9], part(4, 0, 2, 20, "")[:7],
		}
		for i := range 300 { // never whole
			lies = append(lies, part(uint32(100+i), byte(i%2), 2, 2600, strings.Repeat("x", 1300)))
		}
		for _, to := range []*station{a, b} {
			before := to.status().Drops["switch"]
			for _, l := range lies[:11] {
				c.lies(to, l)
			}
			if got := to.status().Drops["switch"] - before; got < 9 {
				t.Errorf("%v has counted %d of what fits nothing", to.vpn, got)
			}
			for _, l := range lies[11:] {
				c.lies(to, l)
			}
		}
		want(t, "parts of a liar", map[*station]string{a: "", b: ""})
		if got, limit := a.status().Drops["switch"], uint64(len(lies)); got > limit {
			t.Errorf("%d frames are counted, of %d parts", got, limit)
		}
		own := string(frameOf(ether.Broadcast, c.mac, "in-parts"))
		for _, to := range []*station{a, b} {
			c.lies(to, part(9999, 0, 2, uint16(len(own)), own[:len(own)/2]))
			c.lies(to, part(9999, 1, 2, uint16(len(own)), own[len(own)/2:]))
		}
		want(t, "parts to who takes them, and who does not", map[*station]string{a: "in-parts", b: ""})
		c.narrow(a, 800)
		c.says(frameOf(a.mac, c.mac, long(1, 1300)))
		want(t, "good parts afterwards", map[*station]string{a: long(1, 1300)})
	})
}

// udpFrame returns a frame with a packet of size bytes that must not be cut, with the
// text in it.
func udpFrame(from, to *station, v6 bool, size int, text string) []byte {
	head := from.mac.Append(to.mac.Append(nil))
	if !v6 {
		pkt := packetTo(from.vpn, to.vpn, text+strings.Repeat("x", size-28-len(text)))
		pkt[6] |= 0x40
		return append(append(head, 0x08, 0x00), pkt...)
	}
	pkt := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(size-40))
	pkt = append(pkt, 17, 64)
	for _, s := range []*station{from, to} {
		addr := netip.MustParseAddr("fd00::").As16()
		addr[15] = s.vpn.As4()[3]
		pkt = append(pkt, addr[:]...)
	}
	pkt = binary.BigEndian.AppendUint16(append(pkt, 0, 9, 0, 9), uint16(size-40))
	pkt = append(append(pkt, 0, 0), text+strings.Repeat("x", size-48-len(text))...)
	return append(append(head, 0x86, 0xdd), pkt...)
}

// told returns what MTU the system of s was told, of IPv4 and IPv6; 0: none.
func (s *station) told() (v4, v6 int) {
	s.t.Helper()
	for {
		select {
		case b := <-s.dev.Delivered():
			f, err := ether.Parse(b)
			if err != nil {
				s.t.Fatal(err)
			}
			pkt := b[f.Net:]
			switch {
			case f.Type == ether.IPv4 && pkt[9] == 1 && pkt[20] == 3 && pkt[21] == 4: // RFC 1191
				v4 = int(binary.BigEndian.Uint16(pkt[26:]))
			case f.Type == ether.IPv6 && pkt[6] == 58 && pkt[40] == 2: // RFC 4443 section 3.2
				v6 = int(binary.BigEndian.Uint32(pkt[44:]))
			}
		default:
			return v4, v6
		}
	}
}

// synFrame returns a frame that opens a TCP connection and takes segments of mss bytes.
func synFrame(from, to *station, mss uint16) []byte {
	b := from.mac.Append(to.mac.Append(nil))
	b = append(b, 0x08, 0x00)
	b = append(b, packetTo(from.vpn, to.vpn, strings.Repeat("\x00", 16))...)
	b[14+9] = 6 // TCP
	tcp := b[34:]
	clear(tcp)
	tcp[12], tcp[13] = 6<<4, 2 // 24 bytes, SYN
	tcp[20], tcp[21], tcp[22], tcp[23] = 2, 4, byte(mss>>8), byte(mss)
	return b
}

// TestEthernetMSS: over a path that is known to be small, TCP is asked for segments that
// fit, in both directions, by the end that knows it.
func TestEthernetMSS(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(2, nil)
		a, b := all[0], all[1]
		mss := func(s *station) (got int) {
			t.Helper()
			for {
				select {
				case f := <-s.dev.Delivered():
					if len(f) == len(synFrame(a, b, 0)) && f[14+9] == 6 {
						got = int(f[34+22])<<8 | int(f[34+23])
					}
				default:
					return got
				}
			}
		}
		for _, narrow := range []bool{false, true} {
			want := 1352
			if narrow {
				a.narrow(b, 1200)
			}
			a.says(synFrame(a, b, 1352))
			out := mss(b)
			b.says(synFrame(b, a, 1352))
			in := mss(a)
			if narrow { // 1200 less IP and UDP (28), record with its ID (42), frame, IP and TCP (54)
				want = 1200 - 28 - 42 - 54
			}
			if out != want || in != want {
				t.Errorf("narrow %v: segments of %d to the peer and %d from it, want %d", narrow, out, in, want)
			}
		}
	})
}

// TestEthernetTooBig: who sends a packet in a frame that is larger than the path is told
// what fits, and that does. Nobody is told about other frames, and about those to all.
func TestEthernetTooBig(t *testing.T) {
	inBubble(t, func(v *vpn) {
		t := v.t
		all := v.mesh(2, nil)
		a, b := all[0], all[1]
		a.narrow(b, 1400)
		a.told()
		for _, v6 := range []bool{false, true} {
			a.says(udpFrame(a, b, v6, 1390, "film"))
			v4, of6 := a.told()
			mtu, other := v4, of6
			if v6 {
				mtu, other = of6, v4
			}
			if mtu < 1280 || mtu >= 1390 || other != 0 {
				t.Fatalf("IPv6 %v: told that %d bytes fit, and %d of the other", v6, mtu, other)
			}
			a.says(udpFrame(a, b, v6, mtu, "film"))
			if got := b.hears(); len(got) != 1 {
				t.Errorf("IPv6 %v: a packet of %d bytes has not come", v6, mtu)
			}
			a.says(udpFrame(a, b, v6, mtu+1, "film"))
			if got := b.hears(); len(got) != 0 {
				t.Errorf("IPv6 %v: a packet of %d bytes has come", v6, mtu+1)
			}
			a.told()
		}
		a.says(frameOf(b.mac, a.mac, long(1, 1390)))
		f := udpFrame(a, b, false, 1390, "film")
		copy(f, ether.Broadcast.Append(nil))
		a.says(f)
		if v4, v6 := a.told(); v4 != 0 || v6 != 0 {
			t.Errorf("told %d and %d about what nobody is to be told of", v4, v6)
		}
		if n := a.status().Drops["too_big"]; n != 6 {
			t.Errorf("%d are counted as too big, want 6", n)
		}
	})
}

// TestEthernetPolicy: what the policy denies of the packets in frames does not leave, and
// does not arrive from who lets it; what is no packet passes.
func TestEthernetPolicy(t *testing.T) {
	inBubble(t, func(v *vpn) {
		t := v.t
		all := v.mesh(2, nil)
		a, b := all[0], all[1]
		udp := func(port uint16, text string) []byte {
			pkt := packetTo(a.vpn, b.vpn, text)
			binary.BigEndian.PutUint16(pkt[22:], port)
			binary.BigEndian.PutUint16(pkt[24:], uint16(len(pkt)-20))
			return append(append(a.mac.Append(b.mac.Append(nil)), 0x08, 0x00), pkt...)
		}
		for _, s := range []*station{a, b} {
			before := s.filtered()
			s.obey(onlyDNS)
			pass(8 * time.Second)
			b.hears()
			a.says(udp(53, "film-dns"))
			want(t, "allowed", map[*station]string{b: "film-dns"})
			a.says(udp(54, "film-other"))
			a.says(frameOf(b.mac, a.mac, "no-packet"))
			want(t, "denied", map[*station]string{b: "no-packet"})
			if n := s.filtered() - before; n != 1 {
				t.Errorf("%v has filtered %d, want 1", s.vpn, n)
			}
			s.obey("")
			pass(8 * time.Second)
			a.says(udp(54, "film-again"))
			want(t, "without a policy", map[*station]string{b: "film-again"})
		}
	})
}

// TestEthernetRekey: fresh keys change nothing for frames, parts of them and groups.
func TestEthernetRekey(t *testing.T) {
	inBubble(t, func(v *vpn) {
		t := v.t
		all := v.mesh(2, func(e *Ethernet) { e.Fragment = true })
		a, b := all[0], all[1]
		for _, s := range all {
			set := s.client.set
			set.RekeyTime = time.Minute
			if err := s.client.Apply(t.Context(), set); err != nil {
				t.Fatal(err)
			}
		}
		pass(8 * time.Second)
		group := netip.MustParseAddr("239.1.2.3")
		b.joins(group, false)
		a.narrow(b, 1200)
		a.hears()
		b.hears()
		for i := range 100 {
			a.says(frameOf(b.mac, a.mac, long(i%10, 1300)))
			a.says(film(a.mac, a.vpn, group, "film"))
			b.says(frameOf(a.mac, b.mac, "back"))
			want(t, fmt.Sprint("round ", i), map[*station]string{a: "back", b: long(i%10, 1300) + " film"})
			pass(2 * time.Second)
		}
		if p := a.peer(b.node); p.Rekeys < 2 || p.Protocol != tunnel.FrameProtocolName {
			t.Errorf("%d fresh keys in four minutes, protocol %s", p.Rekeys, p.Protocol)
		}
	})
}
