// Package enroll is how a host gets its certificate, and later the next one, from
// the authority of the VPN: the token of an invitation, and the messages. They are
// passed on by the rendezvous server, which understands nothing of them (Apply in
// packages rdv/wire and rdv/channel).
//
//	host                             rendezvous server        authority
//	  │── request (offset 0) ────────────▶│───────────────────▶│
//	  │◀──────────────────────────────────│◀── first piece ────│
//	  │── request (offset 946) ──────────▶│───────────────────▶│
//	  │◀──────────────────────────────────│◀── next piece ─────│
//	  │                 …                 │                    │
//
// One request has one answer, each of at most [MaxSize] bytes. Both may get lost
// or arrive twice: a request that is repeated means the same. An answer that is
// longer than a message is fetched in pieces, with the same request at other
// offsets.
//
// # Enrolment
//
// [NewEnrolment] has what the host does. It makes a key, and sends a signing
// request for it that is sealed with a key from the secret of the token; so is the
// answer. Who has not got the token learns nothing and can change nothing. The
// token also names the key of the authority, so that somebody who did get to see
// it can take the host's place, once, but cannot bring it into another VPN.
//
// # Renewal
//
// [NewRenewal] names the host's certificate and signs with its key. The answer is
// a certificate, which proves by itself that it comes from the authority; refusals
// prove nothing, and the host asks again.
//
// Nothing here does I/O or reads the clock.
package enroll
