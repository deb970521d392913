package client

import (
	"context"
	"fmt"
	"hash/fnv"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// A gridPlace says how the NATs of two clients lie to each other.
type gridPlace uint8

const (
	apart   gridPlace = iota // each has its own
	shared                   // both are in one LAN, behind a
	doubled                  // a's is behind outer
	carrier                  // those of both are behind outer
)

func (p gridPlace) String() string { return [...]string{"apart", "shared", "doubled", "carrier"}[p] }

// A gridFamily says which families hosts have, and over which they register.
type gridFamily uint8

const (
	onlyIPv4 gridFamily = iota
	onlyIPv6
	bothFamilies // IPv4 for the RDV
)

func (f gridFamily) String() string { return [...]string{"IPv4", "IPv6", "both"}[f] }

// A gridCell is two clients that have to find each other, or cannot.
type gridCell struct {
	place       gridPlace
	a, b, outer simnet.NAT
	wall        simnet.Firewall // for IPv6
	family      gridFamily
	hosts       bool // they tell the addresses of their interfaces
	noise       int  // per cent of the packets that are lost; as many come twice, or late
}

// String names the cell.
func (c gridCell) String() string {
	in := func(n simnet.NAT) string { return fmt.Sprintf("%d%d%v%d", n.Mapping, n.Filtering, n.Ports, n.Hairpin) }
	return fmt.Sprintf("%v,%v,%s,%s,%s,wall%d,hosts=%v,noise=%d", c.place, c.family, in(c.a), in(c.b), in(c.outer), c.wall.Filtering, c.hosts, c.noise)
}

// hash is the same number for a cell in every run.
func (c gridCell) hash() uint64 {
	h := fnv.New64a()
	h.Write([]byte(c.String()))
	return h.Sum64()
}

// gridNATs returns NATs of all behaviours. One that overloads ports looks to a host as if
// its mapping depended on nothing.
func gridNATs(h nat.Hairpin) (list []simnet.NAT) {
	for _, n := range simnet.Grid() {
		if n.Hairpin == h && (n.Ports != nat.Overloading || n.Mapping == nat.EndpointIndependent) {
			list = append(list, n)
		}
	}
	return list
}

// homeNATs are those of the homes in networks with more than two NATs.
func homeNATs() (list []simnet.NAT) {
	for _, n := range gridNATs(nat.NoHairpinning) {
		if n.Ports == nat.Random {
			list = append(list, n)
		}
	}
	return list
}

// gridCells yields all cells.
func gridCells() iter.Seq[gridCell] {
	return func(yield func(gridCell) bool) {
		for c := range gridPlaces() {
			noises := []int{0, 10, 30}
			if c.place > shared {
				noises = []int{0, 30}
			}
			for _, family := range []gridFamily{onlyIPv4, bothFamilies} {
				for _, hosts := range []bool{false, true} {
					if family == onlyIPv4 && !hosts && (c.place == apart || c.place == doubled) {
						continue // nobody is told of private addresses anyhow
					}
					for _, noise := range noises {
						c.family, c.hosts, c.noise = family, hosts, noise
						c.wall.Filtering = nat.Dependence(c.hash() % 3)
						if !yield(c) {
							return
						}
					}
				}
			}
		}
		for _, place := range []gridPlace{apart, shared} {
			for _, wall := range dependences {
				for _, hosts := range []bool{false, true} {
					for _, noise := range []int{0, 10, 30} {
						if !yield(gridCell{place: place, family: onlyIPv6, wall: simnet.Firewall{Filtering: wall}, hosts: hosts, noise: noise}) {
							return
						}
					}
				}
			}
		}
	}
}

// gridPlaces yields all places for two clients with IPv4.
func gridPlaces() iter.Seq[gridCell] {
	return func(yield func(gridCell) bool) {
		for _, a := range gridNATs(nat.NoHairpinning) {
			for _, b := range gridNATs(nat.NoHairpinning) {
				if !yield(gridCell{place: apart, a: a, b: b}) {
					return
				}
			}
		}
		for h := nat.NoHairpinning; h <= nat.InternalSource; h++ {
			for _, outer := range gridNATs(h) {
				if !yield(gridCell{place: shared, a: outer}) {
					return
				}
				for i, a := range homeNATs() {
					for j, b := range homeNATs() {
						if h == nat.NoHairpinning && !yield(gridCell{place: doubled, a: a, b: b, outer: outer}) ||
							i <= j && meetable(h, a, b) && !yield(gridCell{place: carrier, a: a, b: b, outer: outer}) {
							return
						}
					}
				}
			}
		}
	}
}

// meetable reports whether two homes behind a carrier's NAT are in the grid. Where that NAT
// breaks REQ-9 of RFC 4787, and shows neighbours each other's inner addresses, a hard NAT
// at home would have to be found at one address and to find the other at a second one,
// which clients do not try; some are lucky.
func meetable(carriers nat.Hairpin, a, b simnet.NAT) bool {
	return carriers != nat.InternalSource || a.Mapping == nat.EndpointIndependent && b.Mapping == nat.EndpointIndependent
}

// A gridScore counts cells of one kind.
type gridScore struct{ tried, late atomic.Int64 }

// TestGrid plays a part of all cells, chosen by hash; with the build tag long, all of
// them. What comes about is what theory says, and how fast: that ports have to be guessed
// may go wrong, which is counted.
func TestGrid(t *testing.T) {
	var scores sync.Map // by outcome and noise
	start := time.Now()
	n := 0
	t.Run("cells", func(t *testing.T) {
		for c := range gridCells() {
			if c.hash()%gridPart != 0 {
				continue
			}
			n++
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				want := c.expect()
				s, _ := scores.LoadOrStore([2]any{want, c.noise}, new(gridScore))
				synctest.Test(t, func(t *testing.T) { playCell(t, c, want, s.(*gridScore)) })
			})
		}
	})
	t.Logf("%d cells in %v", n, time.Since(start).Round(time.Millisecond))
	scores.Range(func(key, value any) bool {
		s, of := value.(*gridScore), key.([2]any)
		t.Logf("%v, %d %% lost: %d cells, %d late", of[0], of[1], s.tried.Load(), s.late.Load())
		if allowed := 1 + s.tried.Load()*allowedLate(of[0].(outcome), of[1].(int))/100; s.late.Load() > allowed {
			t.Errorf("%v, %d %% lost: %d of %d are late, want %d at most", of[0], of[1], s.late.Load(), s.tried.Load(), allowed)
		}
		return true
	})
}

// allowedLate is in how many per cent of the cells the path may be late.
func allowedLate(o outcome, noise int) int64 {
	switch {
	case o == guessed && noise == 0:
		return 5
	case o == guessed:
		return 10 // how the NATs behave is not always found out, and guesses get lost
	case o == easy && noise > 0:
		return 1 // where a false path is heard before the true one
	case o == answered && noise > 0:
		return 10 // the port that answers come from is learnt from one of them
	}
	return 0
}

// gridServer starts the RDV with two addresses of both families, and two ports.
func (v *vpn) gridServer() {
	v.t.Helper()
	v.stop()
	v.stop = func() {}
	leaf := v.ca.Issue(v.t, "rdv", asRendezvous)
	id, err := pki.NewIdentity(leaf.Chain, leaf.Key)
	if err != nil {
		v.t.Fatal(err)
	}
	second4, second6 := server4.Addr().Next(), server6.Addr().Next()
	host := v.net.Internet().Host(server4.Addr().String(), second4.String(), server6.Addr().String(), second6.String())
	cfg := rdv.Config{Mode: rdv.Strict, Trust: rdv.NewTrust(id, v.policy), OtherAddrs: []netip.Addr{second4, second6}}
	for i, conn := range []*punch.Conn{&cfg.Conn, &cfg.OtherConn} {
		c, err := host.ListenDual(server4.Port() + uint16(i))
		if err != nil {
			v.t.Fatal(err)
		}
		*conn = c
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := rdv.New(cfg).Run(ctx); err != nil {
			v.t.Errorf("rdv: %v", err)
		}
	})
	v.stop = func() { cancel(); wg.Wait() }
}

// build makes the sites of the two clients.
func (c gridCell) build(v *vpn) (a, b *simnet.Site) {
	link := simnet.Link{Loss: float64(c.noise) / 200, Duplicate: float64(c.noise) / 200, Reorder: float64(c.noise) / 200, Hold: 5 * time.Millisecond}
	outermost := func(s *simnet.Site) *simnet.Site {
		s.SetLinks(link, link)
		s.SetFirewall(c.wall)
		return s
	}
	internet := v.net.Internet()
	switch c.place {
	case shared:
		home := outermost(internet.Behind("203.0.113.21", c.a))
		return home, home
	case doubled:
		return outermost(internet.Behind("203.0.113.21", c.outer)).Behind("100.64.0.2", c.a), outermost(internet.Behind("203.0.113.22", c.b))
	case carrier:
		outer := outermost(internet.Behind("203.0.113.21", c.outer))
		return outer.Behind("100.64.0.2", c.a), outer.Behind("100.64.0.3", c.b)
	}
	return outermost(internet.Behind("203.0.113.21", c.a)), outermost(internet.Behind("203.0.113.22", c.b))
}

// gridNode starts a client, which finds out about its NAT by itself.
func (c gridCell) gridNode(v *vpn, site *simnet.Site, number int) *node {
	v.t.Helper()
	var addrs []string
	if c.family != onlyIPv6 {
		addrs = append(addrs, fmt.Sprintf("192.168.1.%d", 1+number))
	}
	if c.family != onlyIPv4 {
		addrs = append(addrs, fmt.Sprintf("2001:db8:%d::2", number))
	}
	port := uint16(5000 + 1000*number)
	host := site.Host(addrs...)
	conn, err := host.ListenDual(port)
	if err != nil {
		v.t.Fatal(err)
	}
	server := server4
	if c.family == onlyIPv6 {
		server = server6
	}
	n := v.nodeOn(conn, fmt.Sprintf("10.9.0.%d", number), v.authentic(AuthYes, nil, func(cfg *Config) {
		cfg.Servers = At(server)
		cfg.LocalAddr = netip.AddrPort{}
		cfg.HostAddrs = host.Addrs()
		cfg.HardNAT = hard.DefaultBudget
		cfg.OpenSocket = func() (punch.Conn, error) { return host.Listen(netip.AddrPortFrom(anyAddr, 0)) }
	}))
	if c.hosts {
		var list []punch.Candidate
		for _, a := range host.Addrs() {
			list = append(list, punch.Candidate{Addr: netip.AddrPortFrom(a, port), Kind: punch.Host})
		}
		n.offers(list...)
	}
	return n
}

// playCell has the clients of a cell look for each other.
func playCell(t *testing.T, c gridCell, want outcome, score *gridScore) {
	v := newVPN(t, c.hash())
	v.gridServer()
	siteA, siteB := c.build(v)
	asker, asked := c.gridNode(v, siteA, 1), c.gridNode(v, siteB, 2)
	if c.hash()&1024 != 0 {
		asker, asked = asked, asker
	}
	pass(5 * time.Second)
	for wait := 0; c.noise > 0 && wait < 60 && !(asker.status().Registered && asked.status().Registered); wait++ {
		pass(time.Second)
	}
	score.tried.Add(1)
	limit := c.limit(want)
	took, met := meetWithin(asker, asked, limit)
	switch {
	case want == never && met && !(c.noise > 0 && c.guessable()):
		t.Errorf("a path was found after %v, which theory excludes", took)
	case !met && (want == guessed || want == answered || want == easy && c.noise > 0 && c.falsePath()):
		score.late.Add(1)
		t.Logf("no path within %v", limit)
	case want == easy && !met:
		t.Errorf("no path within %v", limit)
	}
}

// limit returns how long it may take until packets have gone both ways.
func (c gridCell) limit(want outcome) time.Duration {
	switch {
	case c.noise > 0:
		return time.Minute
	case want == never:
		return 12 * time.Second
	case want == guessed:
		return 3 * time.Second
	case c.falsePath(): // it may be heard before the true one
		return silentLife + time.Second
	}
	return time.Second
}

// meetWithin sends packets both ways until each side has got one.
func meetWithin(a, b *node, limit time.Duration) (took time.Duration, met bool) {
	start := time.Now()
	got := [2]bool{}
	for next := start; ; pass(20 * time.Millisecond) {
		if now := time.Now(); !now.Before(next) && now.Sub(start) < limit {
			a.send(b.vpn, "to and")
			if got[1] {
				b.send(a.vpn, "fro")
			}
			next = now.Add(200 * time.Millisecond)
		}
		before := got[1]
		got[0] = got[0] || len(a.texts()) > 0
		got[1] = got[1] || len(b.texts()) > 0
		if got[1] && !before {
			b.send(a.vpn, "fro")
		}
		took = time.Since(start)
		if got == [2]bool{true, true} {
			return took, true
		}
		if took >= limit {
			return took, false
		}
	}
}
