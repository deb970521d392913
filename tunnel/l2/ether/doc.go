// Package ether reads and writes what an Ethernet switch looks at: headers of
// frames with their VLAN tags, ARP, and the neighbour discovery of IPv6.
//
// Everything here takes any bytes without panic, copies nothing that it reads and
// allocates nothing. Frames are without their checksum (FCS), as a TAP device has
// them.
package ether
