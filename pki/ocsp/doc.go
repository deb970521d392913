// Package ocsp asks the responders that certificates name whether they have been
// revoked (RFC 6960, in the profile of RFC 5019).
//
// A [Checker] remembers what responders have said. Two sides use it:
//
//   - [Judge.Inquire] may wait: it asks the responder if nothing is known, or what
//     is known has to be asked again. It belongs into goroutines that may wait,
//     such as that of a handshake.
//   - [Judge.Check] never waits: it decides by what is known.
//
// Both want a [pki.Peer], which only a chain of certificates that was verified can
// become: nobody makes us ask an address of his choice, but whoever our own
// authority has let put it into a certificate.
//
// # What is asked
//
// Only the certificate of the peer itself, not those of authorities above it; they
// are few, and have revocation lists. Only over http, as RFC 5019 section 3.1 has
// it: the answer is signed, and TLS would need certificates that somebody has to
// check. The request is sent with POST: an answer that a cache on the way has kept
// is of no use to those who want to know what changed. Redirects and proxies are
// not followed, and no answer is longer than 64 KiB or takes longer than 3 s.
//
// The address of a responder must not be in the VPN, where the question would need
// the tunnel that it is about. It must not be a loopback or link-local one either:
// services there trust whoever can reach them, and an authority that several
// parties share is no reason to let them speak to these.
//
// # What counts as an answer
//
// It is signed by the issuer of the certificate, or by a certificate from that
// issuer with the extended key usage OCSPSigning, which ordinary members do not
// have. It is about the certificate: serial number, name and key of the issuer. It
// is in time, give or take five minutes, and not older than the last one. There is
// no nonce, which responders with answers made in advance cannot repeat: until its
// end, an answer can be replayed, and so be hidden that another has followed.
//
// An answer is asked for again before its end, and every hour. If that brings
// nothing, the old one counts until its end. That a certificate is revoked counts
// until a newer answer says otherwise.
package ocsp
