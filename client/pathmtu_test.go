package client

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/tunnel/device"
	"campagnol/tunnel/packet"
)

// A sentConn is a punch.Conn that keeps everything.
type sentConn struct {
	deafConn
	payloads [][]byte
}

func (c *sentConn) Send(ds []punch.Datagram) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range ds {
		for b := range d.Segments {
			if len(b) > 100 { // no keep-alives
				c.payloads = append(c.payloads, bytes.Clone(b))
			}
		}
	}
	return nil
}

// take returns the sizes of what was sent since the last call.
func (c *sentConn) take() (sizes []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.payloads {
		sizes = append(sizes, len(b))
	}
	c.payloads = nil
	return sizes
}

// A narrow is a client with one peer, the path to which is about to be found
// small.
type narrow struct {
	t      *testing.T
	conn   *sentConn
	crowd  *crowd
	errors chan punch.PathError
	log    *syncBuffer
	peer   netip.Addr
	addr   netip.AddrPort
}

func newNarrow(t *testing.T) *narrow {
	n := &narrow{t: t, conn: &sentConn{deafConn: deafConn{closed: make(chan struct{})}}, errors: make(chan punch.PathError), log: new(syncBuffer)}
	n.peer, n.addr = peerAt(0)
	n.crowd = newCrowd(t, n.conn, 1, 0, func(cfg *Config) {
		cfg.PathErrors = n.errors
		cfg.Timeout = time.Hour
		cfg.Log = slog.New(slog.NewTextHandler(n.log, nil))
	})
	pass(time.Second)
	n.conn.take()
	return n
}

// hears makes the client hear that what it sends to the peer is too large.
func (n *narrow) hears(mtu int) {
	n.errors <- punch.PathError{Addr: n.addr, Err: syscall.EMSGSIZE, MTU: mtu, From: netip.MustParseAddr("192.0.2.1")}
	synctest.Wait()
}

// sends makes the host send a packet of that many bytes, and returns the sizes of
// the datagrams that this leads to and what the host is told.
func (n *narrow) sends(size int, dontFragment bool) (datagrams []int, told [][]byte) {
	n.t.Helper()
	b := packetTo(netip.MustParseAddr("10.0.0.1"), n.peer, strings.Repeat("x", size-28))
	if dontFragment {
		b[6] |= 0x40
	}
	dev := n.crowd.client.cfg.Device.(*device.Memory)
	if !dev.Inject(b) {
		n.t.Fatal("the device took no packet")
	}
	synctest.Wait()
	for {
		select {
		case m := <-dev.Delivered():
			told = append(told, m)
			continue
		default:
		}
		return n.conn.take(), told
	}
}

// TestD_C16_TooBig: a packet that the path does not carry is cut, or its sender is
// told what fits; the original sends it, and nobody hears of it again.
func TestD_C16_TooBig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t)
		if ds, told := n.sends(1419, true); len(ds) != 1 || len(told) != 0 {
			t.Fatalf("before: datagrams of %v bytes, %d messages", ds, len(told))
		}
		n.hears(1400)
		if s, err := n.crowd.client.Status(t.Context()); err != nil || s.Peers[0].PathMTU != 1400 {
			t.Errorf("status %+v, %v, want a path MTU of 1400", s.Peers, err)
		}
		const fits = 1400 - 28 - 37 // UDP over IPv4; a record of AES-GCM
		if ds, told := n.sends(fits, true); len(ds) != 1 || len(told) != 0 {
			t.Errorf("a packet that fits: datagrams of %v bytes, %d messages", ds, len(told))
		}
		ds, told := n.sends(fits+1, true)
		if len(ds) != 0 || len(told) != 1 {
			t.Fatalf("one that must not be cut: datagrams of %v bytes, %d messages", ds, len(told))
		}
		info, err := packet.Parse(told[0])
		if err != nil || info.Src != n.peer || told[0][20] != 3 || told[0][21] != 4 || binary.BigEndian.Uint16(told[0][26:]) != fits {
			t.Errorf("the host is told % x, want that %d bytes fit", told[0][:28], fits)
		}
		ds, told = n.sends(1419, false)
		if len(ds) != 2 || len(told) != 0 {
			t.Errorf("one that may be cut: datagrams of %v bytes, %d messages, want two", ds, len(told))
		}
		for _, size := range ds {
			if size > 1400-28 {
				t.Errorf("a datagram with %d bytes on a path for %d", size, 1400-28)
			}
		}
		if got := n.crowd.client.drops.Snapshot()["too_big"]; got != 1 {
			t.Errorf("%d packets counted, want 1", got)
		}

		// After ten minutes it is tried whether the path carries more.
		pass(11 * time.Minute)
		n.conn.take()
		if ds, told := n.sends(1419, true); len(ds) != 1 || len(told) != 0 {
			t.Errorf("afterwards: datagrams of %v bytes, %d messages", ds, len(told))
		}
		n.crowd.stop()
	})
}

// TestPathErrors: what is said of others, of nothing, or cannot be, changes
// nothing; a flood of large packets makes no flood of messages.
func TestPathErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t)
		n.errors <- punch.PathError{Addr: n.addr, Err: syscall.ECONNREFUSED}
		n.errors <- punch.PathError{Addr: netip.MustParseAddrPort("198.51.100.9:9"), Err: syscall.EMSGSIZE, MTU: 600}
		if ds, told := n.sends(1419, true); len(ds) != 1 || len(told) != 0 {
			t.Errorf("after messages about others: datagrams of %v bytes, %d messages", ds, len(told))
		}
		n.hears(1) // forged
		if ds, _ := n.sends(minPathMTU-28-37, true); len(ds) != 1 {
			t.Error("a forged message closes the path")
		}
		n.hears(1400) // older
		if ds, _ := n.sends(1000, true); len(ds) != 0 {
			t.Error("a message about a wider part of the path makes it wide")
		}
		messages := 0
		for range 200 {
			_, told := n.sends(1419, true)
			messages += len(told)
		}
		if messages > tooBigBurst {
			t.Errorf("%d messages at once, want at most %d", messages, tooBigBurst)
		}
		if got := strings.Count(n.log.String(), "The path to the peer carries smaller packets"); got != 1 {
			t.Errorf("logged %d times, want once", got)
		}
		n.crowd.stop()
	})
}

// TestTooBigForAll: about a broadcast nothing is said, whatever its path.
func TestTooBigForAll(t *testing.T) {
	p := newPath(t, 1)
	vpn, addr := peerAt(0)
	r, _ := p.tab.route(vpn)
	limited := *r
	limited.limit = payloadLimit(addr, 1000)
	tab := p.tab.withRoute(vpn, &limited)
	b := packetTo(netip.MustParseAddr("10.0.0.1"), p.out.c.cfg.Broadcast, strings.Repeat("x", 1200))
	b[6] |= 0x40
	p.out.batch(began, tab, []device.Packet{{Data: b}})
	if p.dev.packets != 0 {
		t.Errorf("%d messages", p.dev.packets)
	}
	b[6] = 0
	p.conn.sent = nil
	p.out.batch(began, tab, []device.Packet{{Data: b}})
	if len(p.conn.sent) != 1 || p.conn.sent[0].Segment == 0 || p.conn.sent[0].Segment > limited.limit {
		t.Errorf("a broadcast that may be cut leads to %d runs of datagrams, want one of two that fit", len(p.conn.sent))
	}
}

func TestPayloadLimit(t *testing.T) {
	for _, c := range []struct {
		addr      string
		mtu, want int
	}{
		{"192.0.2.1:1", 0, 0},
		{"192.0.2.1:1", 1400, 1372},
		{"[2001:db8::1]:1", 1400, 1352},
	} {
		if got := payloadLimit(netip.MustParseAddrPort(c.addr), c.mtu); got != c.want {
			t.Errorf("%s with %d: %d, want %d", c.addr, c.mtu, got, c.want)
		}
	}
}
