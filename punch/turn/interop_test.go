//go:build unix

package turn

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/internal/testenv"
	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
	"campagnol/punch/udp"
	"campagnol/rdv/relay"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// listen opens a socket of the kernel.
func listen(t testing.TB, addr string) *udp.Conn {
	t.Helper()
	c, err := udp.Listen(udp.Config{Addr: at(addr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A stream is a punch.Conn over TCP: messages tell their own length (RFC 8656 section
// 12.5, RFC 8489 section 6.2.2).
type stream struct {
	net.Conn
	mu  sync.Mutex // guards writing
	buf []byte
}

func dialStream(t testing.TB, server netip.AddrPort) *stream {
	t.Helper()
	c, err := net.Dial("tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	return &stream{Conn: c, buf: make([]byte, 1<<16)}
}

func (s *stream) Send(ds []punch.Datagram) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		if _, err := s.Write(d.Data); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) Receive() ([]punch.Datagram, error) {
	if _, err := io.ReadFull(s.Conn, s.buf[:4]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(s.buf[2:]))
	if channeldata.Is(s.buf) {
		n = 4 + (n+3)&^3
	} else {
		n += stunHeader
	}
	if _, err := io.ReadFull(s.Conn, s.buf[4:n]); err != nil {
		return nil, err
	}
	return []punch.Datagram{{Addr: s.RemoteAddr().(*net.TCPAddr).AddrPort(), Data: s.buf[:n]}}, nil
}

func (s *stream) LocalAddr() netip.AddrPort { return s.Conn.LocalAddr().(*net.TCPAddr).AddrPort() }

// converse has two members talk with a peer through a relay, and with each other.
func converse(t *testing.T, config func(from string) Config) {
	t.Helper()
	a, b := allocated(t, config("127.0.0.2:0")), allocated(t, config("127.0.0.3:0"))
	peer := newNode(t, listen(t, "127.0.0.4:0"))
	for i := range 5 {
		text := strings.Repeat("x", 101*i+1)
		a.say(peer.sock.LocalAddr(), text)
		peer.expect(text, a.LocalAddr())
		peer.say(a.LocalAddr(), "re: "+text)
		a.expect("re: "+text, peer.sock.LocalAddr())
	}
	if h := a.table.Load().hops[peer.sock.LocalAddr()]; !h.bound {
		t.Errorf("no channel: %+v", h)
	}
	if err := b.Permit(a.LocalAddr().Addr()); err != nil {
		t.Fatal(err)
	}
	if err := a.Permit(b.LocalAddr().Addr()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "permissions", func() bool { return a.permits(b.LocalAddr()) && b.permits(a.LocalAddr()) })
	for i := range 5 {
		text := strings.Repeat("y", 303*i+2)
		a.say(b.LocalAddr(), text)
		b.expect(text, a.LocalAddr())
		b.say(a.LocalAddr(), text)
		a.expect(text, b.LocalAddr())
	}
	for _, c := range []*node{a, b} {
		if s := c.Stats(); s.Foreign+s.Strays+s.Garbage+s.Refused+s.Failed != 0 {
			t.Errorf("counted %+v", s)
		}
		if c.RTT() <= 0 || !c.Mapped().IsValid() {
			t.Errorf("round trip %v, mapped %v", c.RTT(), c.Mapped())
		}
		c.Close()
	}
}

// permits reports whether the relay has agreed to let an address send.
func (c *Conn) permits(a netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.m.perms[a.Addr()]
	return p != nil && !p.until.IsZero()
}

// lastAnswer returns when the allocation was last granted or refreshed.
func (c *Conn) lastAnswer() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m.refresh.Add(-c.m.ends.Sub(c.m.refresh)) // refreshed at half of its life
}

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s within ten seconds", what)
		}
	}
}

// over returns how to be a client of a server by UDP or TCP.
func over(t *testing.T, tcp bool, server netip.AddrPort) func(string) Config {
	return func(from string) Config {
		cfg := Config{Server: server, User: "alice", Password: password, Reliable: tcp}
		if tcp {
			cfg.Conn = dialStream(t, server)
		} else {
			cfg.Conn = listen(t, from)
		}
		return cfg
	}
}

// TestSockets: with a rendezvous server's relay, over the kernel's sockets.
func TestSockets(t *testing.T) {
	conn := listen(t, "127.0.0.1:0")
	secret := relay.NewSecret()
	startRelay(t, conn, relay.Config{
		Secret: secret, May: netip.Addr.IsLoopback,
		Listen: func(at netip.AddrPort) (punch.Conn, error) { return udp.Listen(udp.Config{Addr: at, Batch: 2}) },
		Own:    func() []netip.Addr { return []netip.Addr{conn.LocalAddr().Addr()} },
	})
	converse(t, func(from string) Config {
		user, password := secret.Issue(time.Now(), alice)
		return Config{Server: conn.LocalAddr(), Conn: listen(t, from), User: user, Password: password}
	})
}

// TestPion: with pion's server, over UDP and TCP.
func TestPion(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addresses := &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
	anybody := func(net.Addr, net.IP) bool { return true }
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: realm,
		AuthHandler: func(ra *turn.RequestAttributes) (string, []byte, bool) {
			return ra.Username, turn.GenerateAuthKey(ra.Username, ra.Realm, password), true
		},
		LoggerFactory:     &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: packets, RelayAddressGenerator: addresses, PermissionHandler: anybody}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: streams, RelayAddressGenerator: addresses, PermissionHandler: anybody}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Run("udp", func(t *testing.T) {
		converse(t, over(t, false, packets.LocalAddr().(*net.UDPAddr).AddrPort()))
	})
	t.Run("tcp", func(t *testing.T) {
		converse(t, over(t, true, streams.Addr().(*net.TCPAddr).AddrPort()))
	})
}

// startCoturn runs coturn at a port of 127.0.0.1, and returns where, and its process.
func startCoturn(t testing.TB, options ...string) (netip.AddrPort, *exec.Cmd) {
	t.Helper()
	program := testenv.Tool(t, "turnserver", "coturn")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	where := free.Addr().(*net.TCPAddr).AddrPort()
	free.Close()
	dir := t.TempDir()
	cmd := exec.Command(program, append([]string{
		"-n", "--no-cli", "--no-tls", "--no-dtls", "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--listening-port", strconv.Itoa(int(where.Port())),
		"--lt-cred-mech", "--user", "alice:" + password, "--realm", realm, "--allow-loopback-peers", "--fingerprint",
		"--pidfile", dir + "/pid", "--userdb", dir + "/db", "--log-file", dir + "/log", "--simple-log", "--relay-threads", "1",
	}, options...)...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("coturn said:\n%s", said.String())
		}
	})
	waitFor(t, "coturn", func() bool {
		c, err := net.Dial("tcp", where.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return where, cmd
}

// TestCoturn: with another implementation's server, over UDP and TCP. Its nonces are
// good for a second only.
func TestCoturn(t *testing.T) {
	where, cmd := startCoturn(t, "--stale-nonce", "1")
	t.Run("udp", func(t *testing.T) { converse(t, over(t, false, where)) })
	t.Run("tcp", func(t *testing.T) { converse(t, over(t, true, where)) })
	t.Run("stale nonce", func(t *testing.T) {
		c, peer := allocated(t, over(t, false, where)("127.0.0.2:0")), newNode(t, listen(t, "127.0.0.4:0"))
		time.Sleep(2100 * time.Millisecond)
		c.SetCredentials("alice", password) // has it refreshed
		waitFor(t, "fresh nonce", func() bool { return c.at(1).Add(2 * time.Second).Before(c.lastAnswer()) })
		c.say(peer.sock.LocalAddr(), "hello")
		peer.expect("hello", c.LocalAddr())
	})
	t.Run("refusals", func(t *testing.T) {
		cfg := over(t, false, where)("127.0.0.2:0")
		cfg.Password = "wrong"
		_, err := Allocate(t.Context(), cfg)
		refusedWith(t, err, CodeUnauthorized)
	})
	t.Run("killed", func(t *testing.T) {
		ways := []*node{allocated(t, over(t, false, where)("127.0.0.2:0")), allocated(t, over(t, true, where)(""))}
		cmd.Process.Kill()
		cmd.Wait()
		for i, c := range ways {
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			for ctx.Err() == nil && c.Err() == nil {
				c.Send([]punch.Datagram{{Addr: at("127.0.0.4:5000"), Data: []byte("x")}})
				time.Sleep(10 * time.Millisecond)
			}
			if err := c.Err(); err == nil || i == 0 && !errors.Is(err, ErrSilent) {
				t.Errorf("way %d: %v", i, err)
			}
		}
	})
}
