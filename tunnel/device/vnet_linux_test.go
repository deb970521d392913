package device

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"campagnol/tunnel/segment"
)

func TestVnet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		header []byte
		ok     bool
		want   segment.GSO
	}{
		{"plain", make([]byte, vnetLen), true, segment.GSO{}},
		{"sum beyond the end", []byte{1, 0, 0, 0, 0, 0, 200, 0, 16, 0}, false, segment.GSO{}},
		{"TCP over IPv4", []byte{1, vnetTCP4, 40, 0, 0x57, 5, 20, 0, 16, 0}, true, segment.GSO{Kind: segment.TCP4, Size: 1367}},
		{"with ECN", []byte{1, vnetTCP6 | vnetECN, 60, 0, 0x57, 5, 40, 0, 16, 0}, true, segment.GSO{Kind: segment.TCP6, Size: 1367}},
		{"UDP", []byte{1, vnetUDP, 28, 0, 100, 0, 20, 0, 6, 0}, true, segment.GSO{Kind: segment.UDP, Size: 100}},
		{"no size", []byte{1, vnetTCP4, 40, 0, 0, 0, 20, 0, 16, 0}, false, segment.GSO{Kind: segment.TCP4}},
		{"unknown kind", []byte{0, 3, 0, 0, 1, 0, 0, 0, 0, 0}, false, segment.GSO{}},
	} {
		p, ok := parseVnet(append(c.header, make([]byte, 60)...))
		if ok != c.ok || p.GSO != c.want || len(p.Data) != 60 {
			t.Errorf("%s: %+v, %v", c.name, p.GSO, ok)
		}
	}
}

// TestVnetFrame: what the header of a joined frame says counts from the frame's
// beginning.
func TestVnetFrame(t *testing.T) {
	t.Parallel()
	head := append(bytes.Repeat([]byte{2}, 12), 0x81, 0, 0, 7, 8, 0)
	j := segment.Joiner{Link: segment.Ethernet, UDP: true}
	for range 3 {
		pkt := udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 500), "0123456789")
		j.Add(append(bytes.Clone(head), pkt...))
	}
	ps := j.Flush()
	if len(ps) != 1 {
		t.Fatalf("joined to %d frames", len(ps))
	}
	var got [vnetLen]byte
	putVnet(&got, &ps[0])
	want := []byte{vnetNeedsSum, vnetUDP}
	for _, n := range []uint16{18 + 20 + 8, 10, 18 + 20, 6} {
		want = binary.NativeEndian.AppendUint16(want, n)
	}
	if !bytes.Equal(got[:], want) {
		t.Errorf("header % x, want % x", got, want)
	}
	// The kernel's way back.
	b := slices.Concat(got[:], ps[0].Data, ps[0].Tail[0], ps[0].Tail[1])
	p, ok := parseVnet(b)
	if !ok || p.GSO != (segment.GSO{Kind: segment.UDP, Size: 10}) {
		t.Errorf("%+v, %v", p.GSO, ok)
	}
	if err := (&segment.Cutter{Link: segment.Ethernet}).Begin(p.Data, p.GSO); err != nil {
		t.Error(err)
	}
}

// FuzzParseVnet gives any bytes to the parser of what the kernel says.
func FuzzParseVnet(f *testing.F) {
	f.Add([]byte{1, vnetTCP4, 40, 0, 0x57, 5, 20, 0, 16, 0, 0x45})
	f.Add(append([]byte{1, vnetTCP4, 54, 0, 0x57, 5, 34, 0, 16, 0, 12: 1, 22: 8}, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= vnetLen {
			return
		}
		for _, link := range []segment.Link{segment.IP, segment.Ethernet} {
			p, ok := parseVnet(bytes.Clone(b))
			if ok && p.GSO.Kind != segment.None {
				cut := segment.Cutter{Link: link}
				if cut.Begin(p.Data, p.GSO) == nil {
					for cut.Next() != nil {
					}
				}
			}
		}
	})
}
