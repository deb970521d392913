package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/pki/ca"
)

// printIssued says what was made, and what to do with it.
func (t *caTool) printIssued(w io.Writer, out *ca.Issued) {
	fmt.Fprintf(w, "issued a certificate for %s (%s), serial %s, valid until %s\n", out.Name, caAddrs(out.Addrs), out.Serial, caDate(out.Cert.NotAfter))
	caPrintAttributes(w, out.Groups, out.Routes)
	caPrintResponders(w, out.Cert)
	list := []string{out.CertFile, "certificate"}
	if out.KeyFile != "" {
		list = append(list, out.KeyFile, "private key: keep it secret")
	}
	caFiles(w, append(list, out.CAFile, "certificate of the CA")...)
	for _, n := range out.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	if caIsResponder(out.Cert) {
		caPrintResponderUse(w, out)
		return
	}
	fmt.Fprintf(w, "\nCopy the files to the host, for instance so:\n  scp -p %s root@%s:%s\n", filepath.Join(out.Dir, "*.pem"), out.Name, caEtc)
	if pki.IsRendezvous(out.Cert) {
		fmt.Fprintf(w, "and start the rendezvous server with them:\n  campagnol_rdv --certificate %s --key %s --ca %s\n",
			caEtc+filepath.Base(out.CertFile), caEtc+"key.pem", caEtc+filepath.Base(out.CAFile))
		return
	}
	fmt.Fprintf(w, "and put these lines into its configuration:\n\n")
	if len(out.Addrs) > 0 && out.Addrs[0].Is4() {
		fmt.Fprintf(w, "  [VPN]\n  vpn_ip = %v\n\n", out.Addrs[0])
	}
	fmt.Fprintf(w, "  [SECURITY]\n  certificate = %s\n  key = %s\n  ca_certificates = %s\n", caEtc+filepath.Base(out.CertFile), caEtc+"key.pem", caEtc+filepath.Base(out.CAFile))
	if out.KeyFile == "" {
		fmt.Fprintf(w, "\nwhere key is the private key that the host has already.\n")
		return
	}
	fmt.Fprintf(w, "\nThen remove the private key here: rm %s\n", out.KeyFile)
}

// printCRL writes the list and says what to do with it.
func (t *caTool) printCRL(w io.Writer, c *ca.CA, days int) error {
	l, err := c.CRL(t.now(), rand.Reader, days)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "wrote revocation list number %v with %s, next due on %s\n", l.Number, caCount(l.Revoked), caDate(l.Next))
	caFiles(w, l.File, "revocation list")
	fmt.Fprintf(w, "\nWhile the CA is served (campagnol_rdv --authority, campagnol ca serve), all hosts\nhave it within seconds. Otherwise copy it to them, for instance so:\n  scp %s root@HOST:%scrl.pem\nwith this line in the section [SECURITY] of their configuration:\n  crl_file = %scrl.pem\nClients that run read it again by themselves.\n", l.File, caEtc, caEtc)
	return t.record(audit.Record{Event: audit.ListMade, Number: fmt.Sprint(l.Number)})
}

// caRecord is a certificate in the output of --json.
type caRecord struct {
	Name      string       `json:"name"`
	Status    ca.Status    `json:"status"`
	Serial    string       `json:"serial"`
	Addresses []netip.Addr `json:"addresses"`
	Subject   string       `json:"subject"`
	Expires   time.Time    `json:"expires"`
	Revoked   *time.Time   `json:"revoked,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	File      string       `json:"file,omitempty"`

	Groups []string       `json:"groups,omitempty"`
	Routes []netip.Prefix `json:"routes,omitempty"`

	// What show adds to list.
	NotBefore *time.Time `json:"not_before,omitempty"`
	Key       string     `json:"key,omitempty"`
	KeyID     string     `json:"key_id,omitempty"`
	Signature string     `json:"signature,omitempty"`
	Usage     []string   `json:"usage,omitempty"`

	Responders []string `json:"responders,omitempty"`
}

func caRecordOf(e ca.Entry) caRecord {
	r := caRecord{Name: e.Name, Status: e.Status, Serial: e.Serial, Addresses: e.Addrs, Subject: e.Subject, Expires: e.Expires, Reason: e.Reason, File: e.File, Groups: e.Groups, Routes: e.Routes}
	if r.Addresses == nil {
		r.Addresses = []netip.Addr{}
	}
	if !e.Revoked.IsZero() {
		r.Revoked = &e.Revoked
	}
	return r
}

// caJSON prints v, a slice.
func caJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func caPrintList(w io.Writer, list []ca.Entry) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tADDRESSES\tSTATUS\tEXPIRES\tSERIAL")
	for _, e := range list {
		addrs := caAddrs(e.Addrs)
		if e.File == "" {
			addrs = "(file is missing)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", caName(e.Name), addrs, e.Status, caDate(e.Expires), e.Serial)
	}
	return table.Flush()
}

func caPrintDetails(w io.Writer, list []ca.Details) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(table, "%s:\t%s\n", name, value) }
	for i, d := range list {
		if i > 0 {
			fmt.Fprintln(table)
		}
		row("name", caName(d.Name))
		row("status", caStatusLine(d.Entry))
		row("serial", d.Serial)
		row("subject", caName(d.Subject))
		if d.Cert == nil {
			row("expires", caDate(d.Expires))
			row("file", "is missing")
			continue
		}
		id, _ := d.KeyID.MarshalText() // never fails
		row("addresses", caAddrs(d.Addrs))
		if len(d.Groups) > 0 {
			row("groups", strings.Join(d.Groups, ", "))
		}
		if len(d.Routes) > 0 {
			row("networks", caRoutes(d.Routes))
		}
		if len(d.Cert.OCSPServer) > 0 {
			row("responders", caName(strings.Join(d.Cert.OCSPServer, ", ")))
		}
		row("valid", caDate(d.NotBefore)+" to "+caDate(d.Expires))
		row("key", d.Key)
		row("key ID", string(id))
		row("signature", d.Signature)
		row("usage", strings.Join(d.Usage, ", "))
		row("file", d.File)
	}
	return table.Flush()
}

func caStatusLine(e ca.Entry) string {
	s := string(e.Status)
	if e.Status == ca.Revoked {
		s += " on " + caDate(e.Revoked)
		if e.Reason != "" {
			s += " (" + e.Reason + ")"
		}
	}
	return s
}

// caFiles lists files that were written: pairs of path and meaning.
func caFiles(w io.Writer, pairs ...string) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(table, "  %s\t%s\n", pairs[i], pairs[i+1])
	}
	table.Flush() // w gets what is left; nothing to do about an error
}

// caDate formats a time for people.
func caDate(t time.Time) string { return t.UTC().Format("2006-01-02") }

// caAddrs lists addresses for people.
func caAddrs(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "no VPN address"
	}
	var s []string
	for _, a := range addrs {
		s = append(s, a.String())
	}
	return strings.Join(s, ", ")
}

// caName makes a name from a certificate safe to print: somebody else's openssl
// may have taken it from a signing request.
func caName(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// caCount is a number of certificates, in words.
func caCount(n int) string {
	if n == 1 {
		return "1 certificate"
	}
	return strconv.Itoa(n) + " certificates"
}

// caAddrList is the value of --ip.
type caAddrList []netip.Addr

// String returns the addresses with commas.
func (l *caAddrList) String() string {
	if len(*l) == 0 {
		return ""
	}
	return strings.ReplaceAll(caAddrs(*l), " ", "")
}

// Set adds addresses, separated by commas.
func (l *caAddrList) Set(text string) error {
	for s := range strings.SplitSeq(text, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return fmt.Errorf("%q is not an IP address such as 10.9.0.1", s)
		}
		*l = append(*l, a)
	}
	return nil
}

// Type names the value in the help.
func (*caAddrList) Type() string { return "address" }

// caNumber is the value of an option that is a positive number.
type caNumber int

// String returns the number, and nothing for 0.
func (n *caNumber) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// Set reads a number.
func (n *caNumber) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 {
		return errors.New("it must be a number above 0")
	}
	*n = caNumber(v)
	return nil
}

// Type names the value in the help.
func (*caNumber) Type() string { return "number" }
