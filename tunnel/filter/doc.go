// Package filter decides which packets pass between our host and a peer: it
// enforces the lines "filter …" of a policy (pki/policy) in the data path.
//
// A [Filter] is what the policy says about one peer, compiled. A [Table] is the
// filter with the flows that it has let pass, so that replies pass too. A
// [Pool] bounds the flows of all tables together and counts what is dropped.
//
// The first packet of a flow asks the rules, from top to bottom; the others are
// found in the table:
//
//	packet ──► fragment but the first? ──► as the first one of its datagram
//	  │
//	  ├──► error of ICMP? ──► belongs to the flow that it quotes
//	  │
//	  ├──► flow known? ──► pass
//	  │
//	  └──► rules for its direction ──► deny: drop
//	               └──► allow: pass, and remember the flow
//
// What a TCP connection is at is followed only as far as it is needed to forget
// it in time:
//
//	OPENING ──reply──► OPEN ──FIN, either side──► CLOSING
//	   └──────────RST───┴────────────RST────────────┘► CLOSING
//
// A connection that was open before the filter was is taken up in its middle, if
// the rules would allow to open it. One that the table has forgotten comes back
// with the next packet of the side that opened it.
//
// Nothing here allocates memory per packet, but for the table of flows, which
// doubles until it is as large as it may become. A nil *Table passes everything:
// a peer without rules costs one comparison.
package filter
