// Package turn is the client of a TURN relay (RFC 8656): of the rendezvous server's
// (rdv/relay), or of anybody's. It gets an address at the relay, an allocation, and is
// a [punch.RelayConn] then: what it sends leaves from the relayed address, and what it
// receives was sent there.
//
//	Allocate ─▶ 401: realm, nonce ─▶ Allocate, signed ─▶ relayed address
//	                                                           │
//	┌──────────────┐   half of its lifetime is over,    ┌──────▼─────┐
//	│ Refresh      │◀─ nothing was sent for 25 s, or ───│            │   437, 441, expired,
//	│ (438: again, │   nothing heard for 0.5 s          │   stands   │─▶ or silence: lost
//	│ fresh nonce) │─▶ in which we sent ───────────────▶│            │
//	└──────────────┘                                    └────────────┘
//
// What is to be done when is decided by a machine without I/O and clock. It has a
// goroutine, which sleeps until something is due. Answers to requests come to whoever
// calls Receive, among the data: a [Conn] needs somebody who receives, always.
//
// # Data
//
//	Send     │ payload │ payload │ ──▶ │h│ payload │h│ payload │ ──▶ relay, one run
//	Receive  │ payload │ payload │ ◀── │h│ payload │h│ payload │ ◀── relay
//
// With a channel each datagram has a header of four bytes more. Headers are put between
// the payloads of a run in a buffer that is used again, and are taken out in place, so
// that a run of datagrams of equal size (UDP_GRO, UDP_SEGMENT) is one all the way.
// Nothing is allocated for a datagram.
//
// A peer gets a channel when the first datagram goes to it, or comes from it. Until the
// relay has agreed, indications carry data. The permission comes with the channel; it
// and the channel are renewed as long as the peer is talked with.
//
// # Loss
//
// An allocation is kept by the relay for a socket. A relay that was started anew has
// none, and may say nothing about it: rdv/relay answers a Refresh with a fresh nonce,
// and the next one not at all. So it is lost when nothing but that has come for two
// seconds after a first question. While we send, that is asked when nothing has come
// for half a second.
//
// # Whom to believe
//
// Whatever is received may be forged. Only the relay's address counts. What changes the
// state of the allocation has to be the answer to a request of ours, with its 96 random
// bits, and signed with the password once a request was; a relay signs no refusals, as
// a rule, so these count if no signed answer comes before the request would be repeated.
// Data is not protected by TURN: peers do that themselves.
//
// Credentials are long-term ones, with MD5 and SHA-1 as RFC 5389 has it, which is what
// relays understand. They protect the relay from strangers, not what is relayed.
package turn
