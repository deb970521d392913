//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/punch/stun"
)

func TestSTUNPort(t *testing.T) {
	for _, c := range []struct {
		text  string
		main  uint16
		more  []uint16
		port  uint16
		asked bool
		err   string
	}{
		{"", 57888, nil, 57889, false, ""},
		{"", 57888, []uint16{443, 57889, 57890}, 57891, false, ""},
		{"", 65534, []uint16{65535}, 0, false, ""},
		{"", 65535, nil, 0, false, ""},
		{"0", 57888, nil, 0, true, ""},
		{"3478", 57888, []uint16{443}, 3478, true, ""},
		{"443", 57888, []uint16{80, 443}, 0, true, "is the port of --port"},
		{"57888", 57888, nil, 0, true, "is the port of --port"},
		{"65536", 57888, nil, 0, true, `"65536" is not a port number`},
		{"x", 57888, nil, 0, true, `"x" is not a port number`},
		{"-1", 57888, nil, 0, true, `"-1" is not a port number`},
	} {
		o := stunOptions{port: c.text}
		port, asked, err := o.second(c.main, c.more)
		if port != c.port || asked != c.asked || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: port %d, asked %v, %v, want %d, %v, %q", c.text, port, asked, err, c.port, c.asked, c.err)
		}
	}
}

func TestSTUNAddress(t *testing.T) {
	local := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		texts []string
		want  []netip.Addr
		err   string
	}{
		{nil, nil, ""},
		{[]string{"127.0.0.1"}, []netip.Addr{local}, ""},
		{[]string{"::ffff:127.0.0.1"}, []netip.Addr{local}, ""},
		{[]string{"127.0.0.1", "127.0.0.1"}, nil, "of the same kind"},
		{[]string{"192.0.2.77"}, nil, "not an address of this host"},
		{[]string{"0.0.0.0"}, nil, "not an address that a host can have"},
		{[]string{"224.0.0.1"}, nil, "not an address that a host can have"},
		{[]string{"fe80::1%lo"}, nil, "not an address that a host can have"},
		{[]string{"rdv.example.org"}, nil, "not an address that a host can have"},
	} {
		o := stunOptions{addrs: c.texts}
		got, err := o.others()
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || err == nil && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %v, %v, want %v, %q", c.texts, got, err, c.want, c.err)
		}
	}
}

// stunClient asks the program.
type stunClient struct {
	t     *testing.T
	conn  *net.UDPConn
	codec stun.Codec
}

func newSTUNClient(t *testing.T) *stunClient {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &stunClient{t: t, conn: conn}
}

// ask returns what a server at a port of 127.0.0.1 answers, and from where.
func (c *stunClient) ask(port int, q stun.Request) (stun.Response, netip.AddrPort) {
	c.t.Helper()
	q.ID = stun.ID{byte(port), byte(port >> 8), 7}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	if _, err := c.conn.WriteToUDPAddrPort(c.codec.AppendRequest(nil, q, "test"), to); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, 600)
	c.conn.SetReadDeadline(time.Now().Add(patience))
	n, from, err := c.conn.ReadFromUDPAddrPort(b)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := c.codec.ParseResponse(b[:n])
	if err != nil || r.ID != q.ID {
		c.t.Fatalf("answer %x: %v", b[:n], err)
	}
	return r, from
}

// TestSTUNIsAnswered: on the port of the server, and on another one that is asked for.
func TestSTUNIsAnswered(t *testing.T) {
	t.Parallel()
	second := freePort(t)
	p := start(t, "--stun-port", fmt.Sprint(second))
	c := newSTUNClient(t)
	us := c.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, x := range []struct {
		to, from int
		change   bool
	}{{p.port, p.port, false}, {p.port, second, true}, {second, second, false}, {second, p.port, true}} {
		r, from := c.ask(x.to, stun.Request{ChangePort: x.change})
		other := p.port + second - x.to
		if r.Mapped != us || int(from.Port()) != x.from || int(r.OtherPort) != other || r.Other.IsValid() || !strings.HasPrefix(r.Software, program) {
			t.Errorf("asked at %d, change %v: %+v from %v, want it from %d, and the other port %d", x.to, x.change, r, from, x.from, other)
		}
	}
	if r, _ := c.ask(p.port, stun.Request{ChangeAddr: true}); r.Code != 420 {
		t.Errorf("a change of address: %+v, want it refused", r)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
}

// TestSTUNPortTaken: a port that was asked for and is taken is an error; the one that
// is usual is done without.
func TestSTUNPortTaken(t *testing.T) {
	t.Parallel()
	port := takenPort(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--stun-port", fmt.Sprint(port)}, "STUN on a second port"},
		{[]string{"--stun-port", "0", "--stun-address", "127.0.0.1"}, "--stun-address needs a second port"},
		{[]string{"--stun-port", "x"}, "is not a port number"},
		{[]string{"--stun-address", "192.0.2.77"}, "is not an address of this host"},
	} {
		cmd := exec.Command(binary, append([]string{"-p", fmt.Sprint(freePort(t))}, c.args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), c.want) || !strings.Contains(stderr.String(), "hint: ") {
			t.Errorf("%q: %v, %q, want %q and a hint", c.args, err, stderr.String(), c.want)
		}
	}
	p := startAt(t, port-1, "", nil)
	if r, _ := newSTUNClient(t).ask(port-1, stun.Request{}); r.OtherPort != 0 {
		t.Errorf("the second port is said to be %d, which is taken", r.OtherPort)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
}

// takenPort takes a UDP port, before which there is one that is free.
func takenPort(t *testing.T) int {
	t.Helper()
	for range 100 {
		taken, err := net.ListenUDP("udp4", &net.UDPAddr{})
		if err != nil {
			t.Fatal(err)
		}
		port := taken.LocalAddr().(*net.UDPAddr).Port
		before, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port - 1})
		if err == nil {
			before.Close()
			t.Cleanup(func() { taken.Close() })
			return port
		}
		taken.Close()
	}
	t.Fatal("no two ports side by side are free")
	return 0
}
