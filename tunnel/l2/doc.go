// Package l2 is the Ethernet switch that is spread over the members of the VPN: which
// frame goes to whom.
//
// Each member has the same switch, with its own TAP device at port 0 and its peers at
// the others:
//
//	      TAP
//	       │ a frame from the TAP goes to any number of peers
//	   ┌───┴────┐
//	   │ Switch │
//	   └┬──┬───┬┘ a frame from a peer goes to the TAP or nowhere (split horizon)
//	peer 1 2 … n
//
// Every pair of members has a tunnel of its own, so that no frame has to pass more
// than one, and nothing can go in a circle between members.
//
// # Two halves
//
// [Switch] is a machine without I/O, lock or clock, which control owns. [View] is what
// it has to say, immutable, for the data path: [View.FromTAP] and [View.FromPeer]
// decide about one frame each, without waiting and without allocating. What the
// data path finds out is in [Decision.Note], which goes to [Switch.Handle] when there
// is room in the queue, and comes again with the next frame when there is none:
//
//	frame ──► View.FromTAP, View.FromPeer ──► Decision.Ports
//	             ▲                  │ Note (a new address, somebody is wanted …)
//	   atomic pointer               ▼
//	             └──────────── Switch.Handle ──► Events
//
// That an address is still there needs no note: the entries' times are atomic.
//
// # What it learns, and does not believe
//
// Which address is where, is learned for each VLAN from the sources of frames, behind
// the TAP too, and forgotten when nothing comes from it for a while, or the tunnel
// ends. A frame whose tags have the number 0 only is in the native VLAN, 0; of two
// tags the outer counts.
//
// Peers are authenticated, but what they put into frames is not:
//
//	source is a group, or 0            dropped
//	  our TAP's own, from outside      dropped, EventLoop
//	  pinned or static for another     dropped, EventTheft
//	  at another port                  moves; after five moves in three minutes it
//	                                   stays where it was before (EventFrozen), or,
//	                                   with BindFirst, at once (EventTheft)
//	  new, and the peer has its quota  passes, is not learned, EventQuota
//
// An address that moves is learned a moment after its first frame; meanwhile what is
// for it goes to all, so that it does not miss the answer.
//
// No live entry makes room for another. A quota bounds memory and what one peer can
// occupy; it does not silence anyone: whom nobody has learned is reached as everybody
// unknown is, within the limits for that. Who may send as whom is for pins and
// [Binding] to say, and for [PortOptions.Addrs].
//
// What goes to all (broadcast, unknown addresses, multicast without known members) is
// limited for each port, also where it arrives: a member that has no limits cannot
// make others suffer.
//
// # Answers on behalf of others
//
// From answers that come by it learns which MAC an IP address has, and answers such
// questions of local hosts itself, in the words that the holder has used. It believes
// only the peer at which the MAC is, forgets what two tell differently, and lets all
// that is about addresses being free or changing hands pass.
//
// # Multicast
//
// Who is in which group, [Groups] says; package mcast has one. Without it, multicast
// goes to all. Messages about groups (IGMP, MLD) are not forwarded but marked for the
// snooper (Decision.Snoop), which has to say whether anybody else should see them.
//
// # Frames that are too large
//
// The TAP's MTU should be such that one frame is one datagram ([TAPMTU]). Where it is
// not, [ClampMSS] and [AppendTooBig] tell hosts, and [Splitter] and [Assembler] carry
// what is large nevertheless.
package l2
