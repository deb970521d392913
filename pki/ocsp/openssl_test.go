package ocsp_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/testenv"
	"campagnol/pki"
	"campagnol/pki/ca"
	"campagnol/pki/ocsp"
)

// TestOpenSSL asks the responder of OpenSSL about certificates of a CA of ours,
// whose index it reads: it signs with the key of the CA, or with one that the CA
// has given it for that.
func TestOpenSSL(t *testing.T) {
	openssl := testenv.Tool(t, "openssl", "openssl")
	for _, c := range []struct {
		name      string
		delegated bool
		ca        ca.InitOptions
		rsa       int // bits of the responder's key
	}{
		{"the CA itself", false, ca.InitOptions{}, 0},
		{"the CA itself with RSA", false, ca.InitOptions{RSA: 2048}, 0},
		{"a responder", true, ca.InitOptions{}, 0},
		{"a responder with RSA", true, ca.InitOptions{}, 2048},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.ca)
			signer, key := w.ca.Files.Cert, w.ca.Files.Key
			if c.delegated {
				r := w.issue(ca.Request{Name: "responder", Responder: true, RSA: c.rsa})
				signer, key = r.CertFile, r.KeyFile
			}
			good, gone := w.issue(ca.Request{Name: "good", Addrs: vpn("10.9.0.1")}), w.issue(ca.Request{Name: "gone", Addrs: vpn("10.9.0.2")})
			if _, err := w.ca.Revoke(time.Now(), "gone", "keyCompromise"); err != nil {
				t.Fatal(err)
			}
			w.respond(openssl, "-index", w.ca.Files.Index, "-CA", w.ca.Files.Cert, "-rsigner", signer, "-rkey", key, "-nmin", "10")

			// One that the index lacks: whoever has the key of a CA can make it
			// without a line there.
			other := newWorld(t, c.ca)
			other.ca.Cert, other.ca.Files.Cert, other.ca.Files.Key = w.ca.Cert, w.ca.Files.Cert, w.ca.Files.Key
			forged := other.issue(ca.Request{Name: "forged", Addrs: vpn("10.9.0.3")})

			checker := ocsp.NewChecker(ocsp.Config{Transport: &http.Transport{DisableKeepAlives: true}}) // it may ask this host
			for _, p := range []struct {
				issued       *ca.Issued
				yes, require string
			}{{good, "", ""}, {gone, "(keyCompromise)", "(keyCompromise)"}, {forged, "", "does not know the certificate"}} {
				peer := w.peer(p.issued)
				ocsp.Judge{Checker: checker, Mode: ocsp.Yes}.Inquire(t.Context(), peer)
				for mode, want := range map[ocsp.Mode]string{ocsp.Yes: p.yes, ocsp.Require: p.require} {
					err := ocsp.Judge{Checker: checker, Mode: mode}.Check(time.Now(), peer)
					if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("%s, mode %v: %v, want %q", p.issued.Name, mode, err, want)
					}
				}
			}
			if s := checker.Stats(); s.Good != 1 || s.Revoked != 1 || s.Unknown != 1 || s.Failed != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestMemberAsResponder: a member with a good certificate plays the responder, and
// nobody believes it.
func TestMemberAsResponder(t *testing.T) {
	openssl := testenv.Tool(t, "openssl", "openssl")
	w := newWorld(t, ca.InitOptions{})
	mallory := w.issue(ca.Request{Name: "mallory", Addrs: vpn("10.9.0.6")})
	w.respond(openssl, "-index", w.ca.Files.Index, "-CA", w.ca.Files.Cert, "-rsigner", mallory.CertFile, "-rkey", mallory.KeyFile, "-nmin", "10")
	peer := w.peer(mallory)
	j := ocsp.Judge{Checker: ocsp.NewChecker(ocsp.Config{Transport: &http.Transport{DisableKeepAlives: true}}), Mode: ocsp.Require}
	j.Inquire(t.Context(), peer)
	if err := j.Check(time.Now(), peer); err == nil || !strings.Contains(err.Error(), "is no responder") {
		t.Errorf("%v, want that a member is no responder", err)
	}
}

// A world is a CA whose certificates name a responder on this host.
type world struct {
	t   *testing.T
	ca  *ca.CA
	url string
}

func newWorld(t *testing.T, opts ca.InitOptions) *world {
	t.Helper()
	c, err := ca.Init(filepath.Join(t.TempDir(), "CA"), opts, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, ca: c, url: "http://ocsp.invalid:1/"}
}

func vpn(addr string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(addr)} }

// issue issues a certificate. Where the responder is will be known later, and is
// told to peers by peer.
func (w *world) issue(req ca.Request) *ca.Issued {
	w.t.Helper()
	if len(req.OCSP) == 0 && !req.Responder {
		req.OCSP = []string{w.url}
	}
	out, err := w.ca.Issue(time.Now(), rand.Reader, req)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// peer returns who shows an issued certificate to those who trust the CA. The
// responder that it names is w's.
func (w *world) peer(i *ca.Issued) *pki.Peer {
	w.t.Helper()
	policy, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: w.ca.Files.Cert}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	peer, err := policy.Verify(time.Now(), [][]byte{i.Cert.Raw}, pki.Client)
	if err != nil {
		w.t.Fatal(err)
	}
	leaf := *peer.Leaf
	leaf.OCSPServer = []string{w.url}
	peer.Leaf = &leaf
	return peer
}

// respond starts "openssl ocsp" with options at a free port, and waits until it
// listens.
func (w *world) respond(openssl string, options ...string) {
	w.t.Helper()
	for range 5 { // another program may take the port
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if w.try(openssl, port, options) {
			w.url = fmt.Sprintf("http://127.0.0.1:%d/", port)
			return
		}
	}
	w.t.Fatal("openssl ocsp does not start")
}

func (w *world) try(openssl string, port int, options []string) bool {
	w.t.Helper()
	var log bytes.Buffer
	cmd := exec.CommandContext(w.t.Context(), openssl, append([]string{"ocsp", "-port", fmt.Sprint(port)}, options...)...)
	cmd.Env = append(cmd.Environ(), "OPENSSL_CONF=/dev/null", "LC_ALL=C")
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if w.t.Failed() {
			w.t.Logf("openssl ocsp: %s", &log)
		}
	})
	first := make([]byte, 1) // it says that it waits for clients
	_, err = io.ReadFull(out, first)
	return err == nil
}
