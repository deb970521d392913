package lab

import (
	"net/netip"

	"campagnol/internal/lab/frame"
)

// Inspect says what somebody sees of some frames who has no keys. secrets are texts
// that are in none of them if nobody leaks; each has to be long enough not to be there
// by chance.
func Inspect(seen []Sighting, secrets ...[]byte) (i Inspection) {
	for _, s := range seen {
		i.look(s.Raw, secrets)
		if s.Frame.Protocol == frame.ProtocolUDP {
			i.add(s.Frame.Payload)
		}
	}
	return i
}

// Between returns the frames of some that are from one address to another, or back.
func Between(seen []Sighting, a, b netip.Addr) (list []Sighting) {
	for _, s := range seen {
		if f := s.Frame; f.SrcIP == a && f.DstIP == b || f.SrcIP == b && f.DstIP == a {
			list = append(list, s)
		}
	}
	return list
}
