package simnet

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
)

// A script turns bytes into choices.
type script []byte

// pick returns a number below limit.
func (s *script) pick(limit int) int {
	if len(*s) == 0 {
		return 0
	}
	b := int((*s)[0])
	*s = (*s)[1:]
	return b % limit
}

// A world is a network that a script built.
type world struct {
	t     *testing.T
	n     *Net
	sites []*Site
	nats  []*Site // those of sites that have a NAT
	conns []*Conn
	next  byte // makes addresses that nobody has
}

// unused returns an address in an Internet-like or a private range.
func (w *world) unused() string {
	w.next++
	return fmt.Sprintf("10.0.%d.%d", w.next/100, w.next%100+1)
}

func (w *world) link(s *script) Link {
	return Link{
		Delay:   time.Duration(s.pick(3)) * 5 * time.Millisecond,
		Loss:    float64(s.pick(3)) / 4,
		Reorder: float64(s.pick(3)) / 4,
		MTU:     s.pick(2) * 40,
		Report:  s.pick(2) == 1,
		Rate:    s.pick(2) * 300,
		Queue:   s.pick(3),
	}
}

// build makes sites in sites, and a host in each.
func (w *world) build(s *script) {
	w.sites = []*Site{w.n.Internet()}
	for range 1 + s.pick(5) {
		parent := w.sites[s.pick(len(w.sites))]
		var site *Site
		if s.pick(4) == 0 {
			site = parent.Routed(w.unused(), Firewall{Filtering: Dependence(s.pick(3)), RefreshInbound: s.pick(2) == 1})
		} else {
			site = parent.Behind(w.unused(), NAT{
				Mapping:     Dependence(s.pick(3)),
				Filtering:   Dependence(s.pick(3)),
				Ports:       PortChoice(s.pick(4)),
				Hairpin:     Hairpin(s.pick(3)),
				Lifetime:    time.Duration(s.pick(3)) * time.Second,
				FirstPort:   uint16(5000 * s.pick(2)),
				LastPort:    5000 + uint16(s.pick(4)),
				MaxMappings: s.pick(4),
			})
			w.nats = append(w.nats, site)
		}
		site.SetLinks(w.link(s), w.link(s))
		w.sites = append(w.sites, site)
	}
	for _, site := range w.sites {
		c, err := site.Host(w.unused()).Listen(ap("0.0.0.0:5000"))
		if err != nil {
			w.t.Fatal(err)
		}
		c.SetQueue(4)
		c.SetCoalesce(s.pick(2) == 1)
		w.conns = append(w.conns, c)
	}
}

// target returns an endpoint that may be somebody's.
func (w *world) target(s *script) netip.AddrPort {
	port := uint16(5000 + s.pick(3))
	if len(w.nats) > 0 && s.pick(2) == 1 {
		return netip.AddrPortFrom(w.nats[s.pick(len(w.nats))].Public(), port)
	}
	return netip.AddrPortFrom(w.conns[s.pick(len(w.conns))].Host().Addrs()[0], port)
}

// act does one thing.
func (w *world) act(s *script) {
	c := w.conns[s.pick(len(w.conns))]
	site := w.sites[1+s.pick(len(w.sites)-1)]
	switch s.pick(10) {
	default:
		d := punch.Datagram{Addr: w.target(s), Data: make([]byte, s.pick(64)), Segment: s.pick(20)}
		if len(d.Data) > 0 {
			d.Data[0] = byte(s.pick(80))
		}
		_ = c.Send([]punch.Datagram{d, {Addr: w.target(s), Data: []byte("x")}})
	case 0:
		time.Sleep(time.Duration(1+s.pick(20)) * 100 * time.Microsecond)
	case 1:
		time.Sleep(time.Duration(1+s.pick(40)) * 100 * time.Millisecond)
	case 2:
		c.Host().Move(w.sites[s.pick(len(w.sites))], w.unused())
	case 3:
		if len(w.nats) > 0 {
			w.nats[s.pick(len(w.nats))].SetPublic(w.unused())
		}
	case 4:
		site.Restart()
	case 5:
		site.SetDown(s.pick(2) == 1)
	case 6:
		if len(w.nats) > 0 {
			to := netip.AddrPortFrom(c.Host().Addrs()[0], 5000)
			w.nats[s.pick(len(w.nats))].Forward(uint16(5000+s.pick(3)), to)
		}
	}
}

// check checks what must hold of a network that stands still.
func (w *world) check() {
	ended := 0
	for v := Delivered; v < verdicts; v++ {
		ended += w.n.Count(v)
	}
	if sent := w.n.Count(Sent); ended != sent {
		w.t.Errorf("%d datagrams were sent, and %d came to an end", sent, ended)
	}
	for _, site := range w.nats {
		x := site.nat
		byPort := 0
		for port, ms := range x.byPort {
			byPort += len(ms)
			if len(ms) == 0 || len(ms) > 1 && x.cfg.Ports != Overloading {
				w.t.Errorf("port %d has %d mappings", port, len(ms))
			}
			for _, m := range ms {
				if m.port != port || x.byInside[m.mappingKey] != m {
					w.t.Errorf("the mapping of port %d is not the one of %v", port, m.inside)
				}
				if !m.static && (port < x.cfg.FirstPort || port > x.cfg.LastPort) {
					w.t.Errorf("port %d is not from %d to %d", port, x.cfg.FirstPort, x.cfg.LastPort)
				}
			}
		}
		if x.count != byPort || x.count != len(x.byInside) {
			w.t.Errorf("%d mappings are counted, %d have ports, %d have hosts", x.count, byPort, len(x.byInside))
		}
	}
}

// play runs a script and returns the trace.
func play(t *testing.T, in []byte) (sum uint64, events int) {
	synctest.Test(t, func(t *testing.T) {
		s := script(in)
		n := New(uint64(s.pick(256)))
		w := &world{t: t, n: n}
		w.build(&s)
		for range 100 {
			if len(s) == 0 {
				break
			}
			w.act(&s)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		w.check()
		sum, events = n.Trace()
		n.Close()
		for _, c := range w.conns {
			for {
				if _, err := c.Receive(); err != nil {
					break
				}
			}
		}
	})
	return sum, events
}

// FuzzNetwork builds networks, sends through them and changes them meanwhile.
// Every datagram must come to an end, every table must be consistent, and a
// second run must have the same trace.
func FuzzNetwork(f *testing.F) {
	f.Add([]byte{})
	for seed := range uint64(20) {
		var in []byte
		for i := range uint64(300) {
			in = append(in, byte(mix(mix(start, seed), i)))
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		sum, events := play(t, in)
		if again, k := play(t, in); again != sum || k != events {
			t.Errorf("a second run has trace %x, %d events; the first had %x, %d", again, k, sum, events)
		}
	})
}
