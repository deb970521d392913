package pki

import "crypto/x509"

// SerialOf returns the serial number of a certificate, as it is shown everywhere:
// hexadecimal, with an even number of digits.
func SerialOf(c *x509.Certificate) string { return serialOf(c) }
