package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// TestServerKilled: three rendezvous servers, real processes; while tunnels are opened
// one is killed, and none of the tunnels fails.
func TestServerKilled(t *testing.T) {
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted, lab.PortRestricted, lab.PortRestricted)
	for i := 2; i <= 3; i++ {
		h, err := m.lab.AddHost(fmt.Sprintf("rdv%d", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.Start(fmt.Sprintf("campagnol_rdv.at%d", i), filepath.Join(binaries, "campagnol_rdv"), meshServerArgs...)
		if err != nil {
			t.Fatal(err)
		}
		m.await(p, "Server listening")
		for _, peer := range m.peers {
			peer.configure(fmt.Sprintf("[NETWORK]\nserver_host = %v:57888\n", h.Addr()))
		}
	}
	for _, p := range m.peers {
		p.start()
	}
	for _, p := range m.peers {
		awaitRegistrations(t, p, 3)
	}
	alice, bob, carol, dave := m.peers[0], m.peers[1], m.peers[2], m.peers[3]
	alice.ping(bob, 1)
	if err := m.rdv.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-m.rdv.Exited()
	for _, pair := range [][2]*meshPeer{{alice, carol}, {dave, bob}, {carol, dave}, {bob, carol}} {
		if r := pair[0].ping(pair[1], 1); r.Received() != 1 {
			t.Errorf("%s does not reach %s without the first server", pair[0].Name(), pair[1].Name())
		}
	}
	alice.ping(dave, 1)
}

// awaitRegistrations waits until a peer has registered at so many servers.
func awaitRegistrations(t *testing.T, p *meshPeer, want int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		lines, err := p.process.Log()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, l := range lines {
			if l.Message == "Registration complete" {
				n++
			}
		}
		if n >= want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is registered at %d servers, want %d", p.Name(), n, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
