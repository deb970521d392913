package mcast

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A happening is something that happens in a mesh at a time.
type happening struct {
	at  time.Time
	seq int
	do  func()
}

type agenda []happening

func (q agenda) Len() int { return len(q) }
func (q agenda) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].seq < q[j].seq
}
func (q agenda) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *agenda) Push(x any)   { *q = append(*q, x.(happening)) }
func (q *agenda) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// A mesh is nodes, with hosts at their TAPs, in virtual time.
type mesh struct {
	t      *testing.T
	now    time.Time
	seq    int
	agenda agenda
	nodes  []*node
	rand   *rand.Rand
	loss   int           // of updates, in percent
	delay  time.Duration // from node to node
}

// A node is a snooper and what is behind its TAP.
type node struct {
	m     *mesh
	id    int
	cfg   Config
	s     *Snooper
	epoch int // of its process
	links map[int]int
	hosts []*testHost

	sent   []gmp.Message // to the TAP
	events []Event
	copies int // of packets sent to peers
	early  int // packets sent to peers in doubt
}

// tapDelay is how long a frame takes from a host to its node.
const tapDelay = time.Millisecond

// newMesh makes n nodes that know each other, and whose TAPs are up.
func newMesh(t *testing.T, n int, change func(i int, c *Config)) *mesh {
	t.Helper()
	m := &mesh{t: t, now: start, rand: rand.New(rand.NewPCG(1, 2)), delay: 5 * time.Millisecond}
	for i := range n {
		cfg := Config{MAC: MAC{2, 0xff, 0, 0, 0, byte(i)}, Seed: uint64(i)}
		if change != nil {
			change(i, &cfg)
		}
		m.nodes = append(m.nodes, &node{m: m, id: i, cfg: cfg, links: map[int]int{}})
	}
	for _, n := range m.nodes {
		n.start()
	}
	return m
}

// after does something after a while.
func (m *mesh) after(d time.Duration, do func()) {
	m.seq++
	heap.Push(&m.agenda, happening{m.now.Add(d), m.seq, do})
}

// at does something at a time after the start.
func (m *mesh) at(d time.Duration, do func()) { m.after(start.Add(d).Sub(m.now), do) }

// run goes on to a time after the start.
func (m *mesh) run(to time.Duration) {
	m.t.Helper()
	end := start.Add(to)
	for steps := 0; ; steps++ {
		if steps > 5_000_000 {
			m.t.Fatalf("the mesh does not come to rest at %v", m.now.Sub(start))
		}
		next, who := end, (*node)(nil)
		for _, n := range m.nodes {
			if at := n.s.Timeout(); !at.IsZero() && at.Before(next) {
				next, who = at, n
			}
		}
		switch {
		case len(m.agenda) > 0 && !m.agenda[0].at.After(next):
			h := heap.Pop(&m.agenda).(happening)
			m.now = h.at
			h.do()
		case who != nil:
			if next.After(m.now) {
				m.now = next
			}
			who.do(who.s.Advance(m.now, nil))
			if at := who.s.Timeout(); !at.IsZero() && !at.After(m.now) {
				m.t.Fatalf("node %d wants to be called again at once", who.id)
			}
		default:
			m.now = end
			return
		}
	}
}

// start starts a node's process, and its sessions with all others.
func (n *node) start() {
	n.epoch++
	n.s = New(n.cfg)
	n.do(n.s.Up(n.m.now, nil))
	for _, o := range n.m.nodes {
		if o != n && o.s != nil {
			n.connect(o)
		}
	}
}

// connect opens a session.
func (n *node) connect(o *node) {
	n.links[o.id]++
	o.links[n.id] = n.links[o.id]
	n.do(n.s.PeerUp(n.m.now, uint32(o.id), nil))
	o.do(o.s.PeerUp(n.m.now, uint32(n.id), nil))
}

// do does what a snooper wants done.
func (n *node) do(out []Out) {
	for _, x := range out {
		switch x.Kind {
		case ToTAP:
			got, err := gmp.Parse(x.Packet)
			if err != nil || x.Dst != gmp.MAC(got.Dst) {
				n.m.t.Errorf("node %d sends to %x what is no good: %v", n.id, x.Dst, err)
			}
			n.sent = append(n.sent, got)
			n.toHosts(nil, x.VID, got)
		case ToPeer:
			n.update(n.m.nodes[x.Port], x.Packet)
		case Happens:
			n.events = append(n.events, x.Event)
		}
	}
}

// update sends an update to a peer, unless it is lost.
func (n *node) update(o *node, b []byte) {
	if len(b) > MaxUpdate {
		n.m.t.Errorf("an update of %d bytes", len(b))
	}
	if n.m.rand.IntN(100) < n.m.loss {
		return
	}
	session := n.links[o.id]
	n.m.after(n.m.delay+time.Duration(n.m.rand.IntN(1000))*time.Microsecond, func() {
		if o.links[n.id] == session {
			o.do(o.s.Peer(n.m.now, uint32(n.id), b, nil))
		}
	})
}

// toHosts delivers a frame on the link behind the TAP.
func (n *node) toHosts(from *testHost, vid uint16, msg gmp.Message) {
	for _, h := range n.hosts {
		if h != from && h.vid == vid && msg.Src.Is4() == !h.v6 {
			n.m.after(tapDelay, func() { h.hear(msg) })
		}
	}
}

// data sends a packet of a host behind the node's TAP to whom the view says.
func (n *node) data(vid uint16, group, source netip.Addr) {
	ports, flood := n.s.View().Ports(vid, group, source)
	if flood {
		ports = nil
		for _, o := range n.m.nodes {
			if o != n {
				ports = append(ports, uint32(o.id))
			}
		}
	}
	if sorted := slices.Compact(slices.Clone(ports)); len(sorted) != len(ports) || !slices.IsSorted(ports) {
		n.m.t.Errorf("ports %v are not a set", ports)
	}
	n.copies += len(ports)
	for _, p := range ports {
		o := n.m.nodes[p]
		epoch := o.epoch
		n.m.after(n.m.delay, func() {
			if o.epoch != epoch {
				return
			}
			for _, h := range o.hosts {
				if h.vid == vid && h.v6 == group.Is6() {
					h.packet(group, source)
				}
			}
		})
	}
}

// period is the time between packets of a stream: 20 a second.
const period = 50 * time.Millisecond

// stream sends packets from now to a time.
func (n *node) stream(vid uint16, group, source string, to time.Duration) {
	g, src := ip(group), ip(source)
	var next func()
	next = func() {
		n.data(vid, g, src)
		if n.m.now.Sub(start) < to {
			n.m.after(period, next)
		}
	}
	next()
}
