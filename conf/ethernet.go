package conf

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// A Mode says what the VPN carries.
type Mode uint8

// The modes.
const (
	ModeTUN Mode = iota // IP packets
	ModeTAP             // Ethernet frames
)

// String returns the word for it in the configuration.
func (m Mode) String() string {
	if m == ModeTAP {
		return "tap"
	}
	return "tun"
}

// tapMTU is the default MTU of a virtual interface that carries frames, in bytes. With
// the header of a frame and a VLAN tag (18 bytes), the record around it (at most 42) and
// IPv6 and UDP below (48) it fits 1500. Over IPv4, which takes 20 bytes less, there is
// room for two tags and PPPoE.
const tapMTU = 1392

// Ethernet is what a client's file says about the switch that it is a part of. It
// matters in [ModeTAP] only.
type Ethernet struct {
	FullMesh     bool             // keep connections to all members, not only to those that are talked to
	HardwareAddr net.HardwareAddr // of the virtual interface; nil: from the VPN address
	MaxMACs      int              // hardware addresses behind one peer, at least 1; default 256
	PinMACs      bool             // a peer may use only the hardware addresses that are its own
	VLANs        []uint16         // that are carried, in order; nil: all
	STP          bool             // carry the spanning tree protocol
	StormRate    int              // frames per second to everybody from one sender; 0: no limit; default 1000
	Fragment     bool             // cut frames that are larger than the path

	MaxGroups    int    // multicast groups that a peer may ask for, at least 1; default 1024
	Unregistered string // multicast that nobody has asked for goes to: "routers", "flood", "drop"
	Router       bool   // there is a multicast router behind the virtual interface
	FastLeave    bool   // stop as soon as a host leaves that nobody else shares the interface with
}

// choice stores one of the words that the key allows, which are in lower case.
func (a *assignment) choice(dst *string) {
	word := strings.ToLower(a.text)
	if !slices.Contains(a.key.Choices, word) {
		a.fail("is none of " + strings.Join(a.key.Choices, ", "))
		return
	}
	*dst = word
}

// mode stores what the VPN carries.
func (a *assignment) mode(dst *Mode) {
	var word string
	if a.choice(&word); word == ModeTAP.String() {
		*dst = ModeTAP
	}
}

// mesh stores whether all connections are kept.
func (a *assignment) mesh(c *Client) {
	a.ethernet(c, func() {
		var word string
		a.choice(&word)
		c.Ethernet.FullMesh = word == "full"
	})
}

// ethernet stores a value that matters among frames only, with set.
func (a *assignment) ethernet(c *Client, set func()) {
	if a.value != nil && c.Mode != ModeTAP {
		a.warn("has no effect, because mode is "+c.Mode.String(), "write mode = tap into [NETWORK], or take the line out")
	}
	set()
}

// hardwareAddr stores the address of an Ethernet device.
func (a *assignment) hardwareAddr(dst *net.HardwareAddr) {
	addr, err := net.ParseMAC(a.text)
	switch {
	case err != nil || len(addr) != 6:
		a.fail("is not a hardware address")
	case addr[0]&1 != 0:
		a.failWith("is the address of a group", "the second digit of a device's address is even, such as in "+exampleMAC)
	case addr[0]&2 == 0:
		a.failWith("is an address that only a manufacturer gives out", "the second digit is 2, 6, a or e for all others, such as in "+exampleMAC)
	default:
		*dst = addr
	}
}

const exampleMAC = "02:00:00:00:00:01"

// maxVLAN is the greatest number of a VLAN (IEEE 802.1Q section 9.6).
const maxVLAN = 4094

// vlans stores the numbers of VLANs: "all", or numbers and ranges.
func (a *assignment) vlans(dst *[]uint16) {
	if strings.EqualFold(strings.TrimSpace(a.text), "all") {
		*dst = nil
		return
	}
	var list []uint16
	for part := range strings.FieldsFuncSeq(a.text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		first, last, isRange := strings.Cut(part, "-")
		from, ok := vlanNumber(first)
		to := from
		if isRange && ok {
			to, ok = vlanNumber(last)
		}
		if !ok || to < from {
			a.fail(fmt.Sprintf("has %s, which is neither the number of a VLAN nor a range of them", quote(part)))
			return
		}
		for v := from; v <= to; v++ {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		a.fail("names no VLAN")
		return
	}
	slices.Sort(list)
	*dst = slices.Compact(list)
}

// vlanNumber reads the number of a VLAN; 0 stands for frames without a tag.
func vlanNumber(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n <= maxVLAN
}
