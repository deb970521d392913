package udp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
)

// A testConn is what Conn and Portable have in common.
type testConn interface {
	punch.Conn
	Errors() <-chan PathError
	Features() Features
	Stats() Stats
}

// An opener opens one of the kinds of sockets under test.
type opener func(cfg Config) (testConn, error)

func openListen(cfg Config) (testConn, error)   { return asTestConn(Listen(cfg)) }
func openPortable(cfg Config) (testConn, error) { return asTestConn(ListenPortable(cfg)) }

// asTestConn keeps a nil pointer from becoming an interface that is not nil.
func asTestConn[T interface {
	testConn
	comparable
}](c T, err error) (testConn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

var loopback = []string{"127.0.0.1", "::1"}

// mustOpen opens a socket at addr, with a port that the kernel chooses, and
// closes it at the end of the test, or when that takes suspiciously long.
func mustOpen(t testing.TB, open opener, addr string) testConn {
	t.Helper()
	c, err := open(Config{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 0)})
	if err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(20*time.Second, func() { c.Close() })
	t.Cleanup(func() {
		guard.Stop()
		c.Close()
	})
	return c
}

// at returns the address at which peers on this host reach c.
func at(c punch.Conn) netip.AddrPort {
	a := c.LocalAddr()
	switch {
	case !a.Addr().IsUnspecified():
		return a
	case a.Addr().Is4():
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
}

// A dualConn is a socket for both families that says it is at one address of this
// host, as the tests of sockets for one family want it.
type dualConn struct {
	testConn
	ip netip.Addr
}

func (c dualConn) LocalAddr() netip.AddrPort {
	return netip.AddrPortFrom(c.ip, c.testConn.LocalAddr().Port())
}

// dual returns an opener of sockets for both families, which open opens, whatever
// the address asked for.
func dual(open opener) opener {
	return func(cfg Config) (testConn, error) {
		ip := cfg.Addr.Addr()
		cfg.Addr, cfg.Dual = netip.AddrPortFrom(netip.IPv6Unspecified(), cfg.Addr.Port()), true
		c, err := open(cfg)
		return dualConn{c, ip}, err
	}
}

// A payload is one datagram, copied out of a Receive.
type payload struct {
	from  netip.AddrPort
	local netip.Addr
	data  []byte
}

// receive returns the next n payloads. If the socket fails before, so does the
// test, and the rest is empty.
func receive(t testing.TB, c punch.Conn, n int) []payload {
	t.Helper()
	var got []payload
	for len(got) < n {
		ds, err := c.Receive()
		if err != nil {
			t.Errorf("%d of %d datagrams, then %v", len(got), n, err)
			return append(got, make([]payload, n-len(got))...)
		}
		if len(ds) == 0 {
			t.Fatal("Receive returned neither a datagram nor an error")
		}
		for _, d := range ds {
			for b := range d.Segments {
				got = append(got, payload{d.Addr, d.Local, bytes.Clone(b)})
			}
		}
	}
	return got
}

func send(t testing.TB, c punch.Conn, ds ...punch.Datagram) {
	t.Helper()
	if err := c.Send(ds); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

// fill returns n bytes that tell where they belong.
func fill(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}
