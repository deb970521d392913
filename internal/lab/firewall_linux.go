package lab

import (
	"fmt"

	"github.com/google/nftables"
)

// LetOut makes the NAT a strict firewall, as some offices have them: of what its hosts
// send over IPv4 only what is one of the given passes, and what answers to something.
// Another call replaces the one before.
func (n *NAT) LetOut(matches ...Match) error {
	// Before the NAT's own rules, and apart from them: they are one table for all that
	// the NAT does.
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "office"}
	err := n.ns.nftables(func(c *nftables.Conn) error {
		c.AddTable(table) // or there would be none to delete
		c.DelTable(table)
		c.AddTable(table)
		forward := c.AddChain(&nftables.Chain{
			Name: "forward", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward,
			Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityFilter - 1),
		})
		c.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: rule(answers(), accept())})
		for _, m := range matches {
			e, err := m.exprs()
			if err != nil {
				return err
			}
			c.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: rule(from(lan), e, accept())})
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: rule(from(lan), drop())})
		return nil
	})
	if err != nil {
		return fmt.Errorf("lab: the firewall of NAT %s: %w", n.name, err)
	}
	return nil
}
