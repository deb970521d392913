package l2

import (
	"net/netip"

	"campagnol/tunnel/l2/ether"
)

// asksARP reports whether a broadcast from the TAP is a question whose answer is
// known. Who asks whether an address is free, or says which one it has, is to be
// heard by all (RFC 5227).
func (v *View) asksARP(at Stamp, p *port, b []byte, d *Decision) bool {
	a, err := ether.ParseARP(b[d.Frame.Net:])
	if err != nil || a.Op != ether.ARPRequest || a.IsProbe() || a.IsGratuitous() || a.Sender != d.Frame.Src {
		return false
	}
	return v.answers(at, p, d, a.TargetIP)
}

// asksND reports whether a multicast from the TAP is a question whose answer is
// known.
func (v *View) asksND(at Stamp, p *port, b []byte, ip *ether.IP, d *Decision) bool {
	n, err := ether.ParseND(b, ip)
	if err != nil || n.Advertisement || n.IsProbe() || n.MAC != d.Frame.Src {
		return false
	}
	return v.answers(at, p, d, n.Target)
}

// answers reports whether it is known who has an address; if not, somebody wants to
// know.
func (v *View) answers(at Stamp, p *port, d *Decision, a netip.Addr) bool {
	if n := v.neighbour(d.Frame.VID, a); n != nil && !v.NoSuppression && v.holds(at, d, n) {
		d.answer = n
		return true
	}
	v.wantIP(at, p, d, a, 0, TAP)
	return false
}

// holds reports whether what is known of a neighbour still holds: nothing else is
// known about where its MAC is. Nobody is told his own address.
func (v *View) holds(at Stamp, d *Decision, n *neighbour) bool {
	e := v.find(d.Frame.VID, n.mac)
	return e != nil && e.port == n.port && v.port(n.port) != nil &&
		n.mac != d.Frame.Src && !aged(&n.seen, at, v.NeighbourAge)
}

// AppendAnswer appends to b the frame that answers the question in frame, which the
// decision d of ClassAnswered is about. It is to be written to the TAP. It says what
// the neighbour itself would.
func (d *Decision) AppendAnswer(b, frame []byte) []byte {
	f, n := &d.Frame, d.answer
	if n == nil {
		return b
	}
	b = f.AppendReply(b, frame, f.Src, n.mac, f.Type)
	if f.Type == ether.ARP {
		q, _ := ether.ParseARP(frame[f.Net:])
		a := ether.ARPPacket{Op: ether.ARPReply, Sender: n.mac, SenderIP: q.TargetIP, Target: q.Sender, TargetIP: q.SenderIP}
		return a.Append(b)
	}
	ip, _ := ether.ParseIP(frame, f)
	q, _ := ether.ParseND(frame, &ip)
	a := ether.Neighbour{
		Advertisement: true, Src: q.Target, Dst: q.Src, Target: q.Target, MAC: n.mac,
		// A host that hears that its router is none any more drops its routes
		// (RFC 4861 section 7.2.5).
		Router: n.router, Solicited: true, Override: true,
	}
	return a.Append(b)
}

// want notes that there is no surely known way to the station that a frame is for.
func (v *View) want(at Stamp, p *port, b []byte, d *Decision, owner Port) {
	if !v.onDemand {
		return
	}
	var a netip.Addr
	if ip, ok := ether.ParseIP(b, &d.Frame); ok && !ip.Dst.IsMulticast() {
		a = ip.Dst
	}
	v.wantIP(at, p, d, a, d.Frame.Dst, owner)
}

func (v *View) wantIP(at Stamp, p *port, d *Decision, a netip.Addr, m ether.MAC, owner Port) {
	if v.onDemand && p.wanting.take(at, v.wantPace) {
		d.Note.Asks |= AskWant
		d.Note.Wanted, d.Note.WantedIP, d.Note.WantedPort = m, a, owner
	}
}

// claims decides whether a frame from a peer may have the IP addresses that it has,
// and notes what it says about who has which.
func (v *View) claims(at Stamp, p *port, b []byte, d *Decision) Drop {
	f := &d.Frame
	switch f.Type {
	case ether.ARP:
		a, err := ether.ParseARP(b[f.Net:])
		switch {
		case err != nil:
			// Some kernels understand more kinds of ARP than are known here.
			return p.unclear()
		case !p.mayHave(a.SenderIP):
			d.Note.IP = a.SenderIP
			return DropAddress
		case (a.Op == ether.ARPReply || a.IsGratuitous()) && a.Sender == f.Src:
			v.told(at, p, d, a.SenderIP, false)
		}
	case ether.IPv4, ether.IPv6:
		if p.opts.Addrs == nil && !ether.MayBeND(b, f) {
			return Kept
		}
		ip, ok := ether.ParseIP(b, f)
		if ok && !p.mayHave(ip.Src) {
			d.Note.IP = ip.Src
			return DropAddress
		}
		switch {
		case ok && ether.IsND(b, &ip):
			return v.advertised(at, p, b, &ip, d)
		case ip.Unread():
			return p.unclear()
		}
	}
	return Kept
}

// unclear decides about a frame that may claim an address in a way that is not
// understood.
func (p *port) unclear() Drop {
	if p.opts.Addrs == nil {
		return Kept
	}
	return DropAddress
}

// advertised decides about a message of neighbour discovery from a peer.
func (v *View) advertised(at Stamp, p *port, b []byte, ip *ether.IP, d *Decision) Drop {
	n, err := ether.ParseND(b, ip)
	switch {
	case err != nil || !n.Advertisement: // receivers ignore the former
	case !p.mayHave(n.Target):
		d.Note.IP = n.Target
		return DropAddress
	case n.MAC == d.Frame.Src:
		v.told(at, p, d, n.Target, n.Router)
	}
	return Kept
}

// mayHave reports whether packets of a peer may be from a. Who asks for an address,
// or whether it is free, has none yet.
func (p *port) mayHave(a netip.Addr) bool {
	if p.opts.Addrs == nil || a.IsUnspecified() || a.Is6() && a.IsLinkLocalUnicast() {
		return true
	}
	for i := range p.opts.Addrs {
		if p.opts.Addrs[i].Contains(a) {
			return true
		}
	}
	return false
}

// told notes that a peer has said that the frame's source has the address a.
func (v *View) told(at Stamp, p *port, d *Decision, a netip.Addr, router bool) {
	if v.NoSuppression || !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return
	}
	n := v.neighbour(d.Frame.VID, a)
	if n != nil && n.mac == d.Frame.Src && n.port == p.id && n.router == router {
		touch(&n.seen, at)
		return
	}
	if n == nil && p.neighboursFull.Load() || !p.learning.take(at, v.learnPace) {
		return
	}
	d.Note.Asks |= AskNeighbour
	d.Note.IP, d.Note.Router = a, router
}
