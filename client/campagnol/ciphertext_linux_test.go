package main

import (
	"testing"

	"campagnol/internal/lab"
)

// TestOnlyCiphertext: between two peers, and between a peer and a server with a
// certificate, nothing passes that was sent inside: there are records, what opens a
// channel, messages of STUN, and the few bytes in clear that it takes to find a path.
func TestOnlyCiphertext(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.PortRestricted)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	w, err := a.Interface("eth0").Watch(lab.WatchOptions{Filter: lab.FilterUDP(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, p := range m.peers {
		p.configure("[NETWORK]\nrdv_auth = yes\nport_mapping = no\n")
		p.start()
	}
	m.await(a.process, "The way to the Internet was examined")
	a.ping(b, 5)
	inside, err := b.Interface("tun0").Watch(lab.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	text := []byte("nobody on the way can read this")
	const messages = 200
	a.tell(b, text, messages)
	if got := lab.Inspect(inside.Seen(), text); got.Leaks < messages/2 {
		t.Errorf("the text is in %d packets behind the tunnel of %d that were sent: this test sees nothing", got.Leaks, messages)
	}
	server := lab.Inspect(lab.Between(w.Seen(), a.Addr(), m.server.Addr()), text)
	peers := lab.Inspect(lab.Between(w.Seen(), a.Addr(), b.nat.Addr()), text)
	t.Logf("with the server: %v", server)
	t.Logf("with the peer: %v", peers)
	if server.Leaks+peers.Leaks > 0 {
		t.Error("the text is seen outside of the tunnel")
	}
	if n := peers.Pieces[lab.Record]; n < messages || peers.Pieces[lab.Unknown] > 0 {
		t.Errorf("%d records, and %d pieces of no kind, such as\n%x", n, peers.Pieces[lab.Unknown], peers.Odd)
	}
	if n := server.Pieces[lab.Record]; n == 0 || server.Pieces[lab.Unknown]+server.Pieces[lab.Clear] > 0 {
		t.Errorf("with the server %d records, %d pieces of no kind, such as\n%x\nand %d messages in clear", n, server.Pieces[lab.Unknown], server.Odd, server.Pieces[lab.Clear])
	}
}
