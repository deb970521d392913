package enroll

import (
	"crypto/x509"
	"net/netip"
)

// addrsOf returns the IP addresses of a certificate.
func addrsOf(c *x509.Certificate) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}
