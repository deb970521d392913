// Package scenario tries what a switch makes of reports of membership: a
// [Scenario] is a list of reports that arrive at its ports, with what each port
// wants after them. The switch is anything with ports, a [Fabric]: a kernel's
// bridge, or a mesh of which each port is the Ethernet device of a member. What
// passes on the bridge and fails on the mesh is a mistake of the mesh.
//
// What a port wants is found out by experiment. Frames from every source of the
// scenario, and from one that nobody speaks of, are sent to the group at port
// 0; those that come out of a port are wanted there, and each has to come out
// once. Then a broadcast frame follows them, the marker: where it came out,
// everything before it has come out as well, or never will.
//
//	port 0  ── probe S1, probe S2, …, marker ──▶ ┌────────┐ ── S1, marker ──▶ port 1
//	                                             │ fabric │
//	port 1  ── report, marker ─────────────────▶ └────────┘ ── marker ──────▶ port 2
//
// A fabric that can also tell what it believes (an [Inspector]) is asked, too.
//
// [All] are the scenarios: reports and leaves of IGMPv2 and MLDv1, every
// transition of the state tables of RFC 3376 sections 6.4.1 and 6.4.2 (which
// are those of RFC 3810 sections 7.4.1 and 7.4.2), with what becomes of it when
// nobody answers the queries that follow, and the ends of timers.
package scenario
