package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"campagnol/punch/nat"
)

// judge says what all of it means.
func (r *netcheckReport) judge() {
	works, reachable, byTLS := false, r.RDV == "", false
	var words []string
	for _, f := range r.Families {
		works = works || f.UDP == "works"
		reachable = reachable || f.RDV != nil && f.RDV.Reachable
		byTLS = byTLS || f.RDV.byTLS()
		if text := f.meaning(); text != "" {
			words = append(words, text)
		}
	}
	switch {
	case !works && byTLS:
		words = append(words, "UDP is blocked: the rendezvous server answers over TLS, and nobody by UDP. This host registers over TLS, and reaches peers through relays only.")
	case !works:
		words = append(words, "No UDP packet came back over any family: a firewall seems to keep them, and without UDP there is no VPN.")
	case !reachable && byTLS:
		words = append(words, "The rendezvous server answers over TLS only: its UDP port is blocked, here or there.")
	case !reachable:
		words = append(words, "The rendezvous server does not answer, so this host cannot be introduced to peers.")
	}
	r.OK = works && reachable
	r.Summary = strings.Join(words, " ")
}

// meaning says in plain words what the NAT of a family means for direct paths.
func (f *familyReport) meaning() string {
	b := &f.result
	switch {
	case f.UDP == "blocked":
		return "UDP over " + f.Family + " gets no answer."
	case f.NAT == nil && f.UDP == "works":
		return "UDP over " + f.Family + " works; no STUN server answered that could tell more (see stun_server)."
	case f.NAT == nil:
		return ""
	}
	return "Over " + f.Family + " this host " + b.Standing() + ": " + b.Reach() + inexact(b.Behaviour, b.MappingKnown, b.FilteringKnown)
}

// inexact says what could not be told.
func inexact(b nat.Behaviour, mapping, filtering bool) string {
	switch {
	case !mapping:
		return " Only one place could be asked, so this is a guess: a server with a second port (campagnol_rdv --stun-port) or another stun_server would tell."
	case b.Translated && !b.MappingExact, filtering && !b.FilteringExact:
		return " Only one address could be asked: a server with two (campagnol_rdv --stun-address), or another stun_server, would tell it exactly."
	}
	return ""
}

// WriteTo writes the report for people.
func (r *netcheckReport) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range r.Families {
		f.write(t, r.RDV)
	}
	t.Flush()
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\nNote: %s.\n", n)
	}
	fmt.Fprintf(&b, "\n%s\n", fold(r.Summary))
	return b.WriteTo(w)
}

// write writes the table of a family.
func (f *familyReport) write(w io.Writer, rdv string) {
	fmt.Fprintln(w, f.Family)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t"+format+"\n", append([]any{what}, args...)...)
	}
	if len(f.Addresses) == 0 {
		row("addresses", "none")
		return
	}
	row("addresses", "%s", join(f.Addresses))
	row("UDP", "%s", f.UDP)
	if rdv != "" {
		row("rendezvous server", "%s", f.RDV.describe(rdv, f.Family))
		if f.RDV != nil && f.RDV.TLS != nil {
			row("  over TLS", "%s", f.RDV.TLS.describe())
		}
	}
	for _, s := range f.Servers {
		row("STUN server", "%s", s.describe())
	}
	if len(f.Public) > 0 {
		row("seen as", "%s", strings.Join(f.Public, ", "))
	}
	if n := f.NAT; n != nil {
		row("address translation", "%s", yesNo(n.Translated))
		if n.Translated {
			row("mapping", "%s%s", n.Mapping, atWorst(f.result.MappingKnown, n.MappingExact))
		}
		row("filtering", "%s%s", n.Filtering, atWorst(f.result.FilteringKnown, n.FilteringExact))
		if n.Translated {
			row("port allocation", "%s", n.ports())
			row("hairpinning", "%s", n.hairpin())
		}
	}
	if l := f.Lifetime; l != nil {
		row("idle mappings", "%s", l.describe())
	}
	if f.Mapping != nil {
		row("port mapping", "%s", f.Mapping.describe())
	}
}

func join[T fmt.Stringer](list []T) string {
	var words []string
	for _, x := range list {
		words = append(words, x.String())
	}
	return strings.Join(words, ", ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// atWorst says how far a behaviour is known.
func atWorst(known, exact bool) string {
	switch {
	case !known:
		return " (not told)"
	case !exact:
		return " at worst"
	}
	return ""
}

func (r *rdvReport) describe(name, family string) string {
	switch {
	case r == nil:
		return name + " has no " + family + " address"
	case !r.Reachable:
		return fmt.Sprintf("%s (%v) does not answer", name, r.Addr)
	}
	text := fmt.Sprintf("%v answers in %.1f ms", r.Addr, r.RTT)
	switch r.Channel {
	case "yes":
		return text + ", with an authenticated channel"
	case "no":
		return text + ", without an authenticated channel"
	}
	return text + "; it is one of Campagnol 0.3.5, it seems"
}

func (s *serverReport) describe() string {
	if !s.Answered {
		return fmt.Sprintf("%v does not answer", s.Addr)
	}
	text := fmt.Sprintf("%v answers in %.1f ms", s.Addr, s.RTT)
	if s.Software != "" {
		text += " (" + s.Software + ")"
	}
	return text
}

func (n *natReport) ports() string {
	switch {
	case n.Ports == "":
		return "not told"
	case n.Step != 0:
		return fmt.Sprintf("%s, step %+d", n.Ports, n.Step)
	}
	return n.Ports
}

func (n *natReport) hairpin() string {
	if n.Hairpin == nil {
		return "not told"
	}
	return yesNo(*n.Hairpin)
}

func (l *lifetimeReport) describe() string {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	switch {
	case !l.Known:
		return "no server could help to measure how long they are kept"
	case l.AtMost == 0:
		return fmt.Sprintf("are kept for at least %v", seconds(l.AtLeast))
	}
	return fmt.Sprintf("are kept for at least %v, and less than %v", seconds(l.AtLeast), seconds(l.AtMost))
}

// fold breaks text into lines for a terminal.
func fold(text string) string {
	const width = 78
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
