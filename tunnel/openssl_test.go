package tunnel

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/internal/testenv"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// These tests hold sessions with OpenSSL: its s_client and s_server, with
// certificates on both sides, against our handshake and record layer.

// writeIdentity writes a self-signed certificate and its key as PEM files.
func writeIdentity(t *testing.T, dir, name string, key crypto.Signer) (cert tls.Certificate, certFile, keyFile string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile
}

func newKey(t *testing.T, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if kind == "RSA" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A peer is an OpenSSL process: what it prints, and lines to make it send.
type peer struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func startOpenSSL(t *testing.T, args ...string) *peer {
	t.Helper()
	p := &peer{t: t, cmd: exec.Command(testenv.Tool(t, "openssl", "openssl"), args...), ended: make(chan error, 1)}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("openssl %s:\n%s", strings.Join(args, " "), p.output())
		}
	})
	return p
}

// Write takes what the process prints.
func (p *peer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *peer) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// says waits until the process has printed text.
func (p *peer) says(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if strings.Contains(p.output(), text) {
			return
		}
	}
	p.t.Fatalf("OpenSSL did not print %q", text)
}

func (p *peer) isServer() bool { return p.cmd.Args[1] == "s_server" }

func (p *peer) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// An end is our end of a session with OpenSSL over UDP.
type end struct {
	t    *testing.T
	conn *net.UDPConn // connected once the peer is known
	to   *net.UDPAddr
	hs   *handshake.Handshake

	// filter may change what arrives before we see it.
	filter func(b []byte) [][]byte
	// drop may lose what we send.
	drop func(b []byte) bool

	mu      sync.Mutex
	session *Session
	closed  *Event
	data    [][]byte
	arrived chan struct{} // something of the above changed
}

func newEnd(t *testing.T, conn *net.UDPConn) *end {
	t.Cleanup(func() { conn.Close() })
	return &end{t: t, conn: conn, arrived: make(chan struct{}, 1)}
}

func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (e *end) send(b []byte) {
	if e.drop != nil && e.drop(b) {
		return
	}
	e.conn.WriteToUDP(b, e.to)
}

// run reads the socket until it is closed.
func (e *end) run() {
	buf := make([]byte, 65536)
	for {
		n, from, err := e.conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		e.mu.Lock()
		if e.to == nil {
			e.to = from
		}
		in := [][]byte{bytes.Clone(buf[:n])}
		if e.filter != nil {
			in = e.filter(in[0])
		}
		for _, b := range in {
			e.receive(b)
		}
		e.mu.Unlock()
		select {
		case e.arrived <- struct{}{}:
		default:
		}
	}
}

// receive does what a client does with a datagram. e.mu is held.
func (e *end) receive(b []byte) {
	if e.session == nil {
		e.hs.Handle(b)
		return
	}
	for rest := b; len(rest) > 0; {
		h, rec, r, err := record.Split(rest)
		if err != nil {
			return
		}
		rest = r
		payload, control, d := e.session.Receive(1, h, rec, new(record.Scratch))
		switch {
		case d == DropNotIP: // OpenSSL's lines are none
			e.data = append(e.data, bytes.Clone(rec))
		case control:
			out, ev := e.session.Handle(time.Now(), h.Type, payload, nil)
			for _, b := range out {
				e.send(b)
			}
			if ev.Closed {
				e.closed = &ev
			}
		}
	}
}

// open runs the handshake and takes the session over.
func (e *end) open() *handshake.Result {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 10*time.Second)
	defer cancel()
	r, err := e.hs.Run(ctx)
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session = NewSession(time.Now(), alice, r)
	for _, rec := range e.hs.Early() {
		e.receive(rec)
	}
	return r
}

// until waits for a condition on the end's state.
func (e *end) until(what string, ok func() bool) {
	e.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		e.mu.Lock()
		done := ok()
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-e.arrived:
		case <-timeout:
			e.t.Fatalf("no %s", what)
		}
	}
}

// line waits for a line of OpenSSL's. Receive opens records in place, so that
// the line stands in the record; a session refuses what is not IP.
func (e *end) line(text string) {
	e.t.Helper()
	e.until("line "+text, func() bool {
		for _, b := range e.data {
			if bytes.Contains(b, []byte(text)) {
				return true
			}
		}
		return false
	})
}

func (e *end) say(text string) {
	e.t.Helper()
	rec, d := e.session.Seal(1, nil, []byte(text+"\n"), new(record.Scratch))
	if d != Kept {
		e.t.Fatal(d)
	}
	e.send(rec)
}

func (e *end) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.session.CloseNotify(nil) {
		e.send(b)
	}
}

// startServer starts our end as the DTLS server and s_client against it.
func startServer(t *testing.T, suite record.Suite, adjust func(*end)) (*end, *peer) {
	t.Helper()
	dir := t.TempDir()
	ours, ourCert, _ := writeIdentity(t, dir, "ours", newKey(t, keyKind(suite)))
	theirs, theirCert, theirKey := writeIdentity(t, dir, "theirs", newKey(t, "ECDSA"))
	e := newEnd(t, listenUDP(t))
	hs, err := handshake.New(handshake.Config{
		Server: true, Certificate: ours, Suites: []record.Suite{suite},
		Verify: wants(theirs), Protocols: []string{ProtocolName},
	}, e.send)
	if err != nil {
		t.Fatal(err)
	}
	e.hs = hs
	if adjust != nil {
		adjust(e)
	}
	go e.run()
	p := startOpenSSL(t, "s_client", "-dtls1_2", "-connect", e.conn.LocalAddr().String(),
		"-cert", theirCert, "-key", theirKey, "-CAfile", ourCert, "-verify_return_error",
		"-cipher", suite.String())
	return e, p
}

// startClient starts s_server and our end as the DTLS client against it.
func startClient(t *testing.T, suite record.Suite, adjust func(*end)) (*end, *peer) {
	t.Helper()
	dir := t.TempDir()
	ours, ourCert, _ := writeIdentity(t, dir, "ours", newKey(t, "RSA"))
	theirs, theirCert, theirKey := writeIdentity(t, dir, "theirs", newKey(t, keyKind(suite)))
	free := listenUDP(t)
	to := free.LocalAddr().(*net.UDPAddr)
	free.Close()
	p := startOpenSSL(t, "s_server", "-dtls1_2", "-accept", to.String(),
		"-cert", theirCert, "-key", theirKey, "-CAfile", ourCert, "-Verify", "1", "-verify_return_error",
		"-cipher", suite.String())
	p.says("ACCEPT")
	e := newEnd(t, listenUDP(t))
	e.to = to
	hs, err := handshake.New(handshake.Config{
		Certificate: ours, Suites: []record.Suite{suite},
		Verify: wants(theirs), Protocols: []string{ProtocolName},
	}, e.send)
	if err != nil {
		t.Fatal(err)
	}
	e.hs = hs
	if adjust != nil {
		adjust(e)
	}
	go e.run()
	return e, p
}

func keyKind(s record.Suite) string {
	if strings.Contains(s.String(), "ECDSA") {
		return "ECDSA"
	}
	return "RSA"
}

// wants accepts the chain that consists of c and no other.
func wants(c tls.Certificate) func([][]byte) error {
	return func(chain [][]byte) error {
		if len(chain) == 0 || !bytes.Equal(chain[0], c.Certificate[0]) {
			return fmt.Errorf("not the certificate that OpenSSL was given (chain of %d)", len(chain))
		}
		return nil
	}
}

// both runs a test of a session in both roles.
func both(t *testing.T, f func(t *testing.T, start func(*testing.T, record.Suite, func(*end)) (*end, *peer))) {
	t.Run("we are the server", func(t *testing.T) { t.Parallel(); f(t, startServer) })
	t.Run("we are the client", func(t *testing.T) { t.Parallel(); f(t, startClient) })
}

func TestOpenSSL(t *testing.T) {
	testenv.Tool(t, "openssl", "openssl")
	for _, suite := range record.Suites() {
		t.Run(suite.String(), func(t *testing.T) {
			both(t, func(t *testing.T, start func(*testing.T, record.Suite, func(*end)) (*end, *peer)) {
				e, p := start(t, suite, nil)
				if r := e.open(); r.Suite != suite || r.Protocol != "" {
					t.Errorf("%v, protocol %q", r.Suite, r.Protocol)
				}
				for i := range 3 { // data both ways
					p.send(fmt.Sprint("their line ", i))
					e.line(fmt.Sprint("their line ", i))
					e.say(fmt.Sprint("our line ", i))
					p.says(fmt.Sprint("our line ", i))
				}
				if p.isServer() { // it closes its socket before it would say so
					e.close()
				} else {
					p.send("Q")
				}
				e.until("close_notify of OpenSSL", func() bool { return e.closed != nil && e.closed.Reason == nil })
			})
		})
	}
}

// TestOpenSSLWeClose: OpenSSL understands our close_notify.
func TestOpenSSLWeClose(t *testing.T) {
	both(t, func(t *testing.T, start func(*testing.T, record.Suite, func(*end)) (*end, *peer)) {
		e, p := start(t, record.ECDHE_ECDSA_AES128_GCM, nil)
		e.open()
		e.say("before the end")
		p.says("before the end")
		e.close()
		if p.isServer() {
			p.says("DONE") // and it waits for the next client
			return
		}
		select {
		case err := <-p.ended:
			if err != nil {
				t.Errorf("s_client: %v", err)
			}
			p.says("closed")
		case <-time.After(10 * time.Second):
			t.Error("s_client did not end")
		}
	})
}

// TestOpenSSLLastFlightLost loses our last flight, after which pion is gone: the
// session repeats it, and OpenSSL comes through.
func TestOpenSSLLastFlightLost(t *testing.T) {
	t.Parallel()
	const losses = 2
	lost := 0
	e, p := startServer(t, record.ECDHE_ECDSA_AES128_GCM, func(e *end) {
		e.drop = func(b []byte) bool {
			if b[0] == byte(record.ChangeCipherSpec) && lost < losses {
				lost++
				return true
			}
			return false
		}
	})
	e.open()
	p.send("hello after all")
	e.line("hello after all")
	e.say("welcome")
	p.says("welcome")
	e.mu.Lock()
	defer e.mu.Unlock()
	if lost != losses {
		t.Errorf("lost %d flights, want %d", lost, losses)
	}
}

// TestOpenSSLEarlyData lets OpenSSL's data overtake its Finished.
func TestOpenSSLEarlyData(t *testing.T) {
	t.Parallel()
	var held [][]byte
	e, p := startClient(t, record.ECDHE_RSA_AES256_GCM, func(e *end) {
		e.filter = func(b []byte) [][]byte {
			switch {
			case b[0] == byte(record.ApplicationData) && held != nil:
				b = append([]byte(nil), b...)
				in := append([][]byte{b}, held...)
				held = nil
				return in
			case hasFinished(b):
				held = append(held, b)
				return nil
			}
			return [][]byte{b}
		}
	})
	p.send("early line") // it goes out as soon as OpenSSL is done
	e.open()
	e.line("early line")
	e.say("late answer")
	p.says("late answer")
}

// hasFinished reports whether a datagram has a protected handshake record.
func hasFinished(b []byte) bool {
	for len(b) > 0 {
		h, _, rest, err := record.Split(b)
		if err != nil {
			return false
		}
		if h.Epoch == 1 && h.Type == record.Handshake {
			return true
		}
		b = rest
	}
	return false
}
