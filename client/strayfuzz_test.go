package client

import (
	"bytes"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
)

// FuzzStray throws datagrams at the data path from an address that is no source: one
// decryption is tried in vain at most, and what is delivered was sealed by a peer.
func FuzzStray(f *testing.F) {
	p := newPathID(f, 3)
	good := p.datagrams(0, 1)[0].Data
	other := p.datagrams(1, 1)[0].Data
	f.Add(good, false)
	f.Add(other, true)
	f.Add(append(bytes.Clone(good), other...), false)
	f.Add(append(bytes.Clone(good), good[:len(good)-1]...), true)
	f.Add(good[:13], false)
	f.Add(append(append([]byte{22}, good[1:]...), good...), true)
	f.Fuzz(func(t *testing.T, b []byte, handshaking bool) {
		p := newPathID(t, 3)
		var genuine [][]byte
		for i := range 3 {
			genuine = append(genuine, p.datagrams(i, 1)[0].Data)
		}
		known := 0 // records at most
		for _, g := range genuine {
			if bytes.Contains(b, g) {
				known++
			}
		}
		if handshaking {
			p.tab = p.tab.withSource(elsewhere, &source{handshaking: true})
		}
		p.in.batch(began.Add(time.Second), p.tab, []punch.Datagram{{Addr: elsewhere, Data: bytes.Clone(b)}})
		if p.dev.packets > known {
			t.Errorf("%d packets delivered, of %d that were sealed", p.dev.packets, known)
		}
		if n := p.in.c.drops.Get(tunnel.DropAuth); n > 1 {
			t.Errorf("%d decryptions in vain", n)
		}
		if n := len(p.events()); n > p.dev.packets {
			t.Errorf("%d events about %d packets", n, p.dev.packets)
		}
	})
}
