package device

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

// TestUDP sends datagrams of many sizes, one by one and many at once, which the
// kernel cuts, or leaves to us.
func TestUDP(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{}, {Plain: true}, {Link: segment.Ethernet}, {Link: segment.Ethernet, Plain: true}, {Link: segment.Ethernet, Queues: 2},
	} {
		t.Run(fmt.Sprintf("%v,plain=%v,queues=%d", cfg.Link, cfg.Plain, cfg.Queues), func(t *testing.T) {
			t.Parallel()
			c := lay(t, cfg, nil)
			for _, to := range []netip.Addr{c.b.ip4, c.b.ip6} {
				from, in := c.udp(to)
				for _, n := range []int{0, 1, 17, 18, 19, 1300, 4000} { // the last in fragments
					want := bytes.Repeat([]byte{byte(n)}, n)
					if _, err := from.Write(want); err != nil {
						t.Fatal(err)
					}
					wantDatagram(t, in, want)
				}
				for _, size := range []int{50, 1200} {
					sendSegments(t, from, in, size, 20)
				}
			}
			if _, joined := c.sizes(); c.a.dev.Offloads().UDP && joined == 0 {
				t.Error("no large packet was written")
			}
			c.wantNoErrors()
		})
	}
}

// udp returns a socket of station a, connected to one of station b.
func (c *cable) udp(to netip.Addr) (from, in *net.UDPConn) {
	c.t.Helper()
	in, err := c.b.ListenUDP(netip.AddrPortFrom(to, 0))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { in.Close() })
	err = c.a.Do(func() (err error) {
		from, err = net.DialUDP("udp", nil, in.LocalAddr().(*net.UDPAddr))
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { from.Close() })
	for _, conn := range []*net.UDPConn{from, in} {
		conn.SetDeadline(time.Now().Add(patience))
	}
	return from, in
}

// sendSegments sends count datagrams of one size in one call, and one that is
// shorter, and checks that they arrive.
func sendSegments(t testing.TB, from, in *net.UDPConn, size, count int) {
	t.Helper()
	var all []byte
	for i := range count {
		all = append(all, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	all = append(all, "the end"...)
	control := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(control, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(control[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(control[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(control[16:], uint16(size))
	if _, _, err := from.WriteMsgUDP(all, control, nil); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		wantDatagram(t, in, all[i*size:(i+1)*size])
	}
	wantDatagram(t, in, []byte("the end"))
}

// wantDatagram checks which datagram comes next.
func wantDatagram(t testing.TB, c *net.UDPConn, want []byte) {
	t.Helper()
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b[:n], want) {
		t.Errorf("got %d bytes, % .20x, want %d, % .20x", n, b[:n], len(want), want)
	}
}
