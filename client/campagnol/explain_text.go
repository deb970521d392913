package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

// explainText returns a document as text for people, with sentences wrapped to width;
// 0 does not wrap them.
func explainText(e *control.Explanation, width int) string {
	var b strings.Builder
	wrap(&b, human.Printable(e.Summary), "", "", width)
	if len(e.Candidates) > 0 {
		b.WriteByte('\n')
		t := newTable(&b, "ADDRESS", "FOUND", "ROUND TRIP", "ANSWERED", "OUTCOME")
		for _, c := range e.Candidates {
			t.row(candidateCells(e.Time, c)...)
		}
		t.end()
	}
	if lines := explainDetails(e); len(lines) > 0 {
		b.WriteByte('\n')
		for _, l := range lines {
			wrap(&b, l, "", "  ", width)
		}
	}
	if len(e.Advice) > 0 {
		b.WriteString("\nWhat to try:\n")
		for _, a := range e.Advice {
			wrap(&b, human.Printable(a), "- ", "  ", width)
		}
	}
	return b.String()
}

// candidateCells returns a line of the table.
func candidateCells(now time.Time, c control.ExplainedCandidate) []string {
	found := human.Printable(c.Found)
	if c.Scope != "" {
		found += ", scope " + human.Printable(c.Scope)
	}
	if c.Relay != "" {
		found += ", through " + human.Printable(c.Relay)
	}
	rtt, answered := "-", "-"
	if c.RTTSeconds > 0 {
		rtt = fmt.Sprintf("%.1f ms", 1000*c.RTTSeconds)
	}
	if !c.LastAnswered.IsZero() {
		answered = human.Age(now.Sub(c.LastAnswered)) + " ago"
	}
	return []string{endpointText(c.Address), found, rtt, answered, human.OrDash(c.Outcome)}
}

// explainDetails returns what there is to say beside the path.
func explainDetails(e *control.Explanation) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, n := range []struct {
		of  string
		nat control.NAT
	}{{"this host", e.OwnNAT}, {"the peer", e.PeerNAT}} {
		if n.nat.Description != "" {
			add("%s %s", n.of, natLine(n.nat))
		}
	}
	if c := &e.Certificate; c.Name != "" {
		text := fmt.Sprintf("certificate %q (serial %s, of %s) ends %s", human.Printable(c.Name), human.Printable(c.Serial), human.Printable(c.Issuer), c.Expires.UTC().Format(time.DateOnly))
		if !c.Good {
			text += fmt.Sprintf("; it is NOT good (%s): %s", human.OrDash(c.Code), human.Printable(c.Reason))
		}
		add("%s", text)
	}
	if p := &e.Policy; p.Name != "" {
		verb, sure := "does not allow", ""
		if p.Allowed {
			verb = "allows"
		}
		if !p.Certain {
			sure = ", as far as the peer's address tells"
		}
		add("the policy %s %s it%s (%s)", human.Printable(p.Name), verb, sure, human.Printable(policyLine(p)))
	}
	for _, r := range e.Refusals {
		add("refused %s ago, %s, %s: %s", human.Age(e.Time.Sub(r.Last)), times(r.Count), human.OrDash(r.Code), human.Printable(r.Reason))
	}
	for i := range e.RDVs {
		add("%s", explainRDV(e, &e.RDVs[i]))
	}
	for _, m := range e.PortMapping {
		switch {
		case m.External.IsValid():
			add("the gateway forwards %v to this host (%s)", m.External, human.Printable(m.Method))
		case m.Family == "ipv4":
			add("no port mapping: %s", human.Printable(m.Reason))
		}
	}
	return lines
}

// times says how often something has come.
func times(n int) string { return plural(n, "time") }

// natLine describes a NAT in a line.
func natLine(n control.NAT) string {
	text := human.Printable(n.Description)
	if n.Blocked {
		return text
	}
	var words []string
	if n.Translated {
		words = append(words, "mapping "+human.Printable(n.Mapping)+either(n.MappingExact, "", " at worst"))
	}
	words = append(words, "filtering "+human.Printable(n.Filtering)+either(n.FilteringExact, "", " at worst"))
	if n.Translated {
		words = append(words, "ports "+human.Printable(n.Ports), either(n.Hard, "hard", "easy"))
	}
	return text + " (" + strings.Join(words, ", ") + ")"
}

// explainRDV says what a rendezvous server knows.
func explainRDV(e *control.Explanation, r *control.ExplainedRDV) string {
	text := "RDV server " + cmp.Or(human.Printable(r.Host), endpointText(r.Address))
	switch {
	case r.Spare:
		text += ": a spare"
	case r.Registered && r.Transport == control.TransportTLS:
		text += ": registered over TLS, since UDP gets no answer"
	case r.Registered:
		text += ": registered"
	default:
		text += ": NOT registered"
	}
	if r.Refusal != "" && !r.Registered {
		text += ", " + human.Printable(r.Refusal)
	}
	if r.Said != "" {
		text += fmt.Sprintf("; %s ago: %s", human.Age(e.Time.Sub(r.SaidAt)), human.Printable(r.Said))
	}
	return text
}

// endpointText returns an endpoint for people; one of a document may be anything.
func endpointText(a netip.AddrPort) string {
	if !a.IsValid() {
		return "-"
	}
	return human.Printable(a.String())
}
