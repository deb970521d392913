package interop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// A setup says who meets whom, and how. Zero values are the usual case.
type setup struct {
	server  bool          // our role
	suite   record.Suite  // ours; and theirs, unless ciphers is set. 0: the first
	client  kind          // of the client's certificate; "": ECDSA. The server's follows from the suite
	cas     int           // CAs between leaf and root, in both chains
	mtu     int           // of both ends' datagrams, in bytes; 0: as they like
	timeout time.Duration // of our handshake; 0: as usual

	version string   // OpenSSL's option; "": DTLS 1.2 alone
	ciphers string   // the process's, in its program's language
	args    []string // more for the process
	options string   // OpenSSL's, in the language of openssl.cnf

	filter func(d datagram) [][]byte      // of the path
	delay  func(d datagram) time.Duration // of the path
}

func (s setup) withDefaults() setup {
	if s.suite == 0 {
		s.suite = record.Suites()[0]
	}
	if s.client == "" {
		s.client = p256
	}
	return s
}

// certificates returns our identity and the other's.
func (s setup) certificates(t *testing.T) (ours, theirs identity) {
	t.Helper()
	ourKind, theirKind := s.client, kindFor(s.suite)
	if s.server {
		ourKind, theirKind = theirKind, ourKind
	}
	return newIdentity(t, "ours", ourKind, s.cas), newIdentity(t, "theirs", theirKind, s.cas)
}

// A library is an implementation of DTLS with a program for either role.
type library interface {
	client(t *testing.T, s setup, ours, theirs identity, to *net.UDPAddr) command
	server(t *testing.T, s setup, ours, theirs identity) command
	address(p *process) *net.UDPAddr // of a server, once it is ready
}

// connect starts our end and a process of a library, which find each other. The
// handshake is for the caller to run.
func connect(t *testing.T, lib library, s setup) (*end, *process) {
	t.Helper()
	s = s.withDefaults()
	ours, theirs := s.certificates(t)
	cfg := handshake.Config{
		Server: s.server, Certificate: ours.cert, Suites: []record.Suite{s.suite}, MTU: s.mtu, Timeout: s.timeout,
		Verify: wants(theirs), Protocols: []string{tunnel.ProtocolName},

		ConnectionID: &record.ID{1, 2, 3, 4}, // which no library that is tried knows
	}
	var p *process
	var to *net.UDPAddr
	if !s.server {
		p = start(t, lib.server(t, s, ours, theirs))
		to = lib.address(p)
	}
	link := newPath(t, to)
	link.filter, link.delay = s.filter, s.delay
	e := newEnd(t, link, cfg)
	if s.server {
		p = start(t, lib.client(t, s, ours, theirs, link.addr()))
	}
	return e, p
}

// openSSL is s_client and s_server.
type openSSL struct{}

// acceptLine is how s_server prints a port that the kernel chose.
var acceptLine = regexp.MustCompile(`ACCEPT (\S+)\n`)

// address reads it from what s_server prints.
func (openSSL) address(p *process) *net.UDPAddr {
	p.t.Helper()
	groups := p.matches(acceptLine)
	addr, err := net.ResolveUDPAddr("udp4", groups[0])
	if err != nil {
		p.t.Fatal(err)
	}
	return addr
}

func (o openSSL) client(t *testing.T, s setup, ours, theirs identity, to *net.UDPAddr) command {
	return o.command(t, s, ours, theirs, "s_client", "-connect", to.String())
}

func (o openSSL) server(t *testing.T, s setup, ours, theirs identity) command {
	return o.command(t, s, ours, theirs, "s_server", "-accept", ownLoopback()+":0", "-Verify", "9")
}

// ownLoopback returns an address of this host that no other server has. s_server
// sets SO_REUSEADDR, and to two sockets that do, Linux may give the same port of
// the same address, whoever asks for any.
func ownLoopback() string {
	if runtime.GOOS != "linux" { // where 127.0.0.0/8 is not all ours
		return "127.0.0.1"
	}
	n := rand.N(1 << 22)
	return fmt.Sprintf("127.%d.%d.%d", 64+n>>16, n>>8&255, n&255)
}

func (openSSL) command(t *testing.T, s setup, ours, theirs identity, args ...string) command {
	t.Helper()
	if s.version == "" {
		s.version = "-dtls1_2"
	}
	if s.ciphers == "" {
		s.ciphers = s.suite.String()
	}
	args = append(args, s.version, "-cipher", s.ciphers, "-verify_return_error", "-CAfile", ours.rootFile,
		"-cert", theirs.leafFile, "-key", theirs.keyFile)
	if s.cas > 0 {
		args = append(args, "-cert_chain", theirs.chainFile)
	}
	if s.mtu > 0 {
		args = append(args, "-mtu", fmt.Sprint(s.mtu+28)) // it counts the IP and UDP headers
	}
	// A distribution's configuration may forbid what a test is about.
	conf := filepath.Join(t.TempDir(), "openssl.cnf")
	text := "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = options\n[options]\nMinProtocol = None\n"
	if s.options != "" {
		text += s.options + "\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return command{"openssl", "openssl", append(args, s.args...), []string{"OPENSSL_CONF=" + conf}}
}

// gnuTLS is gnutls-cli and gnutls-serv, which sends back what it gets.
type gnuTLS struct{}

// address asks the kernel: gnutls-serv prints only the port that it was given.
func (gnuTLS) address(p *process) *net.UDPAddr {
	p.t.Helper()
	p.says("Server listening on IPv4 0.0.0.0 port 0...done")
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.udpPort()}
}

func (g gnuTLS) client(t *testing.T, s setup, ours, theirs identity, to *net.UDPAddr) command {
	return g.command(s, ours, theirs, "gnutls-cli", "--verify-hostname=ours", fmt.Sprint("--port=", to.Port), to.IP.String())
}

func (g gnuTLS) server(t *testing.T, s setup, ours, theirs identity) command {
	return g.command(s, ours, theirs, "gnutls-serv", "--echo", "--require-client-cert", "--verify-client-cert", "--port=0")
}

func (gnuTLS) command(s setup, ours, theirs identity, program string, args ...string) command {
	if s.mtu > 0 {
		args = append(args, fmt.Sprint("--mtu=", s.mtu))
	}
	args = append(args, "--udp", "--priority="+s.ciphers, "--x509cafile="+ours.rootFile,
		"--x509certfile="+theirs.fullFile, "--x509keyfile="+theirs.keyFile)
	return command{program, "gnutls-bin", append(args, s.args...), nil}
}

// both runs a test in both roles, in parallel with others.
func both(t *testing.T, s setup, f func(t *testing.T, s setup)) {
	for _, server := range []bool{true, false} {
		name := "we are the client"
		if server {
			name = "we are the server"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s
			s.server = server
			f(t, s)
		})
	}
}

// together runs n tests at the same time, more than the machine has processors:
// most of their time they wait for retransmissions.
func together(t *testing.T, n int, f func(t *testing.T, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			t.Run(fmt.Sprint(i), func(t *testing.T) { f(t, i) })
		})
	}
	wg.Wait()
}

// talk sends lines both ways.
func talk(e *end, p *process) {
	e.t.Helper()
	for i := range 3 {
		p.send(fmt.Sprint("their line ", i))
		e.hears(fmt.Sprint("their line ", i))
		e.say(fmt.Sprint("our line ", i))
		p.says(fmt.Sprint("our line ", i))
	}
}
