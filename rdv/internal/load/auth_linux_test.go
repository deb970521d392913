package load

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

var (
	pushFlag     = flag.Bool("push", false, "give clients with a channel a new revocation list")
	floodFlag    = flag.Int("flood", 0, "forged datagrams per second")
	togetherFlag = flag.Int("together", 0, "handshakes at the same time (default as many as the server lets in)")
	spreadFlag   = flag.Duration("spread", 3*time.Second, "in which all clients with a channel knock first")
)

// startAuth starts a server that authenticates its clients, and returns a
// certificate for all of them.
//
// publish gives the server a revocation list of 1 KB.
func startAuth(tb testing.TB, cpu int) (s *Server, cert tls.Certificate, publish func() error) {
	tb.Helper()
	dir := tb.TempDir()
	ca := pkitest.NewCA(tb, "ca", time.Now())
	certFile, key := ca.Issue(tb, "rdv", func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) }).WriteFiles(tb, dir)
	leaf := ca.Issue(tb, "client")
	id, err := pki.NewIdentity(leaf.Chain, leaf.Key)
	if err != nil {
		tb.Fatal(err)
	}
	list := func(after time.Duration, revoked int) []byte {
		var gone []*x509.Certificate
		for range revoked {
			gone = append(gone, &x509.Certificate{SerialNumber: big.NewInt(rand.Int64())})
		}
		at := time.Now().Add(after)
		return ca.CRL(tb, at, at.AddDate(1, 0, 0), gone...)
	}
	crl, next := filepath.Join(dir, "crl.pem"), filepath.Join(dir, "next.pem")
	pkitest.Write(tb, crl, "X509 CRL", list(-time.Hour, 0))
	pkitest.Write(tb, next, "X509 CRL", list(-time.Minute, 18))
	publish = func() error { return os.Rename(next, crl) }
	args := []string{"--certificate", certFile, "--key", key, "--ca", ca.WriteFile(tb, dir), "--crl", crl}
	if *rdvArgsFlag != "" {
		args = append(args, *rdvArgsFlag)
	}
	return startServer(tb, cpu, args...), id.TLS(), publish
}

// TestRunPush: a new revocation list reaches all clients.
func TestRunPush(t *testing.T) {
	s, cert, publish := startAuth(t, -1)
	r, err := RunAuth(t.Context(), AuthConfig{
		Clients: 30, Spread: 100 * ms, Together: 20, Interval: 200 * ms, Duration: 9 * sec, Publish: publish,
		Certificate: cert, Server: s.Addr(), Usage: s.Usage,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := r.Push
	if p.Noticed != 30 || p.Fetched != 30 || p.First <= 0 || p.LastChunk < p.LastDone || r.Unexpected != 0 {
		t.Errorf("%v", r)
	}
}

// TestRunAuth has a few clients with channels, and a flood.
func TestRunAuth(t *testing.T) {
	s, cert, _ := startAuth(t, -1)
	r, err := RunAuth(t.Context(), AuthConfig{
		Clients: 30, Spread: 100 * ms, Together: 20, Interval: 200 * ms, Asks: 50, Duration: sec, Flood: 1000,
		Certificate: cert, Server: s.Addr(), Usage: s.Usage,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Register == 0 || r.Pings < 30 || r.Pong.Len() == 0 || r.Asks == 0 || r.Peer.Len() == 0 || r.Introduce.Len() == 0 ||
		r.Unexpected != 0 || r.Reconnects != 0 || r.Flooded == 0 {
		t.Errorf("%+v\n%v", r, r)
	}
}

func TestRunAuthRefuses(t *testing.T) {
	if _, err := RunAuth(t.Context(), AuthConfig{Clients: 1}); err == nil {
		t.Error("a single client has nobody to ask for")
	}
}

// BenchmarkAuth is the program under the load of clients with channels, on one
// processor; with -flood under that of forged datagrams, too.
func BenchmarkAuth(b *testing.B) {
	n, duration := 2000, 10*time.Second
	if *clientsFlag > 0 {
		n = *clientsFlag
	}
	if *durationFlag > 0 {
		duration = *durationFlag
	}
	b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
		cpus, err := CPUs()
		if err != nil {
			b.Fatal(err)
		}
		cpu := cpus[len(cpus)-1]
		s, cert, publish := startAuth(b, cpu)
		if !*pushFlag {
			publish = nil
		}
		undo, err := KeepOff(cpu)
		if err != nil {
			b.Fatal(err)
		}
		defer undo()
		r, err := RunAuth(b.Context(), AuthConfig{
			Clients: n, Spread: *spreadFlag, Together: *togetherFlag, Interval: *intervalFlag, Asks: *asksFlag, Duration: duration, Seed: 1, Flood: *floodFlag, Publish: publish,
			Certificate: cert, Server: s.Addr(), Usage: s.Usage,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%d clients\n%v", n, r)
		b.ReportMetric(r.Register.Seconds(), "register-s")
		b.ReportMetric(float64(r.Server.CPU())/float64(r.Serve), "cores")
		b.ReportMetric(0, "ns/op")
	})
}
