package pki

import (
	"crypto/x509"
	"net/url"
)

// The opaque parts of the URIs of those who are no members: rendezvous servers, and
// the authority of the VPN.
const (
	rendezvousKind = "rdv"
	authorityKind  = "authority"
)

// RendezvousURI returns the URI "campagnol:rdv", which a certificate for a
// rendezvous server has among its subject alternative names.
func RendezvousURI() *url.URL {
	return &url.URL{Scheme: "campagnol", Opaque: rendezvousKind}
}

// AuthorityURI returns the URI "campagnol:authority", which a certificate has among
// its subject alternative names with which the VPN's authority registers at the
// rendezvous server. It is not that of the authority itself, which signs others.
func AuthorityURI() *url.URL {
	return &url.URL{Scheme: "campagnol", Opaque: authorityKind}
}

// IsRendezvous reports whether c is a certificate for a rendezvous server. Those
// of members are not, so that no member can play the server; and a rendezvous
// server is no member.
//
// It says nothing about who signed c: whoever asks has to have accepted it with
// [Policy.Verify].
func IsRendezvous(c *x509.Certificate) bool { return hasURI(c, RendezvousURI()) }

// IsAuthority reports whether c is a certificate for the VPN's authority. It is
// neither a member, so that nobody opens a tunnel with it, nor a rendezvous server.
//
// It says as little as [IsRendezvous] about who signed c.
func IsAuthority(c *x509.Certificate) bool { return hasURI(c, AuthorityURI()) }

func hasURI(c *x509.Certificate, uri *url.URL) bool {
	want := uri.String() // which is how URIs are compared: scheme in lower case
	for _, u := range c.URIs {
		if u != nil && u.String() == want {
			return true
		}
	}
	return false
}
