package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// A mesh is a VPN of real processes in a laboratory: the rendezvous server, and
// peers behind NATs. Peer i has the VPN address 10.9.0.i+1.
type mesh struct {
	t      *testing.T
	lab    *lab.Lab
	server *lab.Host
	rdv    *lab.Process
	creds  lab.Credentials // of the server, which uses them if it is told to
	peers  []*meshPeer
	starts int // of processes, to tell their logs apart
}

// A meshPeer is a host with a client.
type meshPeer struct {
	*lab.Host
	m       *mesh
	nat     *lab.NAT // nil: a public address
	vpn     netip.Addr
	conf    string // file
	process *lab.Process
}

// meshServerArgs make the server log for tests.
var meshServerArgs = []string{"-d", "--log-format", "json"}

// newMesh makes the hosts and starts the server, but no client yet.
func newMesh(t *testing.T, nats ...lab.Kind) *mesh {
	t.Helper()
	return newMeshIn(t, lab.Options{}, nats...)
}

// newMeshIn is newMesh in a laboratory of another kind.
func newMeshIn(t *testing.T, o lab.Options, nats ...lab.Kind) *mesh {
	t.Helper()
	testenv.Root(t)
	l, err := lab.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	m := &mesh{t: t, lab: l}
	t.Cleanup(func() {
		if t.Failed() {
			m.dumpLogs()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if m.server, err = l.AddHost("rdv", nil); err != nil {
		t.Fatal(err)
	}
	for i, kind := range nats {
		m.addPeer(i, kind)
	}
	m.certify()
	m.startServer()
	return m
}

func (m *mesh) addPeer(i int, kind lab.Kind) {
	m.t.Helper()
	p := &meshPeer{m: m, vpn: netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)})}
	var err error
	if kind != lab.None {
		if p.nat, err = m.lab.AddNAT(fmt.Sprintf("nat%d", i+1), lab.NATOptions{Kind: kind}); err != nil {
			m.t.Fatal(err)
		}
	}
	if p.Host, err = m.lab.AddHost(fmt.Sprintf("peer%d", i+1), p.nat); err != nil {
		m.t.Fatal(err)
	}
	m.peers = append(m.peers, p)
}

// certify makes the CA, and a certificate and a configuration for each peer.
func (m *mesh) certify() {
	m.t.Helper()
	var hosts []lab.Identity
	for _, p := range m.peers {
		hosts = append(hosts, lab.Identity{Name: p.Name(), Addr: p.vpn})
	}
	hosts = append(hosts, lab.Identity{Name: m.server.Name(), RDV: true})
	creds, err := certifyPeers(filepath.Join(m.lab.Dir(), "ca"), hosts)
	if err != nil {
		m.t.Fatal(err)
	}
	m.creds = creds[len(m.peers)]
	for i, p := range m.peers {
		dir := filepath.Join(m.lab.Dir(), p.Name())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			m.t.Fatal(err)
		}
		p.conf = filepath.Join(dir, "campagnol.conf")
		p.configure(fmt.Sprintf("[NETWORK]\nserver_host = %s\n[VPN]\nvpn_ip = %s\nnetwork = 10.9.0.0/24\n"+
			"[SECURITY]\ncertificate = %s\nkey = %s\nca_certificates = %s\n[CLIENT]\nstate_dir = %s\ncontrol_socket = none\n",
			m.server.Addr(), p.vpn, creds[i].Certificate, creds[i].Key, creds[i].CA, dir))
	}
}

// configure adds lines to the peer's configuration.
func (p *meshPeer) configure(lines string) {
	p.m.t.Helper()
	f, err := os.OpenFile(p.conf, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(lines)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		p.m.t.Fatal(err)
	}
}

// startServer starts the server, with more options if need be.
func (m *mesh) startServer(more ...string) {
	m.t.Helper()
	m.starts++
	args := append(slices.Clone(meshServerArgs), more...)
	var err error
	if m.rdv, err = m.server.Start(fmt.Sprintf("campagnol_rdv.%d", m.starts), filepath.Join(binaries, "campagnol_rdv"), args...); err != nil {
		m.t.Fatal(err)
	}
	m.await(m.rdv, "Server listening")
}

// start starts the peer's client and waits until it is registered.
func (p *meshPeer) start(args ...string) {
	p.m.t.Helper()
	args = append([]string{"-d", "--log-format", "json"}, append(args, p.conf)...)
	since := time.Now()
	p.m.starts++
	var err error
	if p.process, err = p.Start(fmt.Sprintf("campagnol.%d", p.m.starts), filepath.Join(binaries, "campagnol"), args...); err != nil {
		p.m.t.Fatal(err)
	}
	p.m.awaitSince(p.process, since, "Registration complete")
}

// await waits until a process has logged a message that begins with msg.
func (m *mesh) await(p *lab.Process, msg string) lab.LogLine {
	m.t.Helper()
	return m.awaitSince(p, time.Time{}, msg)
}

func (m *mesh) awaitSince(p *lab.Process, since time.Time, msg string) lab.LogLine {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	line, err := p.Await(ctx, since, lab.Pattern{Message: msg})
	if err != nil {
		m.t.Fatalf("%v has not logged %q: %v", p, msg, err)
	}
	return line
}

// ping pings a peer's VPN address and wants every answer.
func (p *meshPeer) ping(to *meshPeer, count int) lab.PingResult {
	p.m.t.Helper()
	r, err := p.Ping(p.m.t.Context(), to.vpn, lab.PingOptions{Count: count})
	if err != nil {
		p.m.t.Fatal(err)
	}
	if r.Received() != count {
		p.m.t.Errorf("%s pings %s: %v", p.Name(), to.Name(), r)
	}
	return r
}

func (m *mesh) dumpLogs() {
	for _, p := range m.peers {
		if p.process != nil {
			m.t.Logf("the end of the log of %v:\n%s", p.process, p.process.Tail())
		}
	}
	if m.rdv != nil {
		m.t.Logf("the end of the log of %v:\n%s", m.rdv, m.rdv.Tail())
	}
}
