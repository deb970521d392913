package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"campagnol/client"
	"campagnol/pki"
	"campagnol/pki/ca"
	"campagnol/punch"
)

// A caAuthority serves a CA by rendezvous servers: it keeps one [client.Authority]
// running after the other, each with one certificate and one address of each server.
//
//	serve ──▶ session: addresses, socket, certificate ──▶ client.Authority
//	  ▲                                                       │
//	  └── another certificate, other addresses, an error ─────┘
//
// A session without any answer by UDP is followed by one over streams (TLS); that lasts
// until it ends by itself, at the latest when the certificate has to be another.
//
// What needs no new session, lists and bulletin, goes on in it.
type caAuthority struct {
	service *ca.Service
	servers []string // each HOST:PORT
	now     func() time.Time
	lookup  func(ctx context.Context, server string) (netip.AddrPort, error)
	listen  func() (punch.Conn, error)
	streams streamDialer // nil: there is nothing but UDP
	log     *slog.Logger

	byTLS   bool   // the next session is
	trouble string // that was logged last; owned by serve, and by watch while it runs
}

const (
	// caLook is how often we look for what has changed. Two seconds after a change
	// it has to count.
	caLook = time.Second

	// caDeaf is how long a session by UDP may get no answer before the next is by TLS.
	caDeaf = 3 * time.Second

	// caAway is how long a server may be silent before names are resolved again.
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
			wait = caFirstWait
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
	at           []client.Server
	byTLS        bool
	registration atomic.Pointer[ca.Registration] // the newest; its certificate stays the same
	objects      atomic.Pointer[ca.Objects]
	authority    *client.Authority
}

// find resolves the names of the servers. Those that cannot be resolved are missing;
// it is an error if none can.
func (a *caAuthority) find(ctx context.Context) (list []client.Server, err error) {
	for _, name := range a.servers {
		at, failed := a.lookup(ctx, name)
		if failed == nil {
			list = append(list, client.Server{Name: name, Addrs: []netip.AddrPort{at}})
		} else if err == nil {
			err = failed
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, err
}

// sameServers reports whether servers have not moved.
func sameServers(a, b []client.Server) bool {
	return slices.EqualFunc(a, b, func(a, b client.Server) bool {
		return a.Name == b.Name && slices.Equal(a.Addrs, b.Addrs)
	})
}

// session registers at the servers, and serves until that has to be done anew, when
// it returns nil, or an error.
func (a *caAuthority) session(ctx context.Context) error {
	at, err := a.find(ctx)
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
	s := &caSession{at: at, byTLS: a.byTLS}
	a.byTLS = false
	conn, err := a.connect(ctx, s)
	if err != nil {
		return err
	}
	s.registration.Store(r)
	s.objects.Store(&objects)
	s.authority, err = client.NewAuthority(client.AuthorityConfig{
		Conn: conn, Servers: at, Certificate: r.Certificate, VerifyServer: s.verifyServer,
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

// connect opens what a session goes over.
func (a *caAuthority) connect(ctx context.Context, s *caSession) (punch.Conn, error) {
	if !s.byTLS {
		return a.listen()
	}
	b, err := openBundle(ctx, s.at, a.streams)
	if err != nil {
		return nil, fmt.Errorf("no answer by UDP, and by TLS: %w", err)
	}
	a.log.Info("The authority is served by TLS: UDP gets no answer", "servers", len(b.streams))
	return b, nil
}

// watch looks for changes until the session has to end, or ctx is done.
func (a *caAuthority) watch(ctx context.Context, s *caSession) {
	ticker := time.NewTicker(caLook)
	defer ticker.Stop()
	heard := a.now() // when all servers were there last
	began, up := heard, false
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		state := s.authority.Status()
		switch {
		case up:
		case slices.ContainsFunc(state, func(r client.RDVStatus) bool { return r.Authenticated }):
			up, a.trouble = true, ""
		case !s.byTLS && a.streams != nil && a.now().Sub(began) >= caDeaf:
			a.byTLS = true
			return
		}
		if len(state) == len(a.servers) && !slices.ContainsFunc(state, func(r client.RDVStatus) bool { return !r.Authenticated }) {
			heard = a.now()
		}
		if a.now().Sub(heard) > caAway {
			heard = a.now()
			if at, err := a.find(ctx); err == nil && !sameServers(at, s.at) {
				a.log.Info("The RDV server has another address", "server", addrsOf(at), "before", addrsOf(s.at))
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

// addrsOf returns where servers are, for the log.
func addrsOf(list []client.Server) string {
	var texts []string
	for _, s := range list {
		texts = append(texts, s.Addrs[0].String())
	}
	return strings.Join(texts, " ")
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
