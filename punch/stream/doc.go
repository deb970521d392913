// Package stream carries datagrams over one TCP connection, plain or with TLS 1.3, for
// hosts whose UDP does not get through.
//
//	Dial ──(CONNECT by a proxy)── TCP ──(TLS 1.3)── Listen
//	 └ a punch.Conn with one other end               └ a punch.Conn; each client has an address
//
// # Frames
//
// What TURN says about streams holds (RFC 8656 section 12.5, RFC 8489 section 6.2.2): a
// message of STUN goes as it is, and tells its own length; so does ChannelData, filled up
// to a multiple of four bytes. All other datagrams go in a frame that looks like
// ChannelData, with a number that RFC 8656 has reserved, so that no channel has it:
//
//	first byte   frame                                        datagram
//	0 to 3       STUN: type, length, cookie, …                all of it
//	64 to 127    ChannelData: number, length, data, padding   all of it, with the padding
//	127, 255     0x7FFF, length, data, padding                the data
//
// Anything else is an error, after which nothing on the connection can be understood: it
// ends. Nothing is longer than 64 KiB.
//
// ChannelData is handed over with its padding, which may be there in datagrams, too
// (section 12.5), so that frames of one size, as they stand in the buffer, are one run
// (punch.Datagram.Segment). When sent, it is cut and filled up by the length in its
// header. So whoever relays between streams and datagrams need not know of it.
//
// # What waits
//
// TCP queues where UDP drops. A datagram that is late is of no use, and all that waits
// behind it comes late, too. So the kernel is let take little at a time, and what has
// waited for it too long is dropped: data of channels after 200 ms, all else, which is of
// the kind that is repeated after a second or so, after 2 s. A Send never waits.
//
// # Addresses
//
// A client of a Listener has the address of its connection with the zone "tcp" (IPv4
// addresses are mapped for it), so that nobody takes it for where a datagram could be
// sent to by UDP: see [IsStream], [Real].
package stream
