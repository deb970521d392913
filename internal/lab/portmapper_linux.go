package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Mapped is the network on the lab's Internet in which NATs with a port mapper have
// their outer address: port mappers refuse to work with those for documentation, of
// which the rest of the Internet is. Nobody has these in public.
var Mapped = netip.MustParsePrefix("11.0.0.0/24")

// mapperReady is what miniupnpd says when it answers.
const mapperReady = "Listening for NAT-PMP/PCP traffic"

// PortMapperOptions say what a port mapper does.
type PortMapperOptions struct {
	Label       string        // of the process; "": miniupnpd
	MinLifetime time.Duration // of mappings; 0: two minutes
	NoUPnP      bool          // PCP and NAT-PMP only
}

// MappedAddr returns the address in [Mapped] that a node has on the lab's Internet once
// [Node.JoinMapped] was called for it.
func (n *Node) MappedAddr() netip.Addr {
	a, m := n.Addr().As4(), Mapped.Addr().As4()
	m[3] = a[3]
	return netip.AddrFrom4(m)
}

// JoinMapped gives a node on the Internet an address in [Mapped], so that it reaches
// what port mappers forward. ifname is its interface there.
func (n *Node) JoinMapped(ifname string) error {
	return n.AddAddress(ifname, netip.PrefixFrom(n.MappedAddr(), Mapped.Bits()))
}

// StartPortMapper starts a daemon that forwards ports on request, by PCP, NAT-PMP and
// UPnP, and returns when it answers. path is that of miniupnpd (Debian package
// miniupnpd-nftables). The NAT answers to its LAN on all ports from then on, and has the
// outer address [Node.MappedAddr] as well.
func (n *NAT) StartPortMapper(ctx context.Context, path string, o PortMapperOptions) (*Process, error) {
	if err := n.openToLAN(); err != nil {
		return nil, err
	}
	if o.Label == "" {
		o.Label = "miniupnpd"
	}
	file := filepath.Join(n.lab.Dir(), n.name+"-"+o.Label+".conf")
	if err := os.WriteFile(file, []byte(o.config(n.MappedAddr())), 0o600); err != nil {
		return nil, n.wrap("start a port mapper", err)
	}
	p, err := n.Start(o.Label, path, "-d", "-f", file, "-P", filepath.Join(n.lab.Dir(), n.name+"-"+o.Label+".pid"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := p.untilExit(ctx)
	defer cancel()
	_, err = p.awaitContaining(ctx, mapperReady)
	return p, err
}

// config returns the daemon's configuration.
func (o PortMapperOptions) config(external netip.Addr) string {
	least := o.MinLifetime
	if least == 0 {
		least = 2 * time.Minute
	}
	upnp := "yes"
	if o.NoUPnP {
		upnp = "no"
	}
	return fmt.Sprintf(`ext_ifname=%s
ext_ip=%v
listening_ip=%s
enable_natpmp=yes
enable_upnp=%s
min_lifetime=%d
max_lifetime=86400
secure_mode=yes
system_uptime=no
notify_interval=30
uuid=00000000-0000-4000-8000-000000000001
`, wan, external, lan, upnp, least/time.Second)
}

// openToLAN prepares the NAT for a port mapper: an outer address, the tables that the
// daemon fills, and an open door to the LAN. It may be called again.
func (n *NAT) openToLAN() error {
	n.lab.mu.Lock()
	defer n.lab.mu.Unlock()
	if n.mapper {
		return nil
	}
	if err := n.JoinMapped(wan); err != nil {
		return err
	}
	if err := n.ns.nftables(func(c *nftables.Conn) error {
		c.AddRule(&nftables.Rule{Table: natTable, Chain: &nftables.Chain{Name: "input", Table: natTable}, Exprs: rule(from(lan), accept())})
		addMapperChains(c)
		moveWall(c)
		return nil
	}); err != nil {
		return err
	}
	n.mapper = true
	return nil
}

// mapperTable is where the daemon looks for its chains.
var mapperTable = &nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"}

// mapperChains are those that the daemon fills, by the chain of the kernel's that leads
// to each.
var mapperChains = []struct {
	base *nftables.Chain
	name string
}{
	{&nftables.Chain{Name: "prerouting", Table: mapperTable, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest}, "prerouting_miniupnpd"},
	{&nftables.Chain{Name: "forward", Table: mapperTable, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter}, "miniupnpd"},
	{&nftables.Chain{Name: "postrouting", Table: mapperTable, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource}, "postrouting_miniupnpd"},
}

// addMapperChains makes the chains for the daemon. What they forward, the NAT lets pass.
func addMapperChains(c *nftables.Conn) {
	c.AddTable(mapperTable)
	for _, m := range mapperChains {
		c.AddChain(m.base)
		c.AddChain(&nftables.Chain{Name: m.name, Table: mapperTable})
		c.AddRule(&nftables.Rule{Table: mapperTable, Chain: m.base, Exprs: rule(jump(m.name))})
	}
}

// moveWall puts the firewall for IPv6 behind the daemon's chain: what one chain of the
// kernel's accepts, another could still drop.
func moveWall(c *nftables.Conn) {
	c.DelTable(wallTable)
	for _, fwd := range [][]exprs{
		{isIPv6(), from(lan), accept()},
		{isIPv6(), from(wan), answers(), accept()},
		{isIPv6(), drop()},
	} {
		c.AddRule(&nftables.Rule{Table: mapperTable, Chain: mapperChains[1].base, Exprs: rule(fwd...)})
	}
}

// isIPv6 holds for packets of IPv6.
func isIPv6() exprs {
	return append(meta(expr.MetaKeyNFPROTO, reg0), equals(reg0, []byte{unix.NFPROTO_IPV6})...)
}

// ForgetMappings removes all that a port mapper has set up, as a restart of the whole
// router does.
func (n *NAT) ForgetMappings() error {
	return n.ns.nftables(func(c *nftables.Conn) error {
		for _, m := range mapperChains {
			c.FlushChain(&nftables.Chain{Name: m.name, Table: mapperTable})
		}
		return nil
	})
}

// MappedPorts returns how many ports a port mapper forwards.
func (n *NAT) MappedPorts() (count int, err error) {
	err = n.ns.nftables(func(c *nftables.Conn) error {
		rules, err := c.GetRules(mapperTable, &nftables.Chain{Name: mapperChains[0].name, Table: mapperTable})
		count = len(rules)
		return err
	})
	return count, err
}

// awaitContaining is Await for programs whose lines begin with something else.
func (p *Process) awaitContaining(ctx context.Context, text string) (LogLine, error) {
	ticker := time.NewTicker(logPoll)
	defer ticker.Stop()
	for {
		lines, err := p.Log()
		if err != nil {
			return LogLine{}, err
		}
		for _, l := range lines {
			if strings.Contains(l.Message, text) {
				return l, nil
			}
		}
		select {
		case <-ctx.Done():
			return LogLine{}, fmt.Errorf("lab: %v did not log %q: %w\n%s", p, text, context.Cause(ctx), p.Tail())
		case <-ticker.C:
		}
	}
}
