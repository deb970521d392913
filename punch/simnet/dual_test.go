package simnet

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"campagnol/punch"
)

// TestListenDual: one socket serves both families, each from the host's own address,
// and takes the port in both.
func TestListenDual(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		four, six := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("[2001:db8:5::1]:1")
		home := n.Internet().Behind("203.0.113.1", NAT{})
		h := home.Host("192.168.1.2", "2001:db8:1::2")
		c, err := h.ListenDual(5000)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := c.LocalAddr(), ap("[::]:5000"); got != want {
			t.Errorf("LocalAddr %v, want %v", got, want)
		}
		if got, want := learn(t, c, four), ap("203.0.113.1:5000"); got != want {
			t.Errorf("seen over IPv4 at %v, want %v", got, want)
		}
		if got, want := learn(t, c, six), ap("[2001:db8:1::2]:5000"); got != want {
			t.Errorf("seen over IPv6 at %v, want %v", got, want)
		}
		send(t, four, ap("203.0.113.1:5000"), "four")
		expect(t, "IPv4", c, four.LocalAddr(), "four")
		send(t, six, ap("[2001:db8:1::2]:5000"), "six")
		expect(t, "IPv6", c, six.LocalAddr(), "six")

		for _, a := range []string{"0.0.0.0:5000", "192.168.1.2:5000", "[::]:5000", "[2001:db8:1::2]:5000"} {
			if _, err := h.Listen(ap(a)); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s beside it: %v, want EADDRINUSE", a, err)
			}
		}
		if _, err := h.ListenDual(5000); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a second one: %v, want EADDRINUSE", err)
		}
		c.Close()
		if err := c.Send([]punch.Datagram{{Addr: four.LocalAddr()}}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		if again, err := h.Listen(ap("0.0.0.0:5000")); err != nil {
			t.Errorf("the port is not free after Close: %v", err)
		} else if _, err := h.ListenDual(5000); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("beside %v: %v, want EADDRINUSE", again.LocalAddr(), err)
		}
		if d, err := h.ListenDual(0); err != nil || d.LocalAddr().Port() < firstEphemeral {
			t.Errorf("any port: %v, %v", d, err)
		}
	})
}

// TestDualWithoutFamily: what the host has no address for is refused, and nothing else.
func TestDualWithoutFamily(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		c, err := n.Internet().Host("198.51.100.2").ListenDual(1)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Send([]punch.Datagram{
			{Addr: ap("[2001:db8:5::1]:1"), Data: []byte("six")},
			{Addr: server.LocalAddr(), Data: []byte("four")},
		})
		if !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("Send: %v, want ENETUNREACH", err)
		}
		expect(t, "IPv4", server, ap("198.51.100.2:1"), "four")
	})
}

// TestBroken: one family vanishes at a gate, in both directions, and the other passes.
func TestBroken(t *testing.T) {
	for _, broken6 := range []bool{false, true} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			far := n.Internet().Host("198.51.100.1", "2001:db8:5::1")
			server, err := far.ListenDual(1)
			if err != nil {
				t.Fatal(err)
			}
			home := n.Internet().Behind("203.0.113.1", NAT{})
			c, err := home.Host("192.168.1.2", "2001:db8:1::2").ListenDual(5000)
			if err != nil {
				t.Fatal(err)
			}
			to4, to6 := ap("198.51.100.1:1"), ap("[2001:db8:5::1]:1")
			send(t, c, to4, "open the mapping")
			send(t, c, to6, "and the firewall")
			rest()
			drain(server)

			home.SetBroken(!broken6, broken6)
			send(t, c, to4, "out")
			send(t, c, to6, "out")
			send(t, server, ap("203.0.113.1:5000"), "in")
			send(t, server, ap("[2001:db8:1::2]:5000"), "in")
			rest()
			counts(t, n, map[Verdict]int{Blocked: 2})
			for _, at := range []*Conn{server, c} {
				gs := drain(at)
				if len(gs) != 1 || gs[0].from.Addr().Is6() == broken6 {
					t.Errorf("IPv6 broken %v: %v arrived at %v, want one of the other family", broken6, gs, at.LocalAddr())
				}
			}
			home.SetBroken(false, false)
			send(t, c, to4, "4")
			send(t, c, to6, "6")
			rest()
			if gs := drain(server); len(gs) != 2 {
				t.Errorf("%v arrived when nothing is broken, want two", gs)
			}
		})
	}
}
