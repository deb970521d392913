package pki

import (
	"crypto/x509"
	"net/url"
)

// rendezvousKind is the opaque part of the URI of rendezvous servers.
const rendezvousKind = "rdv"

// RendezvousURI returns the URI "campagnol:rdv", which a certificate for a
// rendezvous server has among its subject alternative names.
func RendezvousURI() *url.URL {
	return &url.URL{Scheme: "campagnol", Opaque: rendezvousKind}
}

// IsRendezvous reports whether c is a certificate for a rendezvous server. Those
// of members are not, so that no member can play the server; and a rendezvous
// server is no member.
//
// It says nothing about who signed c: whoever asks has to have accepted it with
// [Policy.Verify].
func IsRendezvous(c *x509.Certificate) bool {
	want := RendezvousURI().String() // which is how URIs are compared: scheme in lower case
	for _, u := range c.URIs {
		if u != nil && u.String() == want {
			return true
		}
	}
	return false
}
