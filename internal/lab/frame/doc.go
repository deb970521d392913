// Package frame builds and reads the Ethernet frames of experiments with
// multicast: UDP datagrams to groups, and the messages in which hosts and
// routers talk about membership (IGMP for IPv4, MLD for IPv6), with VLAN tags
// if wanted.
//
// It shares no code with the package that snoops on these messages for the
// mesh, on purpose: what both agree about is right, and not just consistent.
//
// The two families are treated alike where they are alike. MLDv1 is IGMPv2 and
// MLDv2 is IGMPv3 with longer addresses, so that one [Message] describes both,
// in the words of IGMP:
//
//	Kind       Version   IPv4                     IPv6
//	──────────────────────────────────────────────────────────────────
//	Query      1         IGMPv1, RFC 1112
//	Query      2         IGMPv2, RFC 2236         MLDv1, RFC 2710
//	Query      3         IGMPv3, RFC 3376         MLDv2, RFC 3810
//	Report     1         IGMPv1
//	Report     2         IGMPv2                   MLDv1
//	Report     3         IGMPv3, with records     MLDv2, with records
//	Leave      2         IGMPv2                   MLDv1, "Done"
package frame
