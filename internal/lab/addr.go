package lab

import "net/netip"

// nth returns the address at the given distance from the beginning of p, of
// less than 256.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-1] += byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}
