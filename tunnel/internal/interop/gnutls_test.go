package interop

import (
	"fmt"
	"testing"

	"campagnol/tunnel/record"
)

// priority returns GnuTLS's name for one suite in DTLS 1.2.
func priority(s record.Suite, more string) string {
	key := map[kind]string{rsa2048: "RSA", p256: "ECDSA"}[kindFor(s)]
	return "NONE:+VERS-DTLS1.2:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:+CTYPE-X509:+AEAD:+AES-128-GCM:+ECDHE-" + key + more
}

// TestGnuTLS opens sessions with AES-128-GCM: with and without extended master
// secret, which GnuTLS calls session hash, and, if it is the server, with and
// without a cookie.
func TestGnuTLS(t *testing.T) {
	for _, suite := range []record.Suite{record.ECDHE_ECDSA_AES128_GCM, record.ECDHE_RSA_AES128_GCM} {
		for _, client := range []kind{rsa2048, p256} {
			for _, ems := range []bool{true, false} {
				t.Run(fmt.Sprintf("%v with %s client/ems=%v", suite, client, ems), func(t *testing.T) {
					more := map[bool]string{true: "", false: ":%NO_SESSION_HASH"}[ems]
					s := setup{suite: suite, client: client, ciphers: priority(suite, more)}
					both(t, s, func(t *testing.T, s setup) { testGnuTLS(t, s, ems) })
				})
			}
		}
	}
}

func testGnuTLS(t *testing.T, s setup, ems bool) {
	cookie := ems // each with one of the two
	if !s.server && !cookie {
		s.args = []string{"--nocookie"}
	}
	e, p := connect(t, gnuTLS{}, s)
	if r := e.open(); r.Suite != s.suite || r.Protocol != "" {
		t.Errorf("%v, protocol %q", r.Suite, r.Protocol)
	}
	chat(e, p, s)
	ch, sh := lastHello(t, e.path, clientHello), lastHello(t, e.path, serverHello)
	if got := ch.has(extMasterSecret) && sh.has(extMasterSecret); got != ems {
		t.Errorf("extended master secret: %v, want %v", got, ems)
	}
	if got := ch.cookie > 0; got != (cookie && !s.server) {
		t.Errorf("cookie: %v", got)
	}
	if s.server { // gnutls-serv says nothing of it
		e.close()
		p.says("Peer has closed the GnuTLS connection")
	}
}

// TestGnuTLSCloses: we understand its close_notify.
func TestGnuTLSCloses(t *testing.T) {
	t.Parallel()
	e, p := connect(t, gnuTLS{}, setup{server: true, ciphers: priority(record.ECDHE_ECDSA_AES128_GCM, "")})
	e.open()
	talk(e, p)
	p.stdin.Close()
	e.isClosed()
}

// TestGnuTLSFragments: chains of certificates in small datagrams.
func TestGnuTLSFragments(t *testing.T) {
	suite := record.ECDHE_RSA_AES128_GCM
	both(t, setup{suite: suite, client: rsa2048, cas: 3, mtu: 400, ciphers: priority(suite, "")}, func(t *testing.T, s setup) {
		e, p := connect(t, gnuTLS{}, s)
		if r := e.open(); len(r.Certificates) < 4 {
			t.Errorf("a chain of %d certificates, want at least 4", len(r.Certificates))
		}
		chat(e, p, s)
		checkFragments(t, e.path)
	})
}

// chat sends lines both ways: gnutls-serv sends back what it gets.
func chat(e *end, p *process, s setup) {
	e.t.Helper()
	if s.server {
		talk(e, p)
		return
	}
	for i := range 3 {
		e.say(fmt.Sprint("line ", i))
		e.hears(fmt.Sprint("line ", i))
	}
}
