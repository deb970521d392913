// Package client is one node of the VPN.
//
// # Goroutines
//
// Three goroutines do everything:
//
//	control   owns all control state: registration, peers, attempts, timers
//	fromNet   reads the socket; opens records and writes packets to the device
//	fromDev   reads the device; seals packets and sends them
//
// and one more for each handshake, with a peer or the RDV, while it lasts, and for each
// stream to an RDV. A client with several sockets and
// queues of the device has the latter two as often. fromNet and fromDev take each
// packet from its reading to its sending. They see peers through an immutable
// table that control publishes, take no lock that another holds for long, and
// never wait for control: what they cannot place they post, as a bounded copy,
// and what does not fit they count and drop.
//
// Whose a record is, the address tells that it comes from, or a connection ID in it (RFC
// 9146), between two of ours. What comes with an ID from elsewhere is delivered, and
// control is told from where.
//
// # Life of a peer
//
//	packet for it ─► NEW ──ANS──► PUNCHING ──PUNCH──► LINKED ──DTLS──► ESTABLISHED ─► CLOSED
//	                   FWD ──────────┘
//
// NEW: we have asked the RDV. PUNCHING: both sides punch. LINKED: a path is open
// and the handshake runs. CLOSED peers are forgotten.
//
// A peer that is ESTABLISHED can be reached for anew at the same time: after it
// was restarted it asks for us, or says hello on the old path. Its session stays
// as it is until the new handshake has proven who is there.
//
// A session of ours is not bound to its path: addresses change on both sides, and better
// paths are found, while it lives. Package path decides which one it takes (paths.go);
// a new handshake is for a peer that has forgotten the session, or cannot be found.
//
// A tunnel in use gets fresh keys from time to time: another session, from a
// handshake inside the one before, goes on where that is. It is the same tunnel to
// all who use it.
//
// # Paths
//
// A path is a punch.Endpoint: an address of the peer as one of our sockets sees it. The
// socket is the primary one, which the RDV knows, too, and for which nil stands; or,
// behind a NAT that takes another port for each destination, the one of hundreds by which
// the peer was found (hardDesk, hardTry). Such a socket has a goroutine like fromNet from
// when it is opened, belongs to the try and then to the session (peer.extras), and is
// closed when no path of the session leads by it any more. A socket whose datagrams a
// relay passes on leads to several peers, and no session closes it (control.shared).
//
// A session may begin on a path through a relay, and fall back to one. It goes on looking
// for a direct one then: a search is beside it what a try is where there is none, and both
// are a quest.
//
// A peer that takes connections by TCP may be reached over one (peerstream.go). It is a
// shared socket, too, that belongs to the peer; whoever takes connections has one such
// socket for all of them. Addresses over connections have a zone, so that they are nobody's
// by UDP. A path over one is for want of a direct one by UDP, as through a relay, and
// better than that.
//
// To the table an address is the same by whichever socket, since a record says by its
// connection ID whose it is. To control they are different endpoints: a peer has the same
// address on a direct path and through a relay of ours.
//
// # Relaying
//
// A peer may pass on what we and another peer send each other, inside its sessions with
// both (relaypeer.go is its side). Who does is named by the RDV (relays.go); a peer says
// itself that it does, too, by a probe, and with that comes a socket through it
// (throughPeer): its Send seals what leaves into the session with the relay, and the data
// path takes what the relay has passed on to us as if it had come by that socket. So it
// leads to peers as any other socket does, by an address that is made of their VPN address
// and is nobody's elsewhere.
//
// Relays are such sockets, too: what we send by one, somebody else passes on. Addresses of
// ours at TURN servers (turn.go), which are asked for as they are needed, and peers that
// relay (relaypeer.go is their part, throughpeer.go ours) make no other difference than that
// their paths are the last choice.
//
// # Who a peer is
//
// A peer is known by the VPN address for which it was asked or has asked, until its
// certificate says more (Identity): other addresses, and networks behind it. They
// all lead to its one session. Sessions claim what their certificates name (claims);
// who holds a claim gets its packets, and is the only one to send from there.
//
// Below the tunnels there is IPv4, IPv6 or both: see family.go. In the VPN,
// tunnels are opened by IPv4 addresses. A try at an IPv6 address goes on under the IPv4
// one that the RDV names with it, and leads to the former if the certificate does.
//
// # Registration
//
// A client may have several RDVs, and is registered at some of them at a time
// (serverList). Each is a rendezvous, which knows the ways there and owns what follows.
//
// There are two ways to register at an RDV: in clear, as Campagnol 0.3.5 does
// (registration), and over a channel in which both ends have shown their
// certificates (serverChannel; docs/protocol.md is the specification). They are
// machines side by side, of which the second leads: it tells the first when to begin
// and when to be quiet. Introductions come by the one that is registered, and are
// the same from there on.
//
// Where UDP gets no answer, the channel goes over a stream, a connection by TCP or TLS
// (fallback): which way the next channel is tried, and which way each goes that stands,
// is the rendezvous's affair, and what the machines say is the same. A stream has a
// goroutine that reads it from when it is open, and belongs to its rendezvous. It is no
// path to anybody else: where it comes from, peers find nobody.
//
// Over the channel comes what all members should have, too (fetcher): it is handed to
// an ObjectStore, in a goroutine, and is nothing to the client itself. Requests to the
// VPN's authority go the same way (Client.AskAuthority); and an Authority is the other
// end of them, a client without VPN address, device and peers.
//
// # Where we are
//
// What is found out about where we can be reached, from outside (Client.Offer,
// Client.SetNAT), goes to peers by the RDV, and theirs comes with introductions: which of
// it is tried is decided in candidates.go, in which order in package punch. That we may
// have moved is for others to notice, too (Client.Moved).
//
// # Trust
//
// Who a peer is, its certificate says (Config.Verify). The RDV and the punches
// only say where it may be. Everything that arrives is bounded in memory and
// work until a handshake has succeeded; all that it can do is to fail or delay.
package client
