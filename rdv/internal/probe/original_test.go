package probe

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
)

// An original answers like the server of Campagnol 0.3.5, as far as that can be
// seen from outside, with its defects. It shows that the checks tell the two
// apart.
type original struct {
	conn    punch.Conn
	limit   int
	clients map[netip.AddrPort]*originalClient
	byVPN   map[[4]byte]*originalClient
	cleaned int64 // seconds
}

type originalClient struct {
	at        netip.AddrPort
	vpn       [4]byte
	localPort [2]byte
	localIP   [4]byte
	heard     int64 // seconds
}

// theirs is a server like the original.
func theirs(t *testing.T, conn punch.Conn, limit int) {
	s := &original{
		conn: conn, limit: limit,
		clients: map[netip.AddrPort]*originalClient{}, byVPN: map[[4]byte]*originalClient{},
	}
	in := make(chan punch.Datagram)
	go func() {
		defer close(in)
		for {
			ds, err := conn.Receive()
			if err != nil {
				return
			}
			for _, d := range ds {
				in <- punch.Datagram{Addr: d.Addr, Data: bytes.Clone(d.Data)}
			}
		}
	}()
	for {
		select {
		case d, ok := <-in:
			if !ok {
				return
			}
			if len(d.Data) >= messageSize { // the rest is not looked at
				s.handle(d.Addr, [messageSize]byte(d.Data))
			}
			if s.now()-s.cleaned > 5 {
				s.clean()
			}
		case <-time.After(2 * time.Second):
			s.clean()
		}
	}
}

// now is a wall clock of whole seconds.
func (s *original) now() int64 { return time.Now().Unix() }

func (s *original) timedOut(c *originalClient) bool { return s.now()-c.heard > 5 }

func (s *original) clean() {
	for _, c := range s.clients {
		if s.now()-c.heard > 10 {
			s.remove(c)
		}
	}
	s.cleaned = s.now()
}

func (s *original) remove(c *originalClient) {
	delete(s.clients, c.at)
	delete(s.byVPN, c.vpn)
}

func (s *original) handle(from netip.AddrPort, m [messageSize]byte) {
	c := s.clients[from]
	ip1 := [4]byte(m[3:])
	switch {
	case m[0] == 0:
		s.hello(from, c, m)
	case c == nil:
		s.send(from, 12)
	case m[0] == 1:
		c.heard = s.now()
		s.send(from, 3)
	case m[0] == 2:
		s.ask(c, ip1)
	case m[0] == 11:
		s.remove(c)
	}
}

func (s *original) hello(from netip.AddrPort, c *originalClient, m [messageSize]byte) {
	vpn := [4]byte(m[3:])
	switch holder := s.byVPN[vpn]; {
	case c != nil && !s.timedOut(c):
		s.send(from, 5)
		return
	case c != nil && c.vpn == vpn:
		c.heard = s.now()
		s.send(from, 4)
		return
	case c != nil:
		s.remove(c)
	case holder != nil && !s.timedOut(holder):
		s.send(from, 5)
		return
	case holder != nil:
		s.remove(holder)
	}
	if s.limit > 0 && len(s.clients) >= s.limit {
		s.clean()
	}
	if s.limit > 0 && len(s.clients) >= s.limit {
		s.send(from, 5)
		return
	}
	c = &originalClient{at: from, vpn: vpn, localPort: [2]byte(m[1:]), localIP: [4]byte(m[7:]), heard: s.now()}
	s.clients[from], s.byVPN[vpn] = c, c
	s.send(from, 4)
}

func (s *original) ask(c *originalClient, vpn [4]byte) {
	asked := s.byVPN[vpn]
	if asked != nil && s.timedOut(asked) {
		s.remove(asked)
		asked = nil
	}
	if asked == nil {
		s.send(c.at, 8, 0, 0, vpn[0], vpn[1], vpn[2], vpn[3])
		return
	}
	local := c.localPort != [2]byte{} && asked.localPort != [2]byte{} && c.at.Addr() == asked.at.Addr()
	s.send(c.at, asked.introduction(7, local)...)
	s.send(asked.at, c.introduction(6, local)...)
}

func (c *originalClient) introduction(typ byte, local bool) []byte {
	port, ip := [2]byte{byte(c.at.Port() >> 8), byte(c.at.Port())}, c.at.Addr().As4()
	if local {
		port, ip = c.localPort, c.localIP
	}
	return append(append(append([]byte{typ}, port[:]...), ip[:]...), c.vpn[:]...)
}

// send sends a message, filled up with zeros.
func (s *original) send(to netip.AddrPort, m ...byte) {
	m = append(m, make([]byte, messageSize-len(m))...)
	// An error means that the socket is closed.
	_ = s.conn.Send([]punch.Datagram{{Addr: to, Data: m}})
}

// TestOriginal runs the exchanges of original servers on one like them. Those
// that are not marked are the same for both, so that each check that is marked
// must find the other server wrong.
func TestOriginal(t *testing.T) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			if err := simulate(t, theirs, true, c); err != nil {
				t.Errorf("as an original: %s\n%v", c.Says, err)
			}
			differs := c.Original != nil
			if err := simulate(t, theirs, false, c); (err != nil) != differs {
				t.Errorf("an original is found to answer like ours: %v, want %v (%v)", err == nil, !differs, err)
			}
			if err := simulate(t, ours, true, c); err == nil && len(c.Covers) > 0 && differs {
				t.Error("ours is found to answer like an original")
			}
		})
	}
}
