package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

// statusText returns a status for people.
func statusText(s *control.RDVStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "campagnol_rdv %s, process %d, has run for %s\n", human.Printable(s.Version), s.ProcessID, human.Age(s.Time.Sub(s.Started)))
	limit := "any number may register"
	if s.MaxClients > 0 {
		limit = fmt.Sprintf("at most %d may register", s.MaxClients)
	}
	fmt.Fprintf(&b, "clients: %d (%d authenticated, mode %s; %s)\n", s.Clients, s.Channels, human.Printable(s.Mode), limit)
	fmt.Fprintf(&b, "pairs that were introduced within a day: %d\n", s.Pairs)
	if s.Relaying {
		fmt.Fprintf(&b, "relay: %d relayed addresses, %s relayed\n", s.Allocations, human.Size(s.RelayBytes))
	}
	if len(s.NATs) > 0 {
		fmt.Fprintf(&b, "behind: %s\n", countsText(s.NATs))
	}
	if !s.NextExpiry.IsZero() {
		fmt.Fprintf(&b, "the certificate that expires next: %s, %s\n", human.Printable(s.NextExpiryName), expiryText(s.NextExpiry, s.Time))
	}
	for _, part := range []struct {
		name   string
		counts map[string]uint64
	}{{"counted", s.Counters}, {"dropped", s.Dropped}} {
		if text := countsText(part.counts); text != "" {
			fmt.Fprintf(&b, "%s: %s\n", part.name, text)
		}
	}
	return b.String()
}

// countsText lists what is not zero.
func countsText[N int | uint64](counts map[string]N) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", human.Printable(name), counts[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// expiryText says when a certificate ends.
func expiryText(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "-"
	case !at.After(now):
		return "EXPIRED"
	}
	return "in " + human.Age(at.Sub(now))
}

// clientsText returns a table of clients.
func clientsText(list *control.RDVClients) string {
	if len(list.Clients) == 0 {
		return "nobody is registered\n"
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VPN\tNAME\tENDPOINT\tBY\tFOR\tHEARD\tNAT\tPLACES\tEXPIRES\tRELAYED\tASKED\tWANTED")
	for _, c := range list.Clients {
		fmt.Fprintln(t, strings.Join([]string{
			addrsText(c), human.OrDash(c.Name), c.Endpoint.String(), byText(c),
			human.Age(list.Time.Sub(c.Since)), human.Age(list.Time.Sub(c.Heard)), human.OrDash(c.NAT), fmt.Sprint(c.Candidates),
			expiryText(c.Expires, list.Time), human.Size(c.RelayBytes), fmt.Sprint(c.Asked), fmt.Sprint(c.Wanted),
		}, "\t"))
	}
	_ = t.Flush() // a Builder takes everything
	return b.String()
}

func addrsText(c control.RDVClient) string {
	var texts []string
	for _, v := range c.VPNAddresses {
		texts = append(texts, human.Printable(v.String()))
	}
	return strings.Join(texts, ",")
}

// byText says how a client is registered.
func byText(c control.RDVClient) string {
	how := "clear"
	if c.Registration == control.RegisteredAuthenticated {
		how = "channel"
	}
	if c.Transport != "udp" {
		how += "/" + human.Printable(c.Transport)
	}
	return how
}

// detailsText returns all about clients.
func detailsText(list *control.RDVClients) string {
	var b strings.Builder
	for i, c := range list.Clients {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, l := range [][2]string{
			{"VPN address", addrsText(c)},
			{"name", human.OrDash(c.Name)},
			{"endpoint", c.Endpoint.String() + ", " + human.Printable(c.Transport)},
			{"registered", human.Printable(c.Registration) + ", for " + human.Age(list.Time.Sub(c.Since))},
			{"last heard", human.Age(list.Time.Sub(c.Heard)) + " ago"},
			{"NAT", human.OrDash(c.NAT)},
			{"candidates", fmt.Sprint(c.Candidates)},
			{"software", human.OrDash(c.Software)},
			{"certificate", expiryText(c.Expires, list.Time)},
			{"relays for others", map[bool]string{false: "no", true: "yes"}[c.Relays]},
			{"relayed for it", fmt.Sprintf("%s, by %d addresses", human.Size(c.RelayBytes), c.RelayAllocations)},
			{"introductions", fmt.Sprintf("has asked %d times, was wanted %d times", c.Asked, c.Wanted)},
		} {
			fmt.Fprintf(&b, "%-18s %s\n", l[0]+":", l[1])
		}
	}
	return b.String()
}

// eventsText returns events, one a line. Those after the last one that are forgotten
// already are mentioned.
func eventsText(list *control.RDVEvents, last uint64) string {
	var b strings.Builder
	if len(list.Events) > 0 && list.Events[0].Number > last+1 {
		fmt.Fprintf(&b, "(%d older events are forgotten)\n", list.Events[0].Number-last-1)
	}
	for _, e := range list.Events {
		who := human.OrDash(e.Name)
		if e.VPN.IsValid() {
			who = human.Printable(e.VPN.String())
		}
		fmt.Fprintf(&b, "%6d  %s  %-15s  %s\n", e.Number, e.Time.Local().Format(time.DateTime), who, human.Printable(e.Text))
	}
	return b.String()
}
