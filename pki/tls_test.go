package pki

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// These tests run whole handshakes, with the settings that a DTLS library gets:
// its own verification off, ours in the callback. TLS 1.2 has the handshake of
// DTLS 1.2.

// tlsConfig is the configuration of a host. peer receives who was let in.
func tlsConfig(id *Identity, p *Policy, peerRole Role, peer **Peer) *tls.Config {
	return &tls.Config{
		Certificates:       []tls.Certificate{id.TLS()},
		MaxVersion:         tls.VersionTLS12,
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // of names; VerifyPeerCertificate decides
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			got, err := p.Verify(time.Now(), raw, peerRole)
			*peer = got
			return err
		},
	}
}

func newIdentity(t *testing.T, l *pkitest.Leaf) *Identity {
	t.Helper()
	id, err := NewIdentity(l.Chain, l.Key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// handshake connects two hosts and returns whom each let in, and its error.
// (Over TCP: on a net.Pipe, without buffers, the two would wait for each other
// when one refuses while the other still talks.)
func handshake(t *testing.T, client, server *Identity, p *Policy) (clientPeer, serverPeer *Peer, clientErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		defer b.Close()
		done <- tls.Server(b, tlsConfig(server, p, Client, &serverPeer)).Handshake()
	}()
	clientErr = tls.Client(a, tlsConfig(client, p, Server, &clientPeer)).Handshake()
	if clientErr != nil {
		a.Close()
	}
	serverErr = <-done
	return clientPeer, serverPeer, clientErr, serverErr
}

func TestHandshake(t *testing.T) {
	start := time.Now()
	root := pkitest.NewCA(t, "root", start)
	sub := root.Intermediate(t, "sub")
	p := newPolicy(t, 0, root.Cert)
	alice := newIdentity(t, sub.Issue(t, "alice", pkitest.Addrs("10.9.0.1")))
	bob := newIdentity(t, root.IssueKey(t, "bob", pkitest.RSAKey(t), pkitest.Addrs("10.9.0.2")))
	asker := newIdentity(t, root.Issue(t, "asker", pkitest.ExtUsage(x509.ExtKeyUsageClientAuth)))
	eve := newIdentity(t, pkitest.NewCA(t, "root", start).Issue(t, "eve"))
	old := newIdentity(t, root.Issue(t, "old", pkitest.Valid(start.Add(-2*time.Hour), start.Add(-time.Hour))))
	for _, c := range []struct {
		name           string
		client, server *Identity
		clientRefuses  Reason // 0: it accepts the server
		serverRefuses  Reason
	}{
		{"ECDSA asks RSA", alice, bob, 0, 0},
		{"RSA asks ECDSA", bob, alice, 0, 0},
		{"a host with itself", alice, alice, 0, 0},
		{"client only, asking", asker, alice, 0, 0},
		{"client only, asked", alice, asker, WrongUsage, 0},
		{"intruder asks", eve, alice, 0, UnknownCA},
		{"intruder is asked", alice, eve, UnknownCA, 0},
		{"expired asks", old, alice, 0, Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			clientPeer, serverPeer, clientErr, serverErr := handshake(t, c.client, c.server, p)
			check := func(side string, peer *Peer, err error, want Reason, other *Identity) {
				t.Helper()
				var r *Refusal
				switch {
				case want != 0 && (!errors.As(err, &r) || r.Reason != want):
					t.Errorf("%s: %v, want %v", side, err, want)
				case want == 0 && (peer == nil || peer.Key != KeyOf(other.Chain[0])):
					t.Errorf("%s: peer %v, %v, want %v", side, peer, err, other.Chain[0].Subject)
				}
			}
			check("client", clientPeer, clientErr, c.clientRefuses, c.server)
			if c.clientRefuses == 0 {
				check("server", serverPeer, serverErr, c.serverRefuses, c.client)
			}
		})
	}
}

// TestHandshakeOpenSSL speaks with the openssl program in both roles, which
// verifies our certificate, purpose included, as we do its.
func TestHandshakeOpenSSL(t *testing.T) {
	dir := t.TempDir()
	pkitest.NeedOpenSSL(t, dir)
	start := time.Now()
	root := pkitest.NewCA(t, "root", start)
	caFile := root.WriteFile(t, dir)
	ours := newIdentity(t, root.Issue(t, "ours", pkitest.Addrs("10.9.0.1")))
	theirs := root.IssueKey(t, "theirs", pkitest.RSAKey(t))
	certFile, keyFile := theirs.WriteFiles(t, dir)
	intruder := pkitest.NewCA(t, "other", start).Issue(t, "intruder")
	badCert, badKey := intruder.WriteFiles(t, dir)
	p := newPolicy(t, 0, root.Cert)
	common := func(cert, key string) []string {
		return []string{"-CAfile", caFile, "-cert", cert, "-key", key, "-tls1_2", "-verify_return_error", "-no_ticket"}
	}
	t.Run("openssl asks", func(t *testing.T) {
		peer, err := serveOpenSSL(t, ours, p, common(certFile, keyFile))
		if err != nil || peer == nil || peer.Name != "theirs" {
			t.Errorf("peer %v, %v, want theirs", peer, err)
		}
		_, err = serveOpenSSL(t, ours, p, common(badCert, badKey))
		wantRefusal(t, err, UnknownCA, "CN=intruder")
	})
	t.Run("openssl is asked", func(t *testing.T) {
		peer, err := askOpenSSL(t, ours, p, common(certFile, keyFile))
		if err != nil || peer == nil || peer.Name != "theirs" {
			t.Errorf("peer %v, %v, want theirs", peer, err)
		}
		_, err = askOpenSSL(t, ours, p, common(badCert, badKey))
		wantRefusal(t, err, UnknownCA, "CN=intruder")
		// And openssl refuses what we would refuse.
		stranger := newIdentity(t, pkitest.NewCA(t, "other", start).Issue(t, "stranger"))
		if _, err = askOpenSSL(t, stranger, p, common(certFile, keyFile)); err == nil {
			t.Error("openssl let a stranger in")
		}
	})
}

// serveOpenSSL lets "openssl s_client" connect to us.
func serveOpenSSL(t *testing.T, id *Identity, p *Policy, args []string) (peer *Peer, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"s_client", "-connect", l.Addr().String()}, args...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // its status is that of the connection's end
	defer stdin.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	server := tls.Server(conn, tlsConfig(id, p, Client, &peer))
	if err := server.Handshake(); err != nil {
		return nil, err
	}
	// One line through the tunnel shows that openssl is content too.
	if _, err := io.WriteString(stdin, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(server).ReadString('\n'); err != nil || line != "hello\n" {
		return nil, errors.Join(errors.New("read: "+line), err)
	}
	return peer, nil
}

// askOpenSSL connects to "openssl s_server".
func askOpenSSL(t *testing.T, id *Identity, p *Policy, args []string) (peer *Peer, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_server", "-accept", "127.0.0.1:0", "-Verify", "5", "-naccept", "1"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe() // at its end openssl would end too
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // cancel has killed it
	defer cancel()
	defer stdin.Close()
	lines := bufio.NewReader(out)
	var addr string
	for addr == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("openssl s_server: %v", err)
		}
		addr, _ = strings.CutPrefix(strings.TrimSpace(line), "ACCEPT ")
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			addr = ""
		}
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	client := tls.Client(conn, tlsConfig(id, p, Server, &peer))
	if err := client.Handshake(); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(client, "hello\n"); err != nil {
		return nil, err
	}
	for {
		line, err := lines.ReadString('\n')
		if strings.Contains(line, "hello") {
			return peer, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// The files that an identity is loaded from work in a handshake as well.
func TestHandshakeFiles(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", time.Now())
	sub := root.Intermediate(t, "sub")
	caFile := root.WriteFile(t, dir)
	certFile, keyFile := sub.Issue(t, "alice").WriteFiles(t, dir)
	id, err := LoadIdentity(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	crlFile := filepath.Join(dir, "crl.pem")
	pkitest.Write(t, crlFile, "X509 CRL", sub.CRL(t, time.Now().Add(-time.Minute), time.Now().Add(time.Hour), id.Chain[0]))
	for crl, want := range map[string]Reason{"": 0, crlFile: Revoked} {
		p, err := LoadPolicy(PolicyConfig{CAFile: caFile, CRLFile: crl}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, _, err, _ = handshake(t, id, id, p)
		if want == 0 && err != nil {
			t.Error(err)
		} else if want != 0 {
			wantRefusal(t, err, want, "CN=alice")
		}
	}
}
