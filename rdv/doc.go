// Package rdv is the rendezvous server (RDV): it knows at which UDP endpoint
// each client of the VPN can be reached and introduces clients to each other.
// It sees no traffic between them, and vouches for nobody: clients check each
// other's certificates.
//
// The protocol is that of Campagnol 0.3.5 (package rdv/wire), so that clients
// of both generations can share a server:
//
//	client                        RDV                        client
//	  │── HELLO (vpn, local) ─────▶│   register, OK or NOK      │
//	  │◀───────────────────── OK ──│                            │
//	  │── PING, every 3 s ────────▶│   still here               │
//	  │◀─────────────────── PONG ──│                            │
//	  │── ASK (vpn) ──────────────▶│   introduce                │
//	  │◀── ANS (endpoint of vpn) ──│── FWD (endpoint of asker) ▶│
//	  │◀──────────────── PUNCH, DTLS, without the RDV ─────────▶│
//	  │── CLOSE, BYE ─────────────▶│   forget                   │
//
// A client that the RDV does not know is told to RECONNECT, which makes it say
// HELLO: the registry is soft state and a restarted RDV has it back within
// seconds.
//
// # Clients with a certificate
//
// A server that has a certificate lets clients register over an authenticated
// channel (docs/protocol.md, package rdv/channel), with the VPN addresses that
// their certificates name, which nobody gets in clear then. What comes in passes
// three doors, and each lets through only what the one before has made sure of:
//
//	gate       KNOCK, COOKIE    the sender receives at its address; keeps nothing
//	admission  ADMIT, WAIT      there is room for a handshake; bounds goroutines and memory
//	handshake  DTLS             the sender holds a certificate; becomes a [Member]
//
// A channel is two keys, a replay window and the certificate, less than 4 KiB, and
// no goroutine. What keeps its client registered are PINGs in clear: forging them
// gains nothing.
//
// # Clients without UDP
//
// They come by TCP or TLS. A listener of package punch/stream is a socket like the others,
// whose clients have addresses with a zone: what is told to others, and what counts for
// neighbours, is decided by that (streams.go).
//
// # What all clients should have
//
// Revocation lists and bulletins (docs/protocol.md, section Objects) come from files
// and from the VPN's authority. A library decides which of them count, and publishes
// a trust and a catalog, neither of which changes any more: control acts on the one
// and hands out the other.
//
//	files, SetTrust ───────────────────────────▶ library ──▶ trust    whom to believe
//	authority ──▶ intake ──▶ clerk: hash, state ──▶ │   └──▶ catalog ──▶ push ──▶ clients
//
// Requests to the authority go over a desk, which remembers who has asked what.
//
// [Registry] is the protocol as a machine without clock and network; [Server]
// runs it on a socket.
package rdv
