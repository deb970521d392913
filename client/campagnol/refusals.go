package main

import (
	"cmp"
	"errors"
	"net/netip"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/pki"
)

// A refusalKind explains a code of refusals. docs/refusals.md has them all.
type refusalKind struct {
	code    string
	meaning string
	fault   string // whose it is, as a rule
	fix     string
	file    func(*conf.Client) string // of this host, that decides about it; nil: none
}

// Whose fault a refusal is.
const (
	faultPeer    = "peer"    // the other end, or its certificate
	faultHere    = "here"    // this host
	faultServer  = "server"  // the RDV server
	faultOrders  = "policy"  // nobody's: it is meant to be so
	faultUnknown = "unknown" // to be found out
)

// Files of this host that decide about refusals.
func ownCertificate(c *conf.Client) string { return c.Certificate }
func authorities(c *conf.Client) string    { return cmp.Or(c.CACertificates, c.CACertificatesDir) }
func revocations(c *conf.Client) string    { return c.CRLFile }
func rulesFile(c *conf.Client) string      { return c.PolicyFile }
func pinsOf(c *conf.Client) string         { return pinFile(c.StateDir) }

const renewPeer = "issue a new one: campagnol ca issue NAME --ip VPNIP --renew"

// refusalKinds are all codes, in the order of the documentation: what is wrong with
// a certificate, with who shows it, and what the server says.
var refusalKinds = []refusalKind{
	{pki.Malformed.String(), "what came as a certificate cannot be read", faultPeer, "look at the certificate file of the other end", nil},
	{pki.Expired.String(), "a certificate has expired", faultPeer, renewPeer + "; or set the clock of this host", nil},
	{pki.NotYetValid.String(), "a certificate is not valid yet", faultUnknown, "compare the clocks of both hosts and of the authority", nil},
	{pki.UnknownCA.String(), "the certificate is of an authority that this host does not trust", faultPeer, "make sure that both hosts have the certificate of the same authority; it may have another key (campagnol ca rotate): then add its new certificate, cacert.pem, to the file", authorities},
	{pki.BadCA.String(), "a certificate is used as that of an authority, which it is not", faultPeer, "issue the certificate by the authority itself", authorities},
	{pki.Revoked.String(), "the certificate is on the revocation list", faultPeer, "nothing, if that was meant; else " + renewPeer, revocations},
	{pki.WrongUsage.String(), "the certificate is not for this use: its key usage does not allow it", faultPeer, renewPeer, nil},
	{pki.TooDeep.String(), "there are more authorities above the certificate than verify_depth allows", faultHere, "raise verify_depth", nil},
	{pki.WeakSignature.String(), "the certificate is signed with MD5, SHA-1 or something unknown, which can be forged", faultPeer, "sign its key anew: campagnol ca sign CERTIFICATE --ip VPNIP", nil},
	{pki.WeakKey.String(), "the key is too small, too large or of an unknown kind", faultPeer, renewPeer, nil},
	{pki.NoCRL.String(), "crl_file is set, and has no list of the authority that is good now", faultHere, "make a list, campagnol ca crl, and copy it to this host; or take crl_file out", revocations},
	{pki.AddressMismatch.String(), "the certificate is for other VPN addresses", faultPeer, "issue one with the address, or set vpn_ip of the other end to that of its certificate", nil},
	{pki.NoAddress.String(), "the certificate names no VPN address, and require_ip_san is set", faultPeer, "issue one with the address: campagnol ca issue NAME --ip VPNIP --renew", nil},
	{pki.OtherKey.String(), "the VPN address belongs to the key that was seen there first", faultUnknown, "if the host has a new key: campagnol forget VPNIP; if not, somebody tries to take its address", pinsOf},
	{pki.NewerCertificate.String(), "a newer certificate for the VPN address, with another key, has been seen", faultPeer, "renew the certificate that is right, and revoke the other one", pinsOf},
	{pki.BadAttributes.String(), "groups or networks in the certificate cannot be understood", faultPeer, "update this program, or issue a certificate without them", nil},
	{pki.NoAnswer.String(), "ocsp = require, and no responder says that the certificate is good", faultUnknown, "see whether the responder that the certificate names runs, and knows the certificate", nil},

	{"claimed", "another peer has a tunnel with this VPN address, and its certificate is not older", faultPeer, "issue the certificate anew that should not name the address", nil},
	{"policy", "the policy does not let the two hosts talk", faultOrders, "nothing, if that is meant; campagnol policy check FILE A B explains it", rulesFile},
	{"no_member", "the certificate is one for a rendezvous server, which is no member", faultPeer, "issue one for the member: campagnol ca issue NAME --ip VPNIP", nil},
	{"no_server", "what answers as rendezvous server has a good certificate, but not one for a server", faultServer, "issue one for the server: campagnol ca issue NAME --rdv", nil},
	{client.CodeLegacy, "the two ends have no version of DTLS or no cipher suite in common, as with an unmodified Campagnol 0.3.5", faultPeer, "update the other end, or its OpenSSL", nil},
	{client.CodeRefusedUs, "the other end does not accept the certificate of this host", faultUnknown, "its log says why; compare the authorities, revocation lists and clocks of both", ownCertificate},
	{client.CodeEndedByPeer, "the other end has ended the handshake", faultUnknown, "its log says why", nil},

	{client.CodeNoChannel, "the server has no authenticated channel, and this host does not register in clear", faultServer, "give the server a certificate, or set rdv_auth = auto; campagnol forget --rdv if it is to have none any more", nil},
	{client.CodeNoProtocol, "what answers at the server's address speaks another protocol", faultServer, "look at server_host and server_port", nil},
	{client.CodeRegistration, "the server has refused the registration in clear", faultUnknown, "look whether another client has the VPN address; a strict server wants certificates", nil},
	{"rdv_denied", "the server does not accept this host", faultUnknown, "the server's log says why", ownCertificate},
	{"rdv_not_yours", "the certificate of this host does not name its VPN address", faultHere, "issue one with it: campagnol ca issue NAME --ip VPNIP --renew", ownCertificate},
	{"rdv_taken", "a client with another key holds the VPN address at the server", faultUnknown, "end the other client; if it is unknown, revoke its certificate", ownCertificate},
	{"rdv_full", "the server takes no more clients", faultServer, "raise its --max-clients", nil},
	{"rdv_forbidden", "the policy of the server does not let the two hosts talk", faultOrders, "nothing, if that is meant", nil},
	{"rdv_unsupported", "the server does not know a request of this host", faultServer, "update the server", nil},
	{"rdv_malformed", "the server does not understand a request of this host", faultUnknown, "update both; then report it as a mistake of the programs", nil},
	{"rdv_busy", "the server has too much to do", faultServer, "wait; it is tried again", nil},
	{"rdv_other", "the server has refused a request for another reason", faultUnknown, "the text of the refusal says which", nil},
}

// kindOf returns what a code means.
func kindOf(code string) refusalKind {
	for _, k := range refusalKinds {
		if k.code == code {
			return k
		}
	}
	return refusalKind{code: code, fault: faultUnknown}
}

// refusalDocuments returns refusals as the control socket tells them.
func refusalDocuments(cfg *conf.Client, list []client.Refusal) []control.Refusal {
	ds := make([]control.Refusal, len(list))
	for i, r := range list {
		k := kindOf(r.Code)
		d := control.Refusal{
			Code: r.Code, Server: r.VPNAddr == netip.Addr{}, VPNAddress: r.VPNAddr, Count: r.Count,
			First: r.First.UTC(), Last: r.Last.UTC(),
			Reason: r.Err.Error(), Meaning: k.meaning, Fault: k.fault, Fix: k.fix,
		}
		if k.file != nil {
			d.File = k.file(cfg)
		}
		var about *pki.Refusal
		if errors.As(r.Err, &about) {
			d.Certificate = control.RefusedCertificate{
				Subject: about.Subject, Serial: about.Serial, Issuer: about.Issuer,
				ValidFrom: about.NotBefore.UTC(), ValidUntil: about.NotAfter.UTC(),
			}
		}
		ds[i] = d
	}
	return ds
}

// A codedError is a refusal for which there is no error of its own.
type codedError struct {
	code string
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// Code is what the refusal is called in docs/refusals.md.
func (e *codedError) Code() string { return e.code }
