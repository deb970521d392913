//go:build unix

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/testenv"
	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv"
	"campagnol/rdv/channel"

	"github.com/pion/turn/v5"
)

// TestStreamOptions: what makes no sense is an error that says so, and what to do.
func TestStreamOptions(t *testing.T) {
	for _, c := range []struct {
		name     string
		mode     rdv.Mode
		tls, tcp []string
		udp      int
		want     string // "": nothing is wrong
	}{
		{"none", rdv.Open, nil, nil, 16, ""},
		{"good", rdv.Mixed, []string{"443", "443"}, []string{"80"}, 14, ""},
		{"without a certificate", rdv.Open, []string{"443"}, nil, 1, "need --certificate"},
		{"the same port", rdv.Strict, []string{"443"}, []string{"80", "443"}, 1, "443 is the port of --tls-port"},
		{"too many", rdv.Mixed, []string{"443", "444"}, []string{"80"}, 14, "are given 17 times"},
		{"no number", rdv.Mixed, []string{"https"}, nil, 1, `"https" is not a port number`},
		{"no port", rdv.Mixed, nil, []string{"0"}, 1, `"0" is not a port number`},
		{"too large", rdv.Mixed, nil, []string{"65536"}, 1, `"65536" is not a port number`},
	} {
		var o streamOptions
		var err error
		for _, x := range []struct {
			p    *ports
			list []string
		}{{&o.tls, c.tls}, {&o.tcp, c.tcp}} {
			for _, text := range x.list {
				err = errors.Join(err, x.p.Set(text))
			}
		}
		if err == nil {
			err = o.check(c.mode, c.udp)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		var hint interface{ Hint() string }
		if err != nil && (!errors.As(err, &hint) || hint.Hint() == "") {
			t.Errorf("%s: no hint", c.name)
		}
	}
}

// freeTCP returns a TCP port that nobody uses.
func freeTCP(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// dialStream connects to a port of the program by TCP, or by TLS, where the server has to
// show a certificate.
func dialStream(t *testing.T, port int, certificate *x509.Certificate) *stream.Conn {
	t.Helper()
	cfg := stream.Config{Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))}
	if certificate != nil {
		cfg.TLS = &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			if !s.PeerCertificates[0].Equal(certificate) || s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != stream.Protocol {
				return fmt.Errorf("shown %v by TLS %x, protocol %q", s.PeerCertificates[0].Subject, s.Version, s.NegotiatedProtocol)
			}
			return nil
		}}
	}
	conn, err := stream.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// over returns a client whose datagrams go over a connection to a port.
func over(t *testing.T, conn *stream.Conn, port int) *client {
	t.Helper()
	bridge, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bridge.Close() })
	c := dial(t, "127.0.0.1", "127.0.0.1", bridge.LocalAddr().(*net.UDPAddr).Port)
	us, server := c.conn.LocalAddr().(*net.UDPAddr).AddrPort(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, _, err := bridge.ReadFrom(b)
			if err != nil {
				return
			}
			conn.Send([]punch.Datagram{{Addr: server, Data: b[:n]}})
		}
	}()
	go func() {
		for {
			ds, err := conn.Receive()
			if err != nil {
				return
			}
			for _, d := range ds {
				bridge.WriteToUDPAddrPort(d.Data, us)
			}
		}
	}()
	return c
}

// serverCert returns the certificate in a file.
func serverCert(t *testing.T, f *files) *x509.Certificate {
	t.Helper()
	id, err := pki.LoadIdentity(f.cert, f.key)
	if err != nil {
		t.Fatal(err)
	}
	return id.Chain[0]
}

// TestStreamServed: members by TLS, by TCP and by UDP are one VPN; who comes by a
// connection is at no place that others are told of; and HELLO is of no use there.
func TestStreamServed(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	overTLS, overTCP := freeTCP(t), freeTCP(t)
	p := start(t, f.args("--tls-port", fmt.Sprint(overTLS), "--tcp-port", fmt.Sprint(overTCP), "-v")...)
	p.waitLine(fmt.Sprintf("Server listening on TCP port %d", overTLS))
	p.waitLine(fmt.Sprintf("Server listening on TCP port %d", overTCP))

	conn := dialStream(t, overTLS, serverCert(t, f))
	a := over(t, conn, overTLS)
	alice := a.channel(f.alice)
	p.waitLine("Authenticated channel with alice at " + conn.LocalAddr().String() + " (TCP)")
	a.send(ping)
	a.receive(pong)

	plain := dialStream(t, overTCP, nil)
	b := over(t, plain, overTCP)
	bob := b.open(f.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2")))
	at := func(r channel.Message) string { return fmt.Sprint(r.Endpoints) }
	r := b.asks(bob, channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{netip.MustParseAddr("10.9.0.2")}}, channel.Registered)
	if want := fmt.Sprint([]netip.AddrPort{plain.LocalAddr()}); at(r) != want {
		t.Errorf("registered at %s, want %s", at(r), want)
	}
	c := dial(t, "127.0.0.1", "127.0.0.1", p.port)
	carol := c.open(f.ca.Issue(t, "carol", pkitest.Addrs("10.9.0.3")))
	c.asks(carol, channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{netip.MustParseAddr("10.9.0.3")}}, channel.Registered)

	for _, x := range []struct{ vpn, want string }{{"10.9.0.2", "[]"}, {"10.9.0.3", "[" + c.conn.LocalAddr().String() + "]"}} {
		m := a.asks(alice, channel.Message{Type: channel.Ask, ID: 7, VPN: []netip.Addr{netip.MustParseAddr(x.vpn)}}, channel.Peer)
		if at(m) != x.want {
			t.Errorf("%s is said to be at %s, want %s", x.vpn, at(m), x.want)
		}
	}
	d := over(t, dialStream(t, overTCP, nil), overTCP)
	d.send(hello2)
	d.send(ping)
	d.receive(reconnect)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("status %d, %q", code, &p.stderr)
	}
}

// TestStreamCertificate: a new certificate is shown without a restart, and connections
// that stand stay.
func TestStreamCertificate(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	port := freeTCP(t)
	p := start(t, f.args("--tls-port", fmt.Sprint(port), "-v")...)
	p.waitLine("listening on TCP")
	a := over(t, dialStream(t, port, serverCert(t, f)), port)
	a.channel(f.alice)
	f.ca.Issue(t, "rdv", func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) }).WriteFiles(t, f.dir)
	p.signal(syscall.SIGHUP)
	p.waitLine("read again")
	dialStream(t, port, serverCert(t, f))
	a.send(ping)
	a.receive(pong)
}

// TestStreamTaken: a port that is taken is an error that says what to do.
func TestStreamTaken(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	for _, option := range []string{"--tls-port", "--tcp-port"} {
		cmd := exec.Command(binary, append([]string{"-p", fmt.Sprint(freePort(t)), option, port}, f.args()...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), option+": ") || !strings.Contains(stderr.String(), "hint: another program may have TCP port "+port) {
			t.Errorf("%s: %v, %q", option, err, stderr.String())
		}
	}
}

// relaying starts the program as a relay that is reached by TLS, too, with credentials.
func relaying(t *testing.T, options ...string) (port int, f *files, g channel.Message) {
	t.Helper()
	f = newFiles(t)
	port = freeTCP(t)
	p := start(t, f.args(append([]string{"--tls-port", fmt.Sprint(port), "--relay", "-v"}, options...)...)...)
	p.waitLine("listening on TCP")
	c := over(t, dialStream(t, port, serverCert(t, f)), port)
	r := c.channel(f.alice)
	d := dial(t, "127.0.0.1", "127.0.0.1", p.port)
	peer := []netip.Addr{netip.MustParseAddr("10.9.0.2")}
	d.asks(d.open(f.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))), channel.Message{Type: channel.Register, ID: 1, VPN: peer}, channel.Registered)
	return port, f, c.asks(r, channel.Message{Type: channel.Relay, ID: 77, VPN: peer}, channel.Relayed)
}

// TestStreamRelay: a client that knows nothing of Campagnol gets a relayed address by
// TLS, and two of them reach each other.
func TestStreamRelay(t *testing.T) {
	t.Parallel()
	port, _, g := relaying(t, "--relay-ports", "61100-61199", "--relay-clients", "5")
	allocate := func() net.PacketConn {
		t.Helper()
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn"}})
		if err != nil {
			t.Fatal(err)
		}
		client, err := turn.NewClient(&turn.ClientConfig{
			TURNServerAddr: conn.RemoteAddr().String(), Username: g.User, Password: string(g.Password), Conn: turn.NewSTUNConn(conn),
		})
		if err == nil {
			err = client.Listen()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			client.Close()
			conn.Close()
		})
		relayed, err := client.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		return relayed
	}
	a, b := allocate(), allocate()
	text := make(chan string, 1)
	go func() {
		buf := make([]byte, 2000)
		n, _, _ := b.ReadFrom(buf)
		text <- string(buf[:n])
	}()
	for deadline := time.After(patience); ; {
		b.WriteTo([]byte("let in"), a.LocalAddr()) // permits a
		a.WriteTo([]byte("hello, over there"), b.LocalAddr())
		select {
		case got := <-text:
			if got != "hello, over there" {
				t.Errorf("heard %q", got)
			}
			return
		case <-deadline:
			t.Fatal("nothing arrives")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestStreamCoturn: coturn's client over TLS has everything relayed that it sends to
// another of its kind. It takes what comes in one record of TLS for one message, however
// many there are, and so bytes are what counts.
func TestStreamCoturn(t *testing.T) {
	t.Parallel()
	program := testenv.Tool(t, "turnutils_uclient", "coturn")
	port, _, g := relaying(t, "--relay-ports", "61200-61299", "--relay-per-client", "20", "--relay-clients", "50")
	args := []string{"-t", "-S", "-y", "-v", "-c", "-L", "127.0.0.1", "-n", "20", "-z", "5", "-u", g.User, "-w", string(g.Password), "-p", strconv.Itoa(port), "127.0.0.1"}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	sum := func(what string) (n int) {
		for _, m := range regexp.MustCompile(`: `+what+`: size=(\d+)`).FindAllSubmatch(out, -1) {
			if size, err := strconv.Atoi(string(m[1])); err == nil && size%104 == 0 { // 100 bytes in a channel
				n += size
			}
		}
		return n
	}
	if sent, got := sum("buffer sent"), sum("response received"); sent < 40*104 || sent != got {
		t.Errorf("of %d bytes %d came back\n%s", sent, got, out)
	}
}
