package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/tunnel/record"
)

// selfSigned returns a certificate for tests of the protocol; who trusts whom
// is package pki's business.
func selfSigned(t testing.TB, key crypto.Signer, extra int) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "test", OrganizationalUnit: []string{strings.Repeat("x", extra)}},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<33, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// identities are made once: RSA keys take their time.
var identities = sync.OnceValue(func() map[string]crypto.Signer {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"ECDSA": ec, "RSA": rs}
})

func identity(t testing.TB, kind string) tls.Certificate {
	return selfSigned(t, identities()[kind], 0)
}

// kindOf returns the kind of server certificate that a suite needs.
func kindOf(s record.Suite) string {
	if strings.Contains(s.String(), "ECDSA") {
		return "ECDSA"
	}
	return "RSA"
}

// A datagram on its way between the two ends of a link.
type datagram struct {
	toServer bool
	n        int // how many went that way before it
	data     []byte
}

// A link connects a client's and a server's handshake. filter may drop (return
// nil), change or multiply datagrams; delivery takes a millisecond.
type link struct {
	t              *testing.T
	client, server *Handshake
	filter         func(d datagram) [][]byte
	delay          func(d datagram) time.Duration // more than a millisecond

	mu   sync.Mutex   // also held while filter runs
	sent map[bool]int // by direction
	log  []datagram
	wg   sync.WaitGroup
}

func newLink(t *testing.T, client, server Config) *link {
	t.Helper()
	l := &link{t: t, sent: map[bool]int{}}
	server.Server = true
	for _, c := range []*Config{&client, &server} {
		if c.Certificate.Certificate == nil {
			c.Certificate = identity(t, "ECDSA")
		}
	}
	var err error
	if l.client, err = New(client, func(b []byte) { l.carry(true, b) }); err != nil {
		t.Fatal(err)
	}
	if l.server, err = New(server, func(b []byte) { l.carry(false, b) }); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *link) carry(toServer bool, b []byte) {
	l.mu.Lock()
	d := datagram{toServer, l.sent[toServer], bytes.Clone(b)}
	l.sent[toServer]++
	l.log = append(l.log, d)
	out := [][]byte{d.data}
	if l.filter != nil {
		out = l.filter(d)
	}
	l.mu.Unlock()
	to := l.client
	if toServer {
		to = l.server
	}
	l.wg.Go(func() {
		time.Sleep(time.Millisecond)
		if l.delay != nil {
			time.Sleep(l.delay(d))
		}
		for _, b := range out {
			to.Handle(b)
		}
	})
}

// run runs both handshakes and returns what they ended with.
func (l *link) run() (client, server *Result, clientErr, serverErr error) {
	var wg sync.WaitGroup
	wg.Go(func() { client, clientErr = l.client.Run(l.t.Context()) })
	wg.Go(func() { server, serverErr = l.server.Run(l.t.Context()) })
	wg.Wait()
	l.wg.Wait()
	return
}

// mustRun is run for handshakes that succeed.
func (l *link) mustRun() (client, server *Result) {
	l.t.Helper()
	client, server, cerr, serr := l.run()
	if cerr != nil || serr != nil {
		l.t.Fatalf("client: %v; server: %v", cerr, serr)
	}
	return client, server
}

// exchange seals a message on one side and opens it on the other.
func exchange(t *testing.T, from, to *Result, text string) {
	t.Helper()
	rec, err := from.Seal.Seal(nil, []byte(text), record.ApplicationData, new(record.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	got, err := openRecord(to.Open, rec)
	if err != nil || string(got) != text {
		t.Fatalf("opened %q, %v, want %q", got, err, text)
	}
}

func openRecord(o *record.Opener, rec []byte) ([]byte, error) {
	h, rec, _, err := record.Split(rec)
	if err != nil {
		return nil, err
	}
	return o.Open(h, rec, new(record.Scratch))
}
