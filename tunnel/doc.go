// Package tunnel is what flows between two authenticated peers.
//
// A [Session] begins where a handshake (tunnel/handshake) ends and seals and
// opens records (tunnel/record). One half of it serves the data path, which
// calls it for every packet and from several goroutines; the other half belongs
// to the control goroutine and decides, without I/O, what alerts and repeated
// handshake messages lead to.
//
// Between two of ours, records carry a connection ID of their receiver's choice (RFC
// 9146), by which a session's are known wherever they come from. Where that is proves
// nothing, and a session does not know addresses.
//
// The peer is whom its certificate names: what it sends is dropped unless the
// packet inside comes from its own VPN address.
package tunnel
