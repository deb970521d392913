// Package relay is the TURN relay of the rendezvous server (RFC 8656): two hosts that
// find no direct path send each other their datagrams by way of it. It understands
// nothing of them: they are DTLS records of a tunnel.
//
// pion/turn does what is seldom: it checks credentials and nonces, and knows which
// allocations, permissions and channels there are. Data does not go through it. What
// it knows about channels is published in tables, by which whole batches are
// forwarded:
//
//	client ═ RDV's socket ─▶ Forward: client, channel ─▶ allocation, peer ═ its socket ═▶ peer
//	         │                        └─ a relayed address of ours? ─▶ client of that one
//	         └─▶ Request ─▶ queue ─▶ pion/turn ─▶ tables
//	peer ═ socket of an allocation ─▶ permission, channel ─▶ RDV's socket ═▶ client
//	                                     └─ no channel ─▶ queue ─▶ pion/turn ─▶ client
//
// The header of four bytes (section 12.4) is taken off and put in front in place or in
// a buffer that is used again, so that a run of datagrams of equal size is one all the
// way (UDP_GRO, UDP_SEGMENT). Nothing is allocated for a datagram.
//
// A link may be one of connections (package punch/stream), whose clients have addresses
// with a zone. Such a link cuts and fills up ChannelData itself (section 12.5): here
// padding is read over, as it is in datagrams.
//
// # Who may
//
// Who holds credentials of a [Secret], which are short-lived: the RDV issues them to
// members over their authenticated channel and keeps nothing. How many allocations
// there are, for a member and in all, and how fast data goes, is bounded; so is what
// one allocation has.
//
// # Whereto
//
// A relay sends to where its clients say (section 21 has what comes of that). Not to
// this host, but for the relayed addresses, which are bridged without leaving it; nor
// to where [Public] says no: loopback, multicast, and private networks.
//
// # Ends
//
// pion/turn ends an allocation by a timer of its own, which may run while a request of
// the same client is being handled; that is not safe. So allocations are ended a
// second before, in the goroutine that hands over the requests, and between two of
// them.
package relay
