package ca

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"campagnol/pki/ocsp"
	"campagnol/pki/safefile"
)

// ocspName is the file with the responders that new certificates name, one line
// each.
const ocspName = "ocsp.txt"

// maxResponders is how many responders a certificate can name. Hosts ask no more.
const maxResponders = 2

// oidNoCheck is the extension that keeps those who ask a responder from asking
// whether its own certificate was revoked (RFC 6960 section 4.2.2.2.1).
var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

// checkResponders checks addresses of responders: hosts have to be able to ask.
func checkResponders(list []string) error {
	if len(list) > maxResponders {
		return fmt.Errorf("ca: a certificate with %d responders is not possible; hosts ask %d at most", len(list), maxResponders)
	}
	for _, text := range list {
		u, err := ocsp.ParseURL(text)
		if err != nil {
			return withHint(fmt.Errorf("ca: %w", err), "give the address as hosts reach it: --ocsp http://HOST:PORT/")
		}
		// The rest is for a text that certificates can hold (IA5String), and that
		// openssl.cnf does not take for something else.
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`,;#$\"`, r) }) {
			return fmt.Errorf("ca: the address of a responder %q has characters that it cannot have in a certificate", text)
		}
		if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && !a.Unmap().IsGlobalUnicast() {
			return withHint(fmt.Errorf("ca: no host asks the responder %q", text), "give an address that other hosts reach")
		}
	}
	return nil
}

// checkOCSP checks what a request says of responders.
func (r *Request) checkOCSP() error {
	switch {
	case r.NoOCSP && len(r.OCSP) > 0:
		return errors.New("ca: a certificate with and without responder at once is not possible")
	case r.Responder && (r.Rendezvous || len(r.Addrs) > 0 || len(r.Groups) > 0 || len(r.Routes) > 0):
		return withHint(errors.New("ca: a responder is no host of the VPN: its certificate has no address, group or network"),
			"a host that is both needs two certificates, with two names")
	}
	return checkResponders(r.OCSP)
}

// completeOCSP adds what r does not say of responders: those of the certificate
// that the new one replaces, or else those of the CA.
func (c *CA) completeOCSP(r *Request, old *x509.Certificate) error {
	if r.NoOCSP || len(r.OCSP) > 0 || r.Responder {
		return nil
	}
	if old != nil && len(old.OCSPServer) > 0 {
		r.OCSP = slices.Clone(old.OCSPServer)
		return nil
	}
	list, err := c.Responders()
	r.OCSP = list
	return err
}

// Responders returns the responders that certificates name unless they are to name
// others.
func (c *CA) Responders() ([]string, error) {
	path := filepath.Join(c.Dir, ocspName)
	data, err := safefile.Read(path, maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	var list []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	if err := checkResponders(list); err != nil {
		return nil, withHint(fmt.Errorf("%s: %w", path, err), "the file has the address of a responder in each line")
	}
	return list, nil
}

// ocspFile returns what the file with responders says.
func ocspFile(list []string) []byte {
	return []byte("# Responders that new certificates name, one a line.\n" + strings.Join(list, "\n") + "\n")
}

// opensslAccess returns the line of openssl.cnf that names responders; "" for none.
func opensslAccess(list []string) string {
	if len(list) == 0 {
		return ""
	}
	var parts []string
	for _, u := range list {
		parts = append(parts, "OCSP;URI:"+u)
	}
	return "authorityInfoAccess    = " + strings.Join(parts, ", ") + "\n"
}

// makeResponder makes a certificate one for a responder: it may sign answers, and
// nothing else, so that its holder is no member of the VPN.
func makeResponder(tmpl *x509.Certificate) {
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: oidNoCheck, Value: asn1.NullBytes})
}

// isResponder reports whether a certificate is one for a responder.
func isResponder(c *x509.Certificate) bool {
	return slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning)
}
