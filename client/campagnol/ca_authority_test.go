package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/ca"
	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// An office is a CA that is served by rendezvous servers on a network in memory.
type office struct {
	t       *testing.T
	ca      *ca.CA
	id      *pki.Identity // of the servers
	network *simnet.Net
	log     *textLog
	server  *textLog // of all servers
	stop    func()   // ends the authority

	mu     sync.Mutex
	at     netip.AddrPort // that the name of the server has
	lookup error          // of the next lookups
}

const officeServer = "198.51.100.1:57888"

// inOffice runs a test with an office, in a bubble. The authority runs.
func inOffice(t *testing.T, test func(o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &office{t: t, network: simnet.New(1, simnet.Delay(time.Millisecond)), log: new(textLog), server: new(textLog), at: netip.MustParseAddrPort(officeServer)}
		t.Cleanup(func() { o.network.Close() })
		var err error
		if o.ca, err = ca.Init(filepath.Join(t.TempDir(), "CA"), ca.InitOptions{}, time.Now(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		out, err := o.ca.Issue(time.Now(), rand.Reader, ca.Request{Name: "rdv", Rendezvous: true})
		if err != nil {
			t.Fatal(err)
		}
		if o.id, err = pki.LoadIdentity(out.CertFile, out.KeyFile); err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.NewTextHandler(o.log, nil))
		service, err := ca.OpenService(o.ca.Dir, nil, log)
		if err != nil {
			t.Fatal(err)
		}
		a := &caAuthority{service: service, servers: []string{"rdv.example.org:57888"}, now: time.Now, log: log, lookup: o.find}
		a.listen = func() (punch.Conn, error) { return o.network.Internet().Listen("198.51.100.99:0"), nil }
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := a.serve(ctx); err != nil {
				t.Errorf("serve: %v", err)
			}
		})
		o.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
		defer o.stop()
		test(o)
	})
}

func (o *office) find(context.Context, string) (netip.AddrPort, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at, o.lookup
}

// name gives the name of the server an address, or an error.
func (o *office) name(at string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at, o.lookup = netip.MustParseAddrPort(at), err
}

// serve runs a rendezvous server at an address.
func (o *office) serve(at string) (stop func()) {
	o.t.Helper()
	p, err := pki.NewPolicy([]*x509.Certificate{o.ca.Cert}, nil, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	s := rdv.New(rdv.Config{
		Conn: o.network.Internet().Listen(at), Mode: rdv.Strict, Trust: rdv.NewTrust(o.id, p),
		Log: slog.New(slog.NewTextHandler(o.server, nil)),
	})
	ctx, cancel := context.WithCancel(o.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			o.t.Errorf("server: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	o.t.Cleanup(stop)
	return stop
}

// pass lets time pass.
func (o *office) pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

// wants checks how often something was logged, by the authority or by servers.
func (o *office) wants(log *textLog, text string, want int) {
	o.t.Helper()
	if got := log.count(text); got != want {
		o.t.Errorf("%q was logged %d times, want %d:\n%s", text, got, want, log.b.String())
	}
}

const (
	registered = "Registration complete"
	newList    = "There is a new revocation list"
)

// TestServe: the authority registers, and what changes in its directory is at the
// server within two seconds.
func TestServe(t *testing.T) {
	inOffice(t, func(o *office) {
		defer o.serve(officeServer)()
		o.pass(5 * time.Second)
		o.wants(o.log, registered, 1)
		o.wants(o.server, newList, 1)
		if _, err := o.ca.CRL(time.Now(), rand.Reader, 30); err != nil {
			t.Fatal(err)
		}
		o.pass(2 * time.Second)
		o.wants(o.server, newList, 2)
		if _, err := o.ca.Publish(time.Now(), rand.Reader, ""); err != nil {
			t.Fatal(err)
		}
		o.pass(2 * time.Second)
		o.wants(o.server, "bulletin", 1)
		o.stop()
		o.wants(o.log, registered, 1)
		o.wants(o.log, "level=WARN", 0)
	})
}

// TestServeForADay: before its certificate ends the authority has another, and is
// registered with that.
func TestServeForADay(t *testing.T) {
	inOffice(t, func(o *office) {
		defer o.serve(officeServer)()
		o.pass(15 * time.Hour)
		o.wants(o.log, registered, 1)
		o.pass(2 * time.Hour)
		o.wants(o.log, registered, 2)
		o.wants(o.log, "level=WARN", 0)
	})
}

// TestServeLate: neither a name that cannot be resolved nor a server that is away
// ends the program.
func TestServeLate(t *testing.T) {
	inOffice(t, func(o *office) {
		o.name(officeServer, errors.New("no such host"))
		o.pass(10 * time.Minute)
		o.wants(o.log, registered, 0)
		if n := o.log.count("no such host"); n > 1 {
			t.Errorf("the same error is logged %d times", n)
		}
		o.name(officeServer, nil)
		o.pass(10 * time.Minute)
		defer o.serve(officeServer)()
		o.pass(2 * time.Minute)
		o.wants(o.log, registered, 1)
	})
}

// TestServeMoves: a server that is away, and has another address when it comes back,
// is found there.
func TestServeMoves(t *testing.T) {
	inOffice(t, func(o *office) {
		stop := o.serve(officeServer)
		o.pass(5 * time.Second)
		o.wants(o.log, registered, 1)
		stop()
		const moved = "198.51.100.2:57888"
		defer o.serve(moved)()
		o.name(moved, nil)
		o.pass(3 * time.Minute)
		o.wants(o.log, registered, 2)
		o.wants(o.log, "another address", 1)
	})
}

// TestServeRotation: while the key of the CA is being replaced, and after that, the
// authority stays registered with a server that trusts both keys.
func TestServeRotation(t *testing.T) {
	inOffice(t, func(o *office) {
		defer o.serve(officeServer)()
		o.pass(5 * time.Second)
		if _, err := o.ca.Rotate(time.Now(), rand.Reader, ca.InitOptions{}); err != nil {
			t.Fatal(err)
		}
		o.pass(time.Minute)
		o.wants(o.log, registered, 1) // the server does not know the new key
		o.wants(o.log, "level=WARN", 0)
	})
}

// TestServeUnreadable: a directory that cannot be read for a while is complained of
// once, and the authority stays registered.
func TestServeUnreadable(t *testing.T) {
	inOffice(t, func(o *office) {
		defer o.serve(officeServer)()
		o.pass(5 * time.Second)
		list := o.ca.Files.CRL
		if err := os.Rename(list, list+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(list, 0o700); err != nil { // a list that is only missing is made anew
			t.Fatal(err)
		}
		o.pass(time.Minute)
		o.wants(o.log, "cannot read what has changed", 1)
		if err := os.Remove(list); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(list+".away", list); err != nil {
			t.Fatal(err)
		}
		o.pass(time.Minute)
		o.wants(o.log, registered, 1)
		o.wants(o.log, "cannot read what has changed", 1)
	})
}

// TestServeVerifiesServer: a member, and a server of another CA, are no servers.
func TestServeVerifiesServer(t *testing.T) {
	now := time.Now()
	newCA := func() *ca.CA {
		c, err := ca.Init(filepath.Join(t.TempDir(), "CA"), ca.InitOptions{}, now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ours, other := newCA(), newCA()
	chain := func(c *ca.CA, r ca.Request) [][]byte {
		out, err := c.Issue(now, rand.Reader, r)
		if err != nil {
			t.Fatal(err)
		}
		return [][]byte{out.Cert.Raw}
	}
	service, err := ca.OpenService(ours.Dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r, err := service.Registration(now)
	if err != nil {
		t.Fatal(err)
	}
	s := new(caSession)
	s.registration.Store(r)
	for _, c := range []struct {
		name  string
		chain [][]byte
		good  bool
	}{
		{"the server", chain(ours, ca.Request{Name: "rdv", Rendezvous: true}), true},
		{"a member", chain(ours, ca.Request{Name: "alice", Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}), false},
		{"nobody in particular", chain(ours, ca.Request{Name: "nobody", NoAddress: true}), false},
		{"the authority itself", r.Certificate.Certificate, false},
		{"a server of another CA", chain(other, ca.Request{Name: "rdv", Rendezvous: true}), false},
		{"nothing", nil, false},
	} {
		id, err := s.verifyServer(now, c.chain)
		if (err == nil) != c.good || c.good && id.Name != "rdv" {
			t.Errorf("%s: %+v, %v, want accepted: %v", c.name, id, err, c.good)
		}
	}
}
