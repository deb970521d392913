package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"campagnol/client"
	"campagnol/pki"
	"campagnol/pki/ca"
	"campagnol/punch"
)

// A caAuthority serves a CA by a rendezvous server: it keeps one [client.Authority]
// running after the other, each with one certificate and one address of the server.
//
//	serve ──▶ session: address, socket, certificate ──▶ client.Authority
//	  ▲                                                     │
//	  └── another certificate, another address, an error ───┘
//
// What needs no new session, lists and bulletin, goes on in it.
type caAuthority struct {
	service *ca.Service
	server  string // HOST:PORT
	now     func() time.Time
	lookup  func(ctx context.Context, server string) (netip.AddrPort, error)
	listen  func() (punch.Conn, error)
	log     *slog.Logger

	trouble string // that was logged last; owned by serve, and by watch while it runs
}

const (
	// caLook is how often we look for what has changed. Two seconds after a change
	// it has to count.
	caLook = time.Second

	// caAway is how long the server may be silent before its name is resolved again.
	caAway = 30 * time.Second

	caFirstWait, caLastWait = time.Second, time.Minute // before the next session, after an error
)

// serve serves until ctx is done.
func (a *caAuthority) serve(ctx context.Context) error {
	wait := caFirstWait
	for {
		began := a.now()
		err := a.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			a.trouble, wait = "", caFirstWait
			continue
		}
		a.complain("The authority is not served; trying again", err)
		if a.now().Sub(began) > caLastWait {
			wait = caFirstWait // it did work
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, caLastWait)
	}
}

// complain logs an error, unless it is the same as before.
func (a *caAuthority) complain(msg string, err error) {
	if text := err.Error(); text != a.trouble {
		a.trouble = text
		a.log.Warn(msg, "err", err)
	}
}

// A caSession is a registration at the server, and what it makes use of.
type caSession struct {
	at           netip.AddrPort
	registration atomic.Pointer[ca.Registration] // the newest; its certificate stays the same
	objects      atomic.Pointer[ca.Objects]
	authority    *client.Authority
}

// session registers at the server, and serves until that has to be done anew, when
// it returns nil, or an error.
func (a *caAuthority) session(ctx context.Context) error {
	at, err := a.lookup(ctx, a.server)
	if err != nil {
		return err
	}
	r, err := a.service.Registration(a.now())
	if err != nil {
		return err
	}
	objects, err := a.service.Objects(a.now())
	if err != nil {
		return err
	}
	conn, err := a.listen()
	if err != nil {
		return err
	}
	s := &caSession{at: at}
	s.registration.Store(r)
	s.objects.Store(&objects)
	s.authority, err = client.NewAuthority(client.AuthorityConfig{
		Conn: conn, Server: at, Certificate: r.Certificate, VerifyServer: s.verifyServer,
		Software: caSoftware, Answer: a.service.Answer, Log: a.log,
		Objects: func() []client.Object { return caObjects(*s.objects.Load()) },
	})
	if err != nil {
		conn.Close()
		return err
	}
	running, end := context.WithCancel(ctx)
	defer end()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer end()
		a.watch(running, s)
	}()
	err = s.authority.Run(running)
	end()
	<-watched
	return err
}

// watch looks for changes until the session has to end, or ctx is done.
func (a *caAuthority) watch(ctx context.Context, s *caSession) {
	ticker := time.NewTicker(caLook)
	defer ticker.Stop()
	heard := a.now() // when the server was there last
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if s.authority.Status().Authenticated {
			heard = a.now()
		}
		if a.now().Sub(heard) > caAway {
			heard = a.now()
			if at, err := a.lookup(ctx, a.server); err == nil && at != s.at {
				a.log.Info("The RDV server has another address", "server", at, "before", s.at)
				return
			}
		}
		if again, err := a.refresh(s); err != nil {
			a.complain("The authority cannot read what has changed", err)
		} else if again {
			return
		}
	}
}

// refresh gives a session what has changed, and reports whether it takes another
// session.
func (a *caAuthority) refresh(s *caSession) (again bool, err error) {
	objects, err := a.service.Objects(a.now())
	if err != nil {
		return false, err
	}
	if !sameObjects(objects, *s.objects.Load()) {
		s.objects.Store(&objects)
		s.authority.Changed()
	}
	r, err := a.service.Registration(a.now())
	if err != nil {
		return false, err
	}
	last := s.registration.Swap(r)
	return r.Certificate.Leaf != last.Certificate.Leaf, nil
}

// sameObjects reports whether there is nothing new for hosts.
func sameObjects(a, b ca.Objects) bool {
	if len(a.CRLs) != len(b.CRLs) || !bytes.Equal(a.Bulletin, b.Bulletin) {
		return false
	}
	for i := range a.CRLs {
		if !bytes.Equal(a.CRLs[i], b.CRLs[i]) {
			return false
		}
	}
	return true
}

// verifyServer decides whether a chain is that of a rendezvous server of the VPN.
func (s *caSession) verifyServer(now time.Time, chain [][]byte) (client.ServerIdentity, error) {
	peer, err := s.registration.Load().Policy.Verify(now, chain, pki.Server)
	if err != nil {
		return client.ServerIdentity{}, fmt.Errorf("the certificate of the RDV server: %w", err)
	}
	if !pki.IsRendezvous(peer.Leaf) || pki.IsAuthority(peer.Leaf) {
		return client.ServerIdentity{}, &roleError{name: peer.Name}
	}
	return client.ServerIdentity{Name: peer.Name, Expires: peer.Leaf.NotAfter}, nil
}
