// Package mcast decides where multicast goes in the Ethernet mode: it snoops IGMP
// and MLD (RFC 4541) at the TAP of one node, tells the peers what its hosts want, and
// knows what the peers' hosts want. It does no I/O, takes no locks and reads no clock.
//
//	            reports, queries                  updates
//	hosts ────► Snooper of their node ◄───────► Snooper of each other node ◄──── hosts
//	      ◄────                                          │
//	        queries, reports for the mesh                ▼
//	                                        View: where packets from this TAP go
//
// A [Snooper] is owned by the goroutine that has the control state. The data path
// asks [gmp.Classify] about every multicast packet, and an immutable [View] where it
// goes. A packet from a peer goes to the TAP and nowhere else.
//
// # Every TAP is a link of its own
//
// Queries, reports and leaves never cross the mesh. A node knows its hosts by their
// own words on their own link, and what peers know of them is what it says itself,
// over a session that authenticates it. It follows:
//
//   - Nobody can join or leave in the name of another's hosts.
//   - No host keeps quiet because it has heard another's report from far away (RFC
//     2236 section 3).
//   - Every TAP needs a querier, and its node is it: from 0.0.0.0 in IGMP, and from an
//     address above all others in MLD, so that it loses every election (RFC 4541
//     section 2.1.1). It is silent while another querier is on the link.
//   - General queries of a querier elsewhere are of no use to a link that has one, and
//     could make all hosts speak an older version. They stay where they are.
//   - A specific query is about a doubt, which hosts elsewhere can resolve: it goes as
//     a question in an update to the nodes that want the group, and each asks its
//     hosts anew. With the S flag it is obeyed by nobody, and does not travel.
//
// What hosts want is kept as by a router of RFC 3376 section 6 and RFC 3810 section 7,
// for each VLAN and group address, with its sources; see [group]. A group ends when
// its last host has left and nobody answers two queries, after 2 s, whether or not
// there is another querier: if it does not ask within a second, we do. With
// Config.FastLeave it ends at once, if all hosts speak the newest version and the
// last of them has left; hosts of older versions cannot be counted.
//
// # Routers
//
// A multicast router is behind the TAP if a querier with an address of its own, a
// hello of PIM, a probe of DVMRP or an advertisement of RFC 4286 was heard, or
// Config.Mrouter says so. Peers learn of it and send it all multicast of the VLAN. To
// it, and to whoever else queries on the link, the node reports what the whole mesh
// wants, as one host (RFC 4605). In an older version it lets hosts at its own TAP
// speak first, because they keep quiet when they hear it.
//
// # What nobody has joined
//
// Every TAP has a querier, so it is known what hosts want, and nobody having joined
// means that nobody wants it: it goes to routers only. SSDP (239.255.255.250) and
// what else is reported works by its reports. 224.0.0.0/24, with mDNS and ping
// 224.0.0.1, and ff02::1 go everywhere, for they are not always reported. The other
// groups of ff02::/16 are, and go to those who want them; but if nobody has joined
// one it goes everywhere, because neighbours are found with these groups. What
// has the scopes 0 and 1 of IPv6 leaves no host.
//
// While it is not known what a peer wants, it gets everything: from the beginning of
// a session to the end of its first full set, at most for one query interval. A node
// that has just started tells that it is settling: that its set is not the whole truth
// before its hosts have had a second to answer. So a restart loses nothing.
//
// # Limits
//
// Groups, sources, hosts, queries, VLANs and everything about a peer are bounded. What
// is beyond a limit is refused, with an event and a counter, and never takes the
// place of what is there. A peer that names more sources than it may gets all sources.
//
// # Updates
//
// Nodes tell each other in updates of at most [MaxUpdate] bytes, which may be lost,
// reordered and repeated on the way. Numbers are in network byte order.
//
//	offset  size  field
//	0       1     version, 1
//	1       -     fields, to the end
//
// and each field is
//
//	offset  size  field
//	0       1     tag
//	1       2     length of the value
//	3       -     value
//
// A reader skips fields whose tag it does not know, and what follows the known parts
// of Data, Ack and Router. It ignores an update of another version, and one that
// is malformed.
//
//	tag  name      value
//	1    Data      stream (8), number (4), flags (1): 1 complete, 2 settling
//	2    Ack       stream (8), next number (4), flags (1): 1 gap
//	3    Entry     VLAN (2), mode (1), group, sources
//	4    Router    VLAN (2; 65535: all), families (1): 1 IPv4, 2 IPv6, 0 none any more
//	5    Question  VLAN (2), group, sources; without: about the whole group
//
// A group is the length of its address (1) and the address, 4 or 16 bytes; sources are
// addresses of the same length, at most 64, to the end of the field. Mode 0 is that
// the group is not wanted any more, 1 that its sources are wanted, at least one, 2 that
// all but its sources are.
//
// What is to be kept (Entry, Router) is in updates with Data. They form a stream: its
// number is above those of all streams before it in the session, and its updates are
// numbered from 1 on. An entry replaces what was told about its group before. A
// receiver takes updates in the order of their numbers and drops others; to each it
// answers with an Ack (its own next update may carry it) with the number that it
// expects, and the flag gap if a later one has come. At most eight updates are on
// their way; they are repeated after 0.25 s, doubling to 4 s, and upon a gap, at most
// ten times a second.
//
// A stream begins with the session: with all groups and routers, in as many updates
// as it takes. The last of them, and each that follows, is complete. Upon a complete
// update that is not settling the receiver forgets what older streams told and this
// one has not. An Ack for a stream with a higher number than the sender's makes it
// begin anew with one above that.
package mcast
