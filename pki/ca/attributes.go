package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"

	"campagnol/pki"
)

// checkAttributes checks groups and routes.
func (r *Request) checkAttributes() error {
	if r.NoGroups && len(r.Groups) > 0 || r.NoRoutes && len(r.Routes) > 0 {
		return errors.New("ca: a certificate with and without groups, or networks, at once is not possible")
	}
	if _, err := pki.AttributeURIs(r.Groups, r.Routes); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// keepAttributes takes what r does not say from the certificate that the new one
// replaces. It must not lose a group in silence: a policy may deny something to
// the members of one.
func (r *Request) keepAttributes(old *x509.Certificate) error {
	keepGroups, keepRoutes := len(r.Groups) == 0 && !r.NoGroups, len(r.Routes) == 0 && !r.NoRoutes
	if !keepGroups && !keepRoutes {
		return nil
	}
	a, err := pki.AttributesOf(old)
	if err != nil {
		if len(old.URIs) == 0 {
			return nil // there is nothing to keep, whatever is wrong with it
		}
		return withHint(fmt.Errorf("ca: what to keep of the last certificate: %w", err),
			"say what the new one shall have: --group or --no-group, and --route or --no-route")
	}
	if keepGroups {
		r.Groups = a.Groups
	}
	if keepRoutes {
		r.Routes = a.Routes
	}
	return nil
}

// attributesOf returns groups and routes of a certificate, none if they cannot
// be read.
func attributesOf(cert *x509.Certificate) (groups []string, routes []netip.Prefix) {
	a, err := pki.AttributesOf(cert)
	if err != nil {
		return nil, nil
	}
	return a.Groups, a.Routes
}
