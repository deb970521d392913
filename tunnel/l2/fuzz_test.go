package l2

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"campagnol/tunnel/l2/ether"
)

// A play runs a random script on a switch and checks what must always hold.
type play struct {
	*node
	pins  map[ether.MAC]Port
	seen  map[Port]uint64 // decisions since the port is up
	drops uint64
}

const (
	playPorts = 6
	playQuota = 3
)

func newPlay(t testing.TB, options byte) *play {
	t.Helper()
	cfg := Config{
		MAC: macTAP, Binding: Binding(options % 3), STP: options&4 != 0, OnDemand: options&8 != 0,
		MaxMACs: playQuota, MaxLocal: playQuota, MaxNeighbours: 2, Limits: Limits{Broadcast: 50, Unknown: 50, Multicast: 50},
	}
	if options&16 != 0 {
		cfg.VLANs = ether.NewVIDSet(0, 1)
	}
	p := &play{node: newNode(t, cfg, 0), pins: map[ether.MAC]Port{}, seen: map[Port]uint64{}}
	if options&32 != 0 {
		p.sw.SetGroups(memberships{film: {2, 4}, mdns: all})
	}
	return p
}

// station returns one of few addresses, of which some cannot send.
func station(b byte) ether.MAC {
	switch b % 12 {
	case 0:
		return macTAP
	case 1:
		return ether.Broadcast
	case 2:
		return ether.GroupMAC(film)
	case 3:
		return ether.BridgeGroup
	}
	return 0x020000000a00 + ether.MAC(b%12)
}

// addr returns one of few IP addresses.
func addr(b byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, b % 4}) }

// step does what the next bytes of the script say, and returns the rest.
func (p *play) step(s []byte) []byte {
	op, a, b, c := s[0], s[1], s[2], s[3]
	port := Port(a % playPorts)
	switch op % 16 {
	case 0:
		if p.sw.PortUp(port, PortOptions{}) == nil && p.seen[port] == 0 {
			p.seen[port] = 0
		}
	case 1:
		p.sw.PortDown(port)
		if port != TAP {
			delete(p.seen, port)
		}
	case 2:
		if p.sw.Pin(station(b), port) == nil {
			p.pins[station(b)] = port
		}
	case 3:
		if station(b) != macTAP {
			p.sw.Unpin(station(b))
			delete(p.pins, station(b))
		}
	case 4:
		p.wait(time.Duration(a) * time.Duration(b) * 10 * time.Millisecond)
	case 5:
		p.losing = a&1 != 0
	case 6:
		p.arrives(port, arp(station(b), ether.ARPPacket{Op: 1 + uint16(c>>7), Sender: station(c), SenderIP: addr(a), TargetIP: addr(b)}))
	case 7:
		p.arrives(port, udp4(station(b), station(c), ipL, film))
	case 8:
		p.arrives(port, tagged(plain(station(b), station(c)), ether.VID(op>>5)))
	case 9:
		p.events = p.sw.Handle(p.now, Note{Asks: Ask(op), Port: port, MAC: station(b), VID: ether.VID(c), IP: addr(c), WantedIP: addr(a)}, p.events)
	default:
		p.arrives(port, plain(station(b), station(c)))
	}
	return s[4:]
}

// arrives brings a frame and checks the decision.
func (p *play) arrives(from Port, b []byte) {
	p.t.Helper()
	up := p.sw.view.port(from) != nil
	r := p.frame(from, b)
	if up {
		p.seen[from]++
	}
	if r != Kept {
		p.drops++
	}
	d := &p.d
	if r != Kept && (len(d.Ports) > 0 || d.Snoop != SnoopNo) {
		p.t.Errorf("dropped (%v), but to %v", r, d.Ports)
	}
	if !up && r != DropNoPort {
		p.t.Errorf("from port %d, which is down: %v", from, r)
	}
	if r != Kept {
		return
	}
	twice := map[Port]bool{}
	for _, to := range d.Ports {
		if twice[to] || to == from {
			p.t.Errorf("from %d to %v", from, d.Ports)
		}
		twice[to] = true
		if from != TAP && to != TAP {
			p.t.Errorf("from peer %d to peer %d", from, to)
		}
		if p.sw.view.port(to) == nil && d.Class != ClassMulticast {
			p.t.Errorf("to port %d, which is down", to)
		}
	}
	if len(d.Ports) == 0 && d.Class != ClassAnswered && d.Class != ClassMember {
		p.t.Errorf("kept (%v), but goes nowhere", d.Class)
	}
	if owner, ok := p.pins[d.Frame.Src]; ok && owner != from {
		p.t.Errorf("from %v at port %d, which is pinned for %d", d.Frame.Src, from, owner)
	}
	if from != TAP && d.Frame.Src == macTAP {
		p.t.Error("our own address from outside")
	}
}

// check compares what the switch counts with what there is.
func (p *play) check() {
	p.t.Helper()
	v := p.sw.view
	macs, neighbours, pins, learned := map[Port]int{}, map[Port]int{}, 0, 0
	for k, e := range v.macs.all() {
		owner, pinned := p.pins[k.mac()]
		switch {
		case k.vid() == anyVID:
			pins++
		case e.fixed():
			p.t.Errorf("%v is fixed in VLAN %d", k.mac(), k.vid())
		case pinned || k.mac() == macTAP:
			p.t.Errorf("%v is learned at %d, and pinned for %d", k.mac(), e.port, owner)
		case v.port(e.port) == nil || !k.mac().CanSend() || !k.vid().Valid():
			p.t.Errorf("%v, VLAN %d, is at port %d, which is down, or cannot send", k.mac(), k.vid(), e.port)
		}
		if !e.fixed() {
			macs[e.port]++
			learned++
		}
	}
	for _, n := range v.neighbours.all() {
		neighbours[n.port]++
		learned++
	}
	if pins != len(p.pins)+1 || v.pins != pins {
		p.t.Errorf("%d pins, counted as %d, want %d", pins, v.pins, len(p.pins)+1)
	}
	for _, q := range v.ports {
		if q == nil {
			continue
		}
		if q.macs != macs[q.id] || q.macs > playQuota || q.neighbours != neighbours[q.id] || q.neighbours > 2 {
			p.t.Errorf("port %d: %d addresses counted as %d, %d pairs counted as %d", q.id, macs[q.id], q.macs, neighbours[q.id], q.neighbours)
		}
		sum := uint64(0)
		for i := range q.passed {
			sum += q.passed[i].Load()
		}
		for i := range q.drops {
			sum += q.drops[i].Load()
		}
		if sum != p.seen[q.id] {
			p.t.Errorf("port %d: %d frames, counted as %d", q.id, p.seen[q.id], sum)
		}
	}
	total := uint64(0)
	for i := range v.drops {
		total += v.drops[i].Load()
	}
	if total != p.drops {
		p.t.Errorf("%d drops, counted as %d", p.drops, total)
	}
	if waits := !p.sw.Timeout().IsZero(); !waits && learned > 0 {
		p.t.Errorf("%d things are to age, and no time is set", learned)
	}
}

// FuzzSwitch plays any script: no frame goes anywhere twice or back, none from peer to
// peer, quotas hold, what is pinned stays its owner's, and all counts agree.
func FuzzSwitch(f *testing.F) {
	f.Add(byte(0), []byte("\x00\x01\x00\x00\x00\x02\x00\x00\x0a\x01\x04\x05\x0a\x02\x05\x04\x0a\x00\x05\x06\x04\xff\xff\x00"))
	f.Add(byte(32+8), []byte("\x00\x01\x00\x00\x06\x01\x01\x85\x06\x00\x01\x06\x07\x00\x02\x06\x07\x01\x02\x05"))
	f.Add(byte(1), []byte("\x00\x01\x00\x00\x02\x02\x05\x00\x0a\x01\x06\x05\x03\x00\x05\x00\x0a\x01\x06\x05\x01\x01\x00\x00"))
	f.Add(byte(0), random(2000, 1))
	f.Add(byte(33), random(2000, 2))
	f.Fuzz(func(t *testing.T, options byte, script []byte) {
		p := newPlay(t, options)
		for i := 0; len(script) >= 4 && i < 2000; i++ {
			script = p.step(script)
			if i%16 == 0 {
				p.check()
			}
		}
		p.check()
		p.wait(2 * time.Hour) // everything has aged
		p.check()
		if at := p.sw.Timeout(); !at.IsZero() {
			t.Errorf("after everything has aged, Advance is wanted at %v", at)
		}
		for _, q := range p.sw.view.ports {
			if q != nil && (q.macs != 0 || q.neighbours != 0 || q.full.Load() || q.neighboursFull.Load()) {
				t.Errorf("port %d has %d addresses and %d pairs left", q.id, q.macs, q.neighbours)
			}
		}
	})
}

// TestPlay plays long random scripts.
func TestPlay(t *testing.T) {
	for options := range byte(64) {
		p := newPlay(t, options)
		for script := random(3000, uint64(options)+1000); len(script) > 0; {
			script = p.step(script)
		}
		p.check()
		if t.Failed() {
			t.Fatalf("with options %d", options)
		}
	}
}

// FuzzDecide brings any bytes as a frame: the frame does not change, an answer is a
// frame for who has asked, and what is said about its size is right.
func FuzzDecide(f *testing.F) {
	f.Add(whoHas(macL, ipL, ipB))
	f.Add(tagged(nd(ether.GroupMAC(ether.SolicitedNode(llB)), macL, solicit()), 7))
	f.Add(nd(macL, macB, advertise(true)))
	f.Add(igmp(macL, film, 0x16))
	f.Add(syn(ipA, ipB, 2, 2, 4, 5, 180))
	f.Add(packet(ip6A, ip6B, 17, 0, make([]byte, 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := newNode(t, Config{MAC: macTAP, OnDemand: true}, 2)
		x.sw.SetGroups(memberships{film: {2}, mdns: all})
		x.frame(2, isAt(macL, macB, ipB, ipL))
		x.frame(2, nd(macL, macB, advertise(true)))
		for _, vid := range []ether.VID{1, 7} {
			x.frame(2, tagged(nd(macL, macB, advertise(true)), vid))
		}
		orig := bytes.Clone(b)
		for _, from := range []Port{1, 2, TAP} {
			if r := x.frame(from, b); r == Kept && from != TAP && x.d.Class != ClassMember && ports(x.d.Ports) != "tap" {
				t.Errorf("from %d to %v", from, x.d.Ports)
			}
		}
		if x.d.Class == ClassAnswered {
			checkAnswer(t, x.d.Frame, x.d.AppendAnswer(nil, b))
		}
		h, err := ether.Parse(b)
		if err != nil {
			return
		}
		if m := AppendTooBig(nil, b, &h, 1400); len(m) > 0 {
			checkAnswer(t, h, m)
		}
		if !bytes.Equal(b, orig) {
			t.Error("the frame has changed")
		}
		changed := ClampMSS(b, &h, 600)
		if len(b) != len(orig) || changed == bytes.Equal(b, orig) {
			t.Errorf("changed %v:\n%x,\n%x", changed, orig, b)
		}
		if ClampMSS(b, &h, 600) {
			t.Error("lowered twice")
		}
	})
}

// checkAnswer checks that m is a frame for who has sent one with the header asked.
func checkAnswer(t *testing.T, asked ether.Frame, m []byte) {
	t.Helper()
	h, err := ether.Parse(m)
	if err != nil || h.Dst != asked.Src || h.Type != asked.Type || h.VID != asked.VID || h.Tags != asked.Tags || h.Src == asked.Src && asked.Dst != asked.Src {
		t.Errorf("%+v, %v: an answer to %+v", h, err, asked)
	}
	if h.Type == ether.ARP {
		return
	}
	if ip, ok := ether.ParseIP(m, &h); !ok || ip.Version == 6 && ether.ChecksumICMPv6(ip.Src, ip.Dst, m[ip.Body:ip.End]) != 0 {
		t.Errorf("the answer is no packet, or has a wrong checksum: %x", m)
	}
}
