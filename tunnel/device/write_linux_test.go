package device

import (
	"bytes"
	"net/netip"
	"testing"

	"campagnol/tunnel/segment"
)

// FuzzWrite checks that no packet harms the device, and that the twin in memory
// refuses what the kernel refuses.
func FuzzWrite(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x45})
	f.Add(make20(0x60))
	f.Add(udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 500), "x"))
	fuzzWrite(f, segment.IP, NewMemory("twin"))
}

// FuzzWriteFrames does so with frames.
func FuzzWriteFrames(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 13))
	f.Add(make([]byte, 14))
	f.Add(append(bytes.Repeat([]byte{0xff}, 12), 0x81, 0, 0))
	f.Add(append(append(bytes.Repeat([]byte{0xff}, 12), 8, 0), udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 500), "x")...))
	fuzzWrite(f, segment.Ethernet, NewMemoryEthernet("twin", nil))
}

func fuzzWrite(f *testing.F, link segment.Link, m *Memory) {
	enter(f)
	k, err := Open(Config{Link: link}) // for as long as it takes, other than the rest
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { k.Close() })
	if err := k.Configure(usual); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 65535 {
			t.Skip("larger than any packet")
		}
		got, want := k.Write([]Packet{{Data: bytes.Clone(b)}}), m.Write([]Packet{{Data: b}})
		if got != want {
			t.Errorf("% x: the kernel says %v, the twin %v", b, got, want)
		}
	})
}
