package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Attributes are what a certificate says about its holder beyond its key: what
// a policy of the VPN speaks of. All of it is under the signature of the CA, and
// nothing of it can be had without: whoever asks has to have accepted the
// certificate with [Policy.Verify] first.
type Attributes struct {
	// Names are the DNS names, or if there is none the common name. They are in
	// lower case (ASCII), as names are compared.
	Names []string

	// Addrs are the VPN addresses, IPv4 ones in their 4-byte form.
	Addrs []netip.Addr

	// Groups are from URIs "campagnol:group:NAME" in the subject alternative
	// name, in lower case.
	Groups []string

	// Routes are networks behind the host, from URIs "campagnol:route:NETWORK".
	Routes []netip.Prefix
}

// The URIs that carry groups and routes. A kind that we do not know is refused:
// a policy may shut out the holders of a group, and whoever cannot read that
// somebody is in it would let him in.
const (
	attributeScheme = "campagnol"
	attributeGroup  = "group"
	attributeRoute  = "route"
)

// Limits on what a certificate may carry. The largest certificate that is read
// from a peer has 16 KiB; these are for the people who look at it.
const (
	maxGroups    = 64
	maxRoutes    = 256
	maxGroupName = 64
	maxHostName  = 253 // RFC 1035 section 2.3.4
)

// AttributesOf reads the attributes of a certificate. An attribute that cannot
// be read is an error, which names the certificate and the value; to go on
// without it could give its holder more than its CA meant to.
func AttributesOf(c *x509.Certificate) (Attributes, error) {
	a, err := readAttributes(c)
	if err != nil {
		return Attributes{}, fmt.Errorf("pki: certificate %s (serial %s): %w", subjectOf(c), attributeSerial(c), err)
	}
	return a, nil
}

// attributeSerial is serialOf for certificates that were not parsed, which may
// lack a number.
func attributeSerial(c *x509.Certificate) string {
	if c.SerialNumber == nil {
		return "none"
	}
	return serialOf(c)
}

func readAttributes(c *x509.Certificate) (Attributes, error) {
	var a Attributes
	names := c.DNSNames
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = []string{c.Subject.CommonName}
	}
	for _, n := range names {
		if err := checkHolderName(n); err != nil {
			return a, err
		}
		a.Names = appendNew(a.Names, lowerASCII(n))
	}
	for _, addr := range addrsOf(c) {
		if addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast() {
			return a, fmt.Errorf("the address %v cannot be the VPN address of a host", addr)
		}
		a.Addrs = appendNew(a.Addrs, addr)
	}
	for _, u := range c.URIs {
		if u == nil || !strings.EqualFold(u.Scheme, attributeScheme) {
			continue // somebody else's
		}
		if err := a.addURI(u); err != nil {
			return a, err
		}
	}
	switch {
	case len(a.Groups) > maxGroups:
		return a, fmt.Errorf("it names %d groups, and we take at most %d", len(a.Groups), maxGroups)
	case len(a.Routes) > maxRoutes:
		return a, fmt.Errorf("it names %d networks, and we take at most %d", len(a.Routes), maxRoutes)
	}
	return a, nil
}

// addURI reads one URI of ours.
func (a *Attributes) addURI(u *url.URL) error {
	kind, value, _ := strings.Cut(u.Opaque, ":")
	bad := func(err error) error { return fmt.Errorf("the URI %q: %w", printable(u.String()), err) }
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return bad(errors.New("it has a query or a fragment, which mean nothing here"))
	}
	switch kind {
	case attributeGroup:
		name := lowerASCII(value)
		if err := checkGroup(name); err != nil {
			return bad(err)
		}
		a.Groups = appendNew(a.Groups, name)
	case attributeRoute:
		route, err := parseRoute(value)
		if err != nil {
			return bad(err)
		}
		a.Routes = appendNew(a.Routes, route)
	case rendezvousKind:
		if u.Opaque != rendezvousKind {
			return bad(errors.New("it has a value"))
		}
	default:
		return bad(errors.New(`expected "campagnol:group:NAME" or "campagnol:route:NETWORK", or "campagnol:rdv"`))
	}
	return nil
}

// AttributeURIs returns the URIs with which a certificate carries groups and
// routes: what [AttributesOf] reads.
func AttributeURIs(groups []string, routes []netip.Prefix) ([]*url.URL, error) {
	if len(groups) > maxGroups || len(routes) > maxRoutes {
		return nil, fmt.Errorf("pki: a certificate can carry %d groups and %d networks, not %d and %d", maxGroups, maxRoutes, len(groups), len(routes))
	}
	var list []*url.URL
	for _, g := range groups {
		g = lowerASCII(g)
		if err := checkGroup(g); err != nil {
			return nil, fmt.Errorf("pki: %w", err)
		}
		list = append(list, &url.URL{Scheme: attributeScheme, Opaque: attributeGroup + ":" + g})
	}
	for _, r := range routes {
		if err := checkRoute(r); err != nil {
			return nil, fmt.Errorf("pki: %w", err)
		}
		list = append(list, &url.URL{Scheme: attributeScheme, Opaque: attributeRoute + ":" + r.String()})
	}
	return list, nil
}

// checkGroup checks the name of a group, in lower case.
func checkGroup(name string) error {
	bad := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
	}
	if name == "" || len(name) > maxGroupName || strings.ContainsFunc(name, bad) || strings.Contains("._-", name[:1]) {
		return fmt.Errorf(`%q is not the name of a group: at most %d letters, digits, ".", "_" and "-", the first a letter or digit`, printable(name), maxGroupName)
	}
	return nil
}

func parseRoute(text string) (netip.Prefix, error) {
	r, err := netip.ParsePrefix(text)
	if err != nil {
		return r, fmt.Errorf("%q is not a network such as 192.168.7.0/24", printable(text))
	}
	return r, checkRoute(r)
}

// checkRoute checks a network behind a host.
func checkRoute(r netip.Prefix) error {
	switch a := r.Addr(); {
	case !r.IsValid():
		return errors.New("not a network such as 192.168.7.0/24")
	case a.Is4In6():
		return fmt.Errorf("the network %v is an IPv4 one in disguise; write it as such", r)
	case r != r.Masked():
		return fmt.Errorf("%v is an address within a network; the network is %v", r, r.Masked())
	case a.IsMulticast(), a.IsLoopback():
		return fmt.Errorf("the network %v cannot be behind a host", r)
	}
	return nil
}

// checkHolderName checks a name that a policy may ask for. Spaces and letters of
// all scripts are in order; a wildcard is nobody's name, and what cannot be
// printed could look like another name in a log.
func checkHolderName(name string) error {
	switch {
	case name == "" || len(name) > maxHostName || !utf8.ValidString(name) || strings.TrimSpace(name) != name:
		return fmt.Errorf("the name %q is empty, has spaces around it, is longer than %d bytes or not UTF-8", printable(name), maxHostName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the name %q has characters that cannot be printed", printable(name))
	case strings.ContainsAny(name, `*"`):
		return fmt.Errorf("the name %q has a wildcard or quotes, and cannot be that of a host", printable(name))
	}
	return nil
}

// lowerASCII is strings.ToLower for ASCII only: DNS names are compared so (RFC
// 4343), and no letter of another script becomes one of ASCII.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// appendNew appends v unless list has it.
func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
