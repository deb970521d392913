package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

const mdbHelp = `Show who wants which multicast groups, as the client on this host knows it, which
carries Ethernet frames (mode = tap): hosts behind its virtual interface, and
members; where multicast routers are, and who asks hosts about groups.

The exit status is 0, and 1 after an error, such as that the client carries IP
packets.

The client on this host is asked by its control socket, as by "campagnol status".`

// newMDBCommand returns the command "campagnol mdb".
func newMDBCommand() *cobra.Command { return mdbCommand(control.DefaultDir()) }

// mdbCommand returns the command, given where the sockets are.
func mdbCommand(dir string) *cobra.Command {
	return tableCommand(dir, "mdb", "Show who wants which multicast groups (mode = tap)", mdbHelp,
		func(ctx context.Context, c *control.Client) (string, []byte, error) {
			m, raw, err := c.MDB(ctx)
			if err != nil {
				return "", nil, err
			}
			return mdbText(m), raw, nil
		})
}

// mdbText returns a document as text for people.
func mdbText(m *control.MDB) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s\n", human.Printable(m.Interface), addrText(m.VPNAddress))
	mdbGroups(&b, m)
	b.WriteString("\nqueriers and routers:\n")
	t := newTable(&b, "VLAN", "IP", "QUERIER", "VERSION", "ROUTERS", "REPORTED")
	for _, v := range m.VLANs {
		t.row(sideCells(v.VLAN, "IPv4", &v.IPv4)...)
		t.row(sideCells(v.VLAN, "IPv6", &v.IPv6)...)
	}
	t.end()
	if len(m.Members) > 0 {
		b.WriteString("\nmembers:\n")
		t = newTable(&b, "WHO", "GROUPS", "REFUSED", "UPDATES ON THE WAY", "GETS")
		for _, p := range m.Members {
			gets := "what it wants"
			if p.GetsAll {
				gets = "everything: it has not told yet what it wants"
			}
			t.row(whereText(false, p.VPNAddress, p.Name), strconv.Itoa(p.Groups), strconv.FormatUint(p.Refused, 10), strconv.Itoa(p.PendingUpdates), gets)
		}
		t.end()
	}
	if text := counterText(m.Counters); text != "" {
		fmt.Fprintf(&b, "\ncounted: %s\n", text)
	}
	return b.String()
}

// mdbGroups is the table of groups: a line for the hosts here, and one for each
// member.
func mdbGroups(b *strings.Builder, m *control.MDB) {
	if len(m.Groups) == 0 {
		b.WriteString("\nnobody wants a group\n")
		return
	}
	b.WriteByte('\n')
	t := newTable(b, "GROUP", "VLAN", "WANTED BY", "FROM", "ENDS IN", "VERSION", "HOSTS")
	for _, g := range m.Groups {
		if g.Mode != "" {
			ends := "-"
			if g.Seconds > 0 {
				ends = secondsText(g.Seconds)
			}
			t.row(addrText(g.Group), vlanText(g.VLAN), "this host", hostSources(&g), ends, versionText(g.Group, g.Version),
				human.OrDash(strings.Join(g.Hosts, " ")))
		}
		for _, p := range g.Members {
			t.row(addrText(g.Group), vlanText(g.VLAN), whereText(false, p.VPNAddress, p.Name), memberSources(&p), "-", "-", "-")
		}
	}
	t.end()
}

// hostSources says whom the hosts here want to hear, and for how long.
func hostSources(g *control.MDBGroup) string {
	var wanted, blocked []string
	for _, s := range g.Sources {
		switch {
		case s.Blocked:
			blocked = append(blocked, addrText(s.Address))
		case s.Seconds > 0:
			wanted = append(wanted, addrText(s.Address)+" "+secondsText(s.Seconds))
		default:
			wanted = append(wanted, addrText(s.Address))
		}
	}
	if g.Mode == "include" {
		return human.OrDash(strings.Join(wanted, ", "))
	}
	return exceptText(blocked)
}

// memberSources says whom a member wants to hear.
func memberSources(p *control.MDBMember) string {
	sources := make([]string, len(p.Sources))
	for i, a := range p.Sources {
		sources[i] = addrText(a)
	}
	if p.Mode == "include" {
		return human.OrDash(strings.Join(sources, ", "))
	}
	return exceptText(sources)
}

func exceptText(sources []string) string {
	if len(sources) == 0 {
		return "all"
	}
	return "all but " + strings.Join(sources, ", ")
}

// versionText returns the version of IGMP or MLD in which a group is wanted.
func versionText(group netip.Addr, version int) string {
	switch {
	case version == 0:
		return "-"
	case group.Is4():
		return "IGMPv" + strconv.Itoa(version)
	}
	return "MLDv" + strconv.Itoa(version)
}

// sideCells returns a line of the table of queriers.
func sideCells(vlan uint16, family string, s *control.MDBSide) []string {
	querier := "this client"
	if s.Querier.IsValid() {
		querier = fmt.Sprintf("%s for %s", addrText(s.Querier), secondsText(s.QuerierSeconds))
	}
	var routers []string
	switch {
	case s.Router && s.RouterSeconds > 0:
		routers = append(routers, "this host for "+secondsText(s.RouterSeconds))
	case s.Router:
		routers = append(routers, "this host")
	}
	for _, a := range s.RouterMembers {
		routers = append(routers, addrText(a))
	}
	reporting := "-"
	if s.Reporting {
		reporting = "what members want"
	}
	return []string{vlanText(vlan), family, querier, strconv.Itoa(s.QuerierVersion), human.OrDash(strings.Join(routers, ", ")), reporting}
}
