package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A Direction is a way through a cable.
type Direction uint8

// The directions, as seen by the node at the near end.
const (
	FromNode Direction = iota // sent by the node
	ToNode                    // on its way to the node
)

// A Match selects packets on a cable. A packet matches if all that is not zero
// agrees; the zero Match matches every frame, ARP included.
type Match struct {
	Protocol uint8 // unix.IPPROTO_UDP and so on
	Src, Dst netip.Prefix
	SrcPort  uint16 // of UDP and TCP
	DstPort  uint16
}

// exprs translates m.
func (m Match) exprs() (exprs, error) {
	var all exprs
	for _, p := range []netip.Prefix{m.Src, m.Dst} {
		if !p.IsValid() {
			continue
		}
		t := uint16(unix.ETH_P_IP)
		if p.Addr().Is6() {
			t = unix.ETH_P_IPV6
		}
		all = append(all, etherType(t)...)
	}
	if m.Src.IsValid() {
		all = append(all, inPrefix(m.Src, offSource4, offSource6)...)
	}
	if m.Dst.IsValid() {
		all = append(all, inPrefix(m.Dst, offDestination4, offDestination6)...)
	}
	if m.Protocol != 0 {
		all = append(all, protocol(m.Protocol)...)
	}
	if m.SrcPort == 0 && m.DstPort == 0 {
		return all, nil
	}
	if m.Protocol != unix.IPPROTO_UDP && m.Protocol != unix.IPPROTO_TCP {
		return nil, errors.New("lab: a match with ports needs the protocol UDP or TCP")
	}
	for _, p := range []struct {
		offset uint32
		port   uint16
	}{{offSourcePort, m.SrcPort}, {offDestPort, m.DstPort}} {
		if p.port != 0 {
			all = append(all, loadPort(p.offset, reg0)...)
			all = append(all, equals(reg0, []byte{byte(p.port >> 8), byte(p.port)})...)
		}
	}
	return all, nil
}

// A Rule acts on packets on a cable. It is applied where a packet comes out of
// the cable, before anything else of the receiving namespace sees it, so that
// what it drops is lost on the way: both NATs and sockets behave as if the
// network had dropped it. What the sender's kernel leaves to be cut later
// (segmentation offload) is one packet to a rule, and is lost as a whole.
type Rule struct {
	link *Link
	end  end // where packets come out
	tag  string
}

// Drop loses all packets that match.
func (k *Link) Drop(d Direction, m Match) (*Rule, error) {
	return k.addRule(d, m, nil, drop())
}

// Lose loses a random part of the packets that match: 0.05 is 5 %.
func (k *Link) Lose(d Direction, m Match, part float64) (*Rule, error) {
	if part < 0 || part > 1 {
		return nil, fmt.Errorf("lab: the part of packets to lose is %v, which is not between 0 and 1", part)
	}
	return k.addRule(d, m, chance(uint32(part*lossScale)), drop())
}

// Count counts the packets that match and lets them pass.
func (k *Link) Count(d Direction, m Match) (*Rule, error) {
	return k.addRule(d, m, nil, nil)
}

// The table and the chains of a cable's rules. There is a chain per interface:
// the Internet and the NATs have many of them.
func wireTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyNetdev, Name: "wire"}
}

func (e end) wireChain() *nftables.Chain {
	return &nftables.Chain{
		Name: "in-" + e.name, Table: wireTable(), Device: e.name,
		Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter,
	}
}

// addRule appends a rule: m, then cond, then the verdict.
func (k *Link) addRule(d Direction, m Match, cond, verdict exprs) (*Rule, error) {
	match, err := m.exprs()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rules++
	r := &Rule{link: k, end: k.far, tag: fmt.Sprintf("%s %s rule %d", k.near.ns.name, k.near.name, k.rules)}
	if d == ToNode {
		r.end = k.near
	}
	err = r.end.ns.nftables(func(c *nftables.Conn) error {
		c.AddTable(wireTable())
		chain := c.AddChain(r.end.wireChain())
		c.AddRule(&nftables.Rule{
			Table: chain.Table, Chain: chain,
			Exprs:    rule(match, cond, counted(), verdict),
			UserData: userdata.AppendString(nil, userdata.TypeComment, r.tag),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// find returns the rule as the kernel has it.
func (r *Rule) find(c *nftables.Conn) (*nftables.Rule, error) {
	rules, err := c.GetRules(wireTable(), r.end.wireChain())
	if err != nil {
		return nil, err
	}
	for _, kr := range rules {
		if tag, ok := userdata.GetString(kr.UserData, userdata.TypeComment); ok && tag == r.tag {
			return kr, nil
		}
	}
	return nil, fmt.Errorf("rule %q: %w", r.tag, os.ErrNotExist)
}

// Hits returns how many packets the rule acted on, and their bytes.
func (r *Rule) Hits() (packets, bytes uint64, err error) {
	err = r.end.ns.nftables(func(c *nftables.Conn) error {
		kr, err := r.find(c)
		if err != nil {
			return err
		}
		packets, bytes = counterOf(kr)
		return nil
	})
	return packets, bytes, err
}

// Remove ends the rule. A second call returns an error that is os.ErrNotExist.
func (r *Rule) Remove() error {
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	return r.end.ns.nftables(func(c *nftables.Conn) error {
		kr, err := r.find(c)
		if err != nil {
			return err
		}
		return c.DelRule(&nftables.Rule{Table: wireTable(), Chain: r.end.wireChain(), Handle: kr.Handle})
	})
}
