package ether

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
)

// A request and its answer, as Linux sends them, without padding.
const (
	arpRequest = `
		ffffffffffff 02000000000a 0806
		0001 0800 06 04 0001       # Ethernet, IPv4, request
		02000000000a 0a4d000b      # sender: 10.77.0.11
		000000000000 0a4d000c      # target: 10.77.0.12`
	arpReply = `
		02000000000a 02000000000b 0806
		0001 0800 06 04 0002
		02000000000b 0a4d000c
		02000000000a 0a4d000b`
)

var (
	ipA = netip.MustParseAddr("10.77.0.11")
	ipB = netip.MustParseAddr("10.77.0.12")
)

func TestARP(t *testing.T) {
	for _, c := range []struct {
		name, frame       string
		want              ARPPacket
		probe, gratuitous bool
	}{
		{"request", arpRequest, ARPPacket{ARPRequest, macA, 0, ipA, ipB}, false, false},
		{"reply", arpReply, ARPPacket{ARPReply, macB, macA, ipB, ipA}, false, false},
	} {
		b := unhex(t, c.frame)[HeaderLen:]
		got, err := ParseARP(append(bytes.Clone(b), make([]byte, 18)...)) // padding
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
		if made := got.Append(nil); !bytes.Equal(made, b) {
			t.Errorf("%s: made %x, want %x", c.name, made, b)
		}
	}
}

func TestARPMeaning(t *testing.T) {
	none := netip.IPv4Unspecified()
	for _, c := range []struct {
		name              string
		sender, target    netip.Addr
		probe, gratuitous bool
	}{
		{"question", ipA, ipB, false, false},
		{"probe", none, ipB, true, false},
		{"announcement", ipB, ipB, false, true},
		{"nonsense", none, none, true, false},
	} {
		p := ARPPacket{SenderIP: c.sender, TargetIP: c.target}
		if p.IsProbe() != c.probe || p.IsGratuitous() != c.gratuitous {
			t.Errorf("%s: probe %v, gratuitous %v, want %v and %v", c.name, p.IsProbe(), p.IsGratuitous(), c.probe, c.gratuitous)
		}
	}
}

func TestParseARPRefuses(t *testing.T) {
	good := unhex(t, arpRequest)[HeaderLen:]
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"cut", good[:27]},
		{"hardware of another kind", edited(good, 1, 6)},
		{"protocol of another kind", edited(good, 3, 1)},
		{"long hardware addresses", edited(good, 4, 8)},
		{"long protocol addresses", edited(good, 5, 16)},
	} {
		if p, err := ParseARP(c.b); !errors.Is(err, ErrARP) || p != (ARPPacket{}) {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
	}
}

// TestARPWithoutAddress: addresses that are not of IPv4 do not make the packet longer.
func TestARPWithoutAddress(t *testing.T) {
	b := ARPPacket{Op: ARPRequest, Sender: macA, TargetIP: netip.IPv6Loopback()}.Append(nil)
	if want := unhex(t, "0001 0800 0604 0001 02000000000a 00000000 000000000000 00000000"); !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
}
