// Package rdv is the rendezvous server (RDV): it knows at which UDP endpoint
// each client of the VPN can be reached and introduces clients to each other.
// It sees no traffic between them and decides about nobody's identity.
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
// [Registry] is the protocol as a machine without clock and network; [Server]
// runs it on a socket.
package rdv
