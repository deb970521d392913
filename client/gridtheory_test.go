package client

import (
	"testing"

	"campagnol/punch/nat"
	"campagnol/punch/simnet"
)

// The theory of direct paths: what NATs do by RFC 4787, and nothing else. There is no
// time in it, nothing is lost, and nobody has ports by number: one that nobody has been
// told is a name of its own, which cannot be guessed. So whatever two sides can ever know
// and do is found by letting each send to all that it knows, over and over, until nothing
// new happens. It shares no code with the simulated network.

// A mark is an endpoint of the theory.
type mark struct{ addr, port int }

// seen returns as much of m as d looks at.
func (m mark) seen(d nat.Dependence) mark {
	switch d {
	case nat.EndpointIndependent:
		return mark{}
	case nat.AddressDependent:
		return mark{addr: m.addr}
	}
	return m
}

// A theory is a network: NATs in NATs, and hosts. Address 0 is nobody's.
type theory struct {
	last  int // address or port that was named
	hosts []*theoryHost
	boxes []*theoryBox
}

func (y *theory) name() int { y.last++; return y.last }

// A theoryBox is a NAT. behind is the one that it is in; nil: the Internet.
type theoryBox struct {
	y        *theory
	nat      simnet.NAT
	addr     int
	behind   *theoryBox
	mappings map[[2]mark]*theoryMapping // by inside and what of the remote matters
	shared   map[mark]int               // ports of an overloading NAT, which keeps one for each host
}

// A theoryMapping is what a NAT has made of a flow.
type theoryMapping struct {
	inside mark
	port   int
	admits map[mark]bool // what of remotes that were sent to the filter looks at
}

// A theoryHost is a client, or the RDV.
type theoryHost struct {
	at     mark
	behind *theoryBox
	told   mark          // where the RDV sees it
	knows  map[mark]bool // places of the peer
}

func (y *theory) box(n simnet.NAT, behind *theoryBox) *theoryBox {
	x := &theoryBox{y: y, nat: n, addr: y.name(), behind: behind, mappings: map[[2]mark]*theoryMapping{}, shared: map[mark]int{}}
	y.boxes = append(y.boxes, x)
	return x
}

func (y *theory) host(behind *theoryBox) *theoryHost {
	h := &theoryHost{at: mark{y.name(), y.name()}, behind: behind, knows: map[mark]bool{}}
	y.hosts = append(y.hosts, h)
	return h
}

// outbound translates a packet from inside, and opens the filter for its answers.
func (x *theoryBox) outbound(src, dst mark) mark {
	key := [2]mark{src, dst.seen(x.nat.Mapping)}
	if x.nat.Ports == nat.Overloading {
		key[1] = dst
	}
	m := x.mappings[key]
	if m == nil {
		m = &theoryMapping{inside: src, port: x.shared[src], admits: map[mark]bool{}}
		if m.port == 0 {
			m.port = x.y.name()
		}
		if x.nat.Ports == nat.Overloading {
			x.shared[src] = m.port
		}
		x.mappings[key] = m
	}
	m.admits[dst.seen(x.nat.Filtering)] = true
	return mark{x.addr, m.port}
}

// inbound returns where inside a packet goes.
func (x *theoryBox) inbound(src mark, port int) (inside mark, ok bool) {
	for _, m := range x.mappings {
		if m.port == port && m.admits[src.seen(x.nat.Filtering)] {
			return m.inside, true
		}
	}
	return mark{}, false
}

// local returns whose address is known in the network behind x.
func (y *theory) local(x *theoryBox, addr int) (h *theoryHost, inner *theoryBox) {
	for _, h := range y.hosts {
		if h.behind == x && h.at.addr == addr {
			return h, nil
		}
	}
	for _, b := range y.boxes {
		if b.behind == x && b.addr == addr {
			return nil, b
		}
	}
	return nil, nil
}

// send has h send to dst. It returns who gets it, and from where by what it sees; nil:
// nobody. public is the source as it left the last NAT on its way up.
func (y *theory) send(h *theoryHost, dst mark) (to *theoryHost, src, public mark) {
	src, public = h.at, h.at
	at := h.behind
	for { // up
		if to, inner := y.local(at, dst.addr); to != nil || inner != nil {
			return y.down(at, src, dst), src, public
		}
		if at == nil {
			return nil, src, public
		}
		public = at.outbound(src, dst)
		if dst.addr == at.addr {
			inside, ok := at.inbound(public, dst.port)
			if at.nat.Hairpin == nat.NoHairpinning || !ok {
				return nil, src, public
			}
			if at.nat.Hairpin == nat.ExternalSource {
				src = public
			}
			return y.down(at, src, inside), src, public
		}
		src, at = public, at.behind
	}
}

// down delivers a packet whose destination is known in the network behind x.
func (y *theory) down(x *theoryBox, src, dst mark) *theoryHost {
	to, inner := y.local(x, dst.addr)
	if inner == nil {
		if to != nil && to.at != dst {
			return nil
		}
		return to
	}
	inside, ok := inner.inbound(src, dst.port)
	if !ok {
		return nil
	}
	return y.down(inner, src, inside)
}

// theoryRounds is how often each side sends to all that it knows: after four nothing new
// can happen but that ever new ports call for ever new ones.
const theoryRounds = 6

// meet reports whether two hosts find a path: places where each gets what the other
// sends, from where it sends itself. With guess, one of them also sends to all ports that
// the other's NATs take for it: it is that one who is found, where it sends anyhow.
func (y *theory) meet(a, b *theoryHost, guess *theoryHost) bool {
	for range theoryRounds {
		for _, pair := range [][2]*theoryHost{{a, b}, {b, a}} {
			from, peer := pair[0], pair[1]
			places := make([]mark, 0, len(from.knows))
			for p := range from.knows {
				places = append(places, p)
			}
			for _, p := range places {
				to, src, public := y.send(from, p)
				if peer == guess && p == peer.told {
					guess.knows[public] = true
				}
				if to != peer {
					continue
				}
				peer.knows[src] = true
				if back, source, _ := y.send(peer, src); back == from && source == p {
					return true
				}
			}
		}
	}
	return false
}

// hard reports whether the RDV sees another endpoint of h than others do: one of its NATs
// takes another port for each place. One that overloads ports takes the same again.
func (h *theoryHost) hard() bool {
	for x := h.behind; x != nil; x = x.behind {
		if x.nat.Mapping != nat.EndpointIndependent && x.nat.Ports != nat.Overloading {
			return true
		}
	}
	return false
}

// outcome is what theory says of a cell.
type outcome uint8

const (
	never    outcome = iota // there is no path
	guessed                 // ports have to be guessed
	answered                // no port that anybody is told of helps, but those that answers come from
	easy                    // ordinary punching does it
)

func (o outcome) String() string {
	return [...]string{"no path", "a guessed path", "a path by answers", "a path"}[o]
}

// expect returns what becomes of a cell.
//
// IPv6 is not translated. A firewall lets in what was sent to, and so two that punch at
// the same time get in, whatever it looks at. All that is needed is that each is told of
// the other's address: by the RDV, which both reach by IPv6, or by the hosts themselves.
// What is below is about IPv4.
func (c gridCell) expect() outcome {
	if c.family == onlyIPv6 || c.family == bothFamilies && c.hosts {
		return easy
	}
	for _, guess := range []bool{false, true} {
		y, a, b := c.introduced()
		var guesser *theoryHost
		switch {
		case !guess:
		case a.hard() == b.hard(): // nobody knows who is to guess
			return never
		case a.hard():
			guesser = b
		default:
			guesser = a
		}
		if y.meet(a, b, guesser) {
			switch {
			case guess:
				return guessed
			case a.hard() && b.hard() && !(c.hosts && a.behind == b.behind):
				return answered
			}
			return easy
		}
	}
	return never
}

// guessable reports whether a path could be guessed if one side took the other's NAT for
// the harder one: where packets are lost, that is not always found out right.
func (c gridCell) guessable() bool {
	for side := range 2 {
		y, a, b := c.introduced()
		if y.meet(a, b, []*theoryHost{a, b}[side]) {
			return true
		}
	}
	return false
}

// introduced returns the theory of a cell whose hosts know what the RDV tells them.
func (c gridCell) introduced() (y *theory, a, b *theoryHost) {
	y = &theory{}
	rdv := y.host(nil)
	a, b = c.populate(y)
	for _, h := range []*theoryHost{a, b} {
		_, _, h.told = y.send(h, rdv.at)
	}
	for _, pair := range [][2]*theoryHost{{a, b}, {b, a}} {
		pair[0].knows[pair[1].told] = true
		if c.hosts && pair[0].told.addr == pair[1].told.addr {
			pair[0].knows[pair[1].at] = true // the RDV tells private addresses where they may mean something
		}
	}
	return y, a, b
}

// falsePath reports whether one side may hear the other at a place where it is not heard:
// it is behind a hard NAT whose filter lets in what comes to the port that the RDV sees,
// and what it answers comes from another port, which the other side may not let in. It
// takes that for a path until its ClientHello is not answered.
func (c gridCell) falsePath() bool {
	y, a, b := c.introduced()
	for range 2 { // so that filters are open
		y.send(a, b.told)
		y.send(b, a.told)
	}
	for _, pair := range [][2]*theoryHost{{a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		if heard, src, _ := y.send(from, to.told); heard == to {
			if back, source, _ := y.send(to, src); back != from || source != to.told {
				return true
			}
		}
	}
	return false
}

// populate puts NATs and hosts of the cell into a theory.
func (c gridCell) populate(y *theory) (a, b *theoryHost) {
	switch c.place {
	case shared:
		home := y.box(c.a, nil)
		return y.host(home), y.host(home)
	case doubled:
		return y.host(y.box(c.a, y.box(c.outer, nil))), y.host(y.box(c.b, nil))
	case carrier:
		outer := y.box(c.outer, nil)
		return y.host(y.box(c.a, outer)), y.host(y.box(c.b, outer))
	}
	return y.host(y.box(c.a, nil)), y.host(y.box(c.b, nil))
}

// TestTheory: for two NATs apart the theory says what can be argued without it.
func TestTheory(t *testing.T) {
	for _, a := range gridNATs(nat.NoHairpinning) {
		for _, b := range gridNATs(nat.NoHairpinning) {
			got := gridCell{a: a, b: b}.expect()
			// An overloading NAT is seen at one port, whatever it is called.
			plain := func(n simnet.NAT) simnet.NAT {
				if n.Ports == nat.Overloading {
					n.Mapping = nat.EndpointIndependent
				}
				return n
			}
			want := never
			switch hardA, hardB := plain(a).Mapping != nat.EndpointIndependent, plain(b).Mapping != nat.EndpointIndependent; {
			case opens(plain(a), plain(b)) && hardA && hardB:
				want = answered
			case opens(plain(a), plain(b)):
				want = easy
			case hardA != hardB:
				want = guessed
			}
			if got != want {
				t.Errorf("%v - %v: %v, want %v", a, b, got, want)
			}
		}
	}
	lan := gridCell{place: shared, a: portRestricted}
	both := gridCell{place: carrier, a: portRestricted, b: portRestricted, outer: portRestricted}
	for _, c := range []struct {
		name string
		cell gridCell
		hp   nat.Hairpin
		want outcome
	}{
		{"one LAN, which nobody knows of, no hairpin", lan, nat.NoHairpinning, never},
		{"one LAN, hairpin", lan, nat.ExternalSource, easy},
		{"one LAN, hairpin from inside", lan, nat.InternalSource, easy},
		{"one carrier, no hairpin", both, nat.NoHairpinning, never},
		{"one carrier, hairpin", both, nat.ExternalSource, easy},
		{"one carrier, hairpin from where nobody has sent to", both, nat.InternalSource, never},
	} {
		c.cell.outer.Hairpin, c.cell.a.Hairpin = c.hp, c.hp
		if got := c.cell.expect(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	lan.hosts = true
	if got := lan.expect(); got != easy {
		t.Errorf("one LAN that hosts tell of: %v", got)
	}
}
