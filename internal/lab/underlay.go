package lab

import (
	"fmt"
	"slices"
	"strings"
)

// What is below the VPN of a demonstration.
const (
	underlayIPv4 = "ipv4"
	underlayIPv6 = "ipv6" // hosts have no IPv4, and NATs are firewalls
	underlayDual = "dual" // hosts have both, and the RDV is named by its IPv4 address
)

// underlays are what can be below the VPN.
var underlays = []string{underlayIPv4, underlayIPv6, underlayDual}

// checkUnderlay fills in the defaults and refuses what cannot be.
func (o *DemoOptions) checkUnderlay() error {
	switch {
	case o.Underlay == "":
		o.Underlay = underlayIPv4
	case !slices.Contains(underlays, o.Underlay):
		return fmt.Errorf("lab: %q cannot be below the VPN: use %s", o.Underlay, strings.Join(underlays, ", "))
	}
	if o.Underlay != underlayIPv6 {
		return nil
	}
	if o.RDVMode == "" {
		o.RDVMode = "strict"
	}
	if !o.authenticates() {
		return fmt.Errorf("lab: over IPv6 clients register with a certificate alone, at a rendezvous server that has one: use mixed or strict")
	}
	return nil
}

// direct reports whether theory gives two peers behind NATs a direct path. Over IPv6
// nothing is translated, and firewalls let in what answers. At an RDV with a certificate
// they learn enough of each other to guess ports.
func (o *DemoOptions) direct(a, b Kind) bool {
	return o.Underlay == underlayIPv6 || Direct(a, b) || o.guesses(a, b)
}

// guesses reports whether two peers have to guess ports.
func (o *DemoOptions) guesses(a, b Kind) bool {
	return o.Underlay != underlayIPv6 && o.authenticates() && !Direct(a, b) && Guessable(a, b)
}

// internet describes the addresses of a demonstration's Internet.
func (o *DemoOptions) internet() string {
	switch o.Underlay {
	case underlayIPv6:
		return internet6.String()
	case underlayDual:
		return fmt.Sprintf("%v and %v", internet4, internet6)
	}
	return internet4.String()
}

// place describes where a peer is.
func (o *DemoOptions) place(p PeerPlace) string {
	switch {
	case p.NAT == "":
		return fmt.Sprintf("at %v, without NAT", p.Addr)
	case o.Underlay == underlayIPv6:
		return fmt.Sprintf("at %v, behind the firewall of %s", p.Addr, p.NAT)
	}
	return fmt.Sprintf("at %v, behind %s with the outer address %v", p.Addr, p.NAT, p.Outer)
}
