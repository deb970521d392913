// Package pki decides who is who. It loads our own certificate and key
// ([LoadIdentity]), the roots and revocation lists that say whom we believe
// ([LoadPolicy]), turns the certificates that a peer sends in its DTLS
// handshake into a [Peer] or a [Refusal] ([Policy.Verify]), and binds peers to
// VPN addresses ([Pins]).
//
// A peer is identified by its certificate alone; nothing that the rendezvous
// server says counts. Its VPN addresses are the IP addresses in the subject
// alternative name of the certificate. Certificates of Campagnol 0.3.5 have
// none: for these the first key seen at an address owns it, until an
// administrator decides otherwise.
//
// What is accepted follows Campagnol 0.3.5, which left the decision to OpenSSL
// 1.0, with these exceptions:
//
//   - Signatures with MD5 and SHA-1, and RSA keys under 1024 bits, are refused.
//     (The signature of a root under itself proves nothing and is not looked at.)
//   - Key usage, when a certificate restricts it, must allow digital signatures
//     in both roles: with ephemeral keys both sides sign.
//   - A newer revocation list wins over an older one even after it expired.
//   - Names of issuer and subject must be equal byte by byte in a chain of
//     certificates, not only up to case and spaces.
//
// Nothing here reads the clock: who asks passes the time. What is expensive
// comes after what is cheap, and the size of a peer's message is bounded
// before any of it is parsed.
package pki
