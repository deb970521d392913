package main

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"campagnol/pki/ca"
)

// caResponderFlags adds the options about responders that issue and sign share.
func caResponderFlags(f *pflag.FlagSet, r *ca.Request) {
	f.Var((*caURLList)(&r.OCSP), "ocsp", "responder (OCSP) that the certificate names; may be repeated")
	f.BoolVar(&r.NoOCSP, "no-ocsp", false, "name no responder, whatever the last certificate and the CA name")
	f.BoolVar(&r.Responder, "responder", false, "issue a certificate by which a responder signs its answers")
}

// caURLList is the value of --ocsp.
type caURLList []string

// String returns the addresses with blanks.
func (l *caURLList) String() string { return strings.Join(*l, " ") }

// Set adds an address. Package ca checks it.
func (l *caURLList) Set(text string) error {
	*l = append(*l, text)
	return nil
}

// Type names the value in the help.
func (*caURLList) Type() string { return "URL" }

// caPrintResponders says which responders a certificate names, if any.
func caPrintResponders(w io.Writer, cert *x509.Certificate) {
	if len(cert.OCSPServer) > 0 {
		fmt.Fprintf(w, "  responders: %s\n", strings.Join(cert.OCSPServer, ", "))
	}
}

// caIsResponder reports whether a certificate is one for a responder.
func caIsResponder(cert *x509.Certificate) bool {
	return slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning)
}

// caPrintResponderUse says what to do with the certificate of a responder.
func caPrintResponderUse(w io.Writer, out *ca.Issued) {
	fmt.Fprintf(w, "\nA responder with it, on a host that has the index of the CA:\n"+
		"  openssl ocsp -port 8080 -index index.txt -CA %s -rsigner %s -rkey %s -nmin 60\n",
		out.CAFile, out.CertFile, cmp.Or(out.KeyFile, "KEY"))
}
