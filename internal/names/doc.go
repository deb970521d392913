// Package names answers questions for the names of members (DNS, RFC 1034 and 1035).
//
// A [Zone] is what is known at a moment: who has which name, and by whose word. It is
// immutable, and answers a question without asking anybody. A [Book] makes zones of what
// a source says, when somebody asks and the last one is old. A [Server] has the sockets,
// and lets in who may ask, at a rate that does no harm.
//
//	source ──► Book ──► Zone ──► Server ◄── questions of this host
//
// Whose name it is, certificates say. The names of members whose certificate this host
// has seen go before those that the rendezvous server tells, and nothing that it tells
// gives the address of such a member another name.
//
// The server answers for its own domain, and for the addresses of the VPN's networks. It
// refuses all other questions, and asks no other server: it is no way around those that
// the host uses.
package names
