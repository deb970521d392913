package lab

import (
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// natRules are the nftables rules of a NAT.
type natRules struct {
	kind Kind
	// hosts says which host inside gets what comes from strangers: by outer
	// port, or by remote address and outer port. nil if nobody does.
	hosts *nftables.Set
	// turn has the outer address, at key 0, for a NAT that hands out ports in turn. (If
	// it stood in the rule, another address would be another rule, which begins at the
	// first port again.) nil for others.
	turn *nftables.Set
}

// defaultMappingTimeout is how long a NAT lets strangers in after the last
// packet from inside: what RFC 4787 section 4.3 (REQ-5) demands of mappings.
const defaultMappingTimeout = 2 * time.Minute

// The tables of a NAT.
var (
	natTable  = &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "nat"}
	wallTable = &nftables.Table{Family: nftables.TableFamilyIPv6, Name: "firewall"}
)

func newNATRules(o NATOptions) *natRules {
	r := &natRules{kind: o.Kind}
	timeout := o.MappingTimeout
	if timeout == 0 {
		timeout = defaultMappingTimeout
	}
	// The number is given because the library would draw one from a variable
	// that labs on several goroutines would share.
	hosts := &nftables.Set{
		Table: natTable, ID: 1, Name: "hosts",
		IsMap: true, Dynamic: true, HasTimeout: true, Timeout: timeout, Size: 65535,
		DataType: nftables.TypeIPAddr,
	}
	switch o.Kind {
	case FullCone:
		hosts.KeyType = nftables.TypeInetService
		r.hosts = hosts
	case Restricted:
		hosts.KeyType = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
		hosts.Concatenation = true
		r.hosts = hosts
	case Sequential:
		r.turn = &nftables.Set{
			Table: natTable, ID: 1, Name: "outer",
			IsMap: true, KeyType: nftables.TypeMark, DataType: nftables.TypeIPAddr,
		}
	}
	return r
}

// add installs the rules of a NAT with the given outer address.
func (r *natRules) add(c *nftables.Conn, outer netip.Addr) error {
	c.AddTable(natTable)
	if r.hosts != nil {
		if err := c.AddSet(r.hosts, nil); err != nil {
			return err
		}
	}
	if r.turn != nil {
		if err := c.AddSet(r.turn, []nftables.SetElement{outerElement(outer)}); err != nil {
			return err
		}
	}
	r.addTranslation(c)
	r.addFilter(c)
	addWall(c)
	return nil
}

// addTranslation installs what changes addresses.
func (r *natRules) addTranslation(c *nftables.Conn) {
	pre := c.AddChain(&nftables.Chain{
		Name: "prerouting", Table: natTable, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	post := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: natTable, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	// Masquerading keeps the port while it is free, which makes the mapping
	// endpoint-independent; with a port of its own for every flow it depends on
	// address and port. The flows themselves filter by address and port.
	if r.turn != nil {
		c.AddRule(&nftables.Rule{
			Table: natTable, Chain: post,
			Exprs: rule(to(wan), protocol(unix.IPPROTO_UDP),
				load(reg0, make([]byte, 4)), recall(r.turn, reg2), nextPort(reg0), sourceNAT(reg2, reg0)),
		})
	}
	c.AddRule(&nftables.Rule{Table: natTable, Chain: post, Exprs: rule(to(wan), masquerade(r.kind == Symmetric))})

	// Strangers get in by translation of their own, in front of the filter.
	if r.hosts != nil {
		c.AddRule(&nftables.Rule{
			Table: natTable, Chain: pre,
			Exprs: rule(from(wan), protocol(unix.IPPROTO_UDP), forUs(),
				r.key(offSource4, offDestPort), recall(r.hosts, reg2), destinationNAT(reg2)),
		})
	}
}

// key loads the key of the map of hosts, given where the remote address and the
// outer port are in a packet.
func (r *natRules) key(remote, port uint32) exprs {
	if r.kind == Restricted {
		return append(loadAddr4(remote, reg0), loadPort(port, reg1)...)
	}
	return loadPort(port, reg0)
}

// addFilter installs what forbids, for IPv4. What is not allowed is dropped
// without an answer, also when it is for the NAT itself: a packet from outside
// that were accepted there would become a flow of its own, whose ports a later
// flow from inside could not have any more; the NAT would give it another port
// and so look symmetric.
func (r *natRules) addFilter(c *nftables.Conn) {
	nobody := nftables.ChainPolicyDrop
	input := c.AddChain(&nftables.Chain{
		Name: "input", Table: natTable, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &nobody,
	})
	forward := c.AddChain(&nftables.Chain{
		Name: "forward", Table: natTable, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &nobody,
	})
	for _, in := range [][]exprs{
		{from("lo"), accept()},
		{answers(), accept()},
		{from(lan), protocol(unix.IPPROTO_ICMP), accept()}, // so that people can ping their gateway
	} {
		c.AddRule(&nftables.Rule{Table: natTable, Chain: input, Exprs: rule(in...)})
	}
	if r.hosts != nil {
		c.AddRule(&nftables.Rule{
			Table: natTable, Chain: forward,
			Exprs: rule(from(lan), to(wan), protocol(unix.IPPROTO_UDP),
				loadAddr4(offSource4, reg2), r.key(offDestination4, offSourcePort), remember(r.hosts, reg2)),
		})
	}
	for _, fwd := range [][]exprs{
		{from(lan), to(wan), accept()},
		{from(wan), answers(), accept()},
		{from(wan), ctHas(expr.CtKeySTATUS, ctStatusDestinationNAT), accept()},
	} {
		c.AddRule(&nftables.Rule{Table: natTable, Chain: forward, Exprs: rule(fwd...)})
	}
}

// addWall installs the firewall for IPv6, where nothing is translated.
func addWall(c *nftables.Conn) {
	nobody := nftables.ChainPolicyDrop
	c.AddTable(wallTable)
	forward := c.AddChain(&nftables.Chain{
		Name: "forward", Table: wallTable, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &nobody,
	})
	for _, fwd := range [][]exprs{
		{from(lan), accept()},
		{from(wan), answers(), accept()},
	} {
		c.AddRule(&nftables.Rule{Table: wallTable, Chain: forward, Exprs: rule(fwd...)})
	}
}

// outerElement returns the content of the map with the outer address.
func outerElement(outer netip.Addr) nftables.SetElement {
	return nftables.SetElement{Key: make([]byte, 4), Val: outer.AsSlice()}
}

// forget empties the map of hosts, and takes over the outer address, which may be
// another one.
func (r *natRules) forget(c *nftables.Conn, outer netip.Addr) error {
	if r.hosts != nil {
		c.FlushSet(r.hosts)
	}
	if r.turn == nil {
		return nil
	}
	c.FlushSet(r.turn)
	return c.SetAddElements(r.turn, []nftables.SetElement{outerElement(outer)})
}
