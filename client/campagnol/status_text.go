package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

// statusText returns a document as text for people. If there is an earlier one,
// it shows rates. width is that of the terminal, to which sentences are wrapped;
// 0 does not wrap them.
func statusText(s, earlier *control.Status, width int) string {
	var b strings.Builder
	statusHead(&b, s, width)
	statusPeers(&b, s, earlier, width)
	statusIdentities(&b, s, width)
	if len(s.Failures) > 0 {
		b.WriteString("\nnot reached:\n")
		for _, f := range s.Failures {
			wrap(&b, fmt.Sprintf("%s, %s ago: %s", addrText(f.VPNAddress), human.Age(s.Time.Sub(f.Time)), human.Printable(f.Reason)), "  ", "    ", width)
		}
	}
	statusRefusals(&b, s, width)
	if drops := dropTexts(s); len(drops) > 0 {
		b.WriteString("\ndropped:\n")
		for _, d := range drops {
			wrap(&b, d, "  ", "    ", width)
		}
	}
	return b.String()
}

// expiryNotice is how long before its end a certificate is mentioned.
const expiryNotice = 30 * 24 * time.Hour

// statusHead says who the client is, and what it lacks.
func statusHead(b *strings.Builder, s *control.Status, width int) {
	fmt.Fprintf(b, "campagnol %s, process %d, has run for %s\n", human.Printable(s.Version), s.ProcessID, human.Age(s.Time.Sub(s.Started)))
	own := fmt.Sprintf("%s in %s", addrText(s.VPNAddress), s.Network)
	if s.VPNAddress6.IsValid() {
		own += fmt.Sprintf(" and %s in %s", addrText(s.VPNAddress6), s.Network6)
	}
	fmt.Fprintf(b, "%s on %s, configured in %s\n", own, human.Printable(s.Interface), human.Printable(s.ConfigFile))
	statusRDV(b, s, &s.RDV, width)
	for i := range s.MoreRDVs {
		statusRDV(b, s, &s.MoreRDVs[i], width)
	}
	statusPortMapping(b, s, width)
	for _, c := range s.Certificates {
		if left := c.Expires.Sub(s.Time); left < expiryNotice {
			what := "certificate "
			if c.Authority {
				what = "certificate of the authority "
			}
			text := "the " + what + human.Printable(c.Name) + " expires in " + human.Age(left)
			if left <= 0 {
				text = "the " + what + human.Printable(c.Name) + " has EXPIRED"
			}
			wrap(b, text+" ("+c.Expires.UTC().Format(time.DateTime)+" UTC)", "", "  ", width)
		}
	}
	statusPeerCertificates(b, s, width)
	statusRevocations(b, s, width)
	statusOCSP(b, s, width)
	statusEthernet(b, s, width)
	statusNAT(b, s, width)
	statusHardNAT(b, s, width)
	statusRelaying(b, s, width)
	statusBulletin(b, s, width)
	var missing []string
	for _, m := range []struct {
		of    string
		names []string
	}{{"UDP socket", s.Socket.MissingFeatures}, {"virtual interface", s.Device.MissingOffloads}} {
		if len(m.names) > 0 {
			missing = append(missing, human.Printable(strings.Join(m.names, ", "))+" ("+m.of+")")
		}
	}
	if len(missing) > 0 {
		wrap(b, "slower than it could be, because the system lacks: "+strings.Join(missing, "; "), "", "  ", width)
	}
}

// statusRevocations says which revocation lists are in use.
func statusRevocations(b *strings.Builder, s *control.Status, width int) {
	for _, r := range s.Revocations {
		text := "revocation list of " + human.Printable(r.Authority)
		if r.Number != "" {
			text = "revocation list " + human.Printable(r.Number) + " of " + human.Printable(r.Authority)
		}
		from := "a file"
		if r.Source == control.FromRDV {
			from = "the RDV server"
		}
		text += fmt.Sprintf(" from %s, made %s ago: %d revoked", from, human.Age(s.Time.Sub(r.Issued)), r.Certificates)
		switch due := r.NextUpdate; {
		case due.IsZero():
		case due.Before(s.Time):
			text += "; a newer one has been due for " + human.Age(s.Time.Sub(due))
		default:
			text += "; the next is due in " + human.Age(due.Sub(s.Time))
		}
		wrap(b, text, "", "  ", width)
	}
}

// statusRDV says how the client is registered.
func statusRDV(b *strings.Builder, s *control.Status, r *control.RDV, width int) {
	server := r.Address.String()
	if r.Host != "" && r.Host != r.Address.Addr().String() {
		server = human.Printable(r.Host) + " (" + server + ")"
	}
	switch {
	case r.Spare:
		fmt.Fprintf(b, "the RDV server %s is a spare\n", server)
	case !r.Registered:
		fmt.Fprintf(b, "NOT registered at the RDV server %s\n", server)
	case r.Registration == control.RegisteredAuthenticated:
		fmt.Fprintf(b, "registered at the RDV server %s%s\n", server, either(r.Transport == control.TransportTLS, " over TLS (UDP gets no answer)", ""))
		wrap(b, fmt.Sprintf("authenticated for %s: certificate %q, which expires %s", human.Age(s.Time.Sub(r.Since)),
			human.Printable(r.Certificate), r.CertificateExpires.Format(time.DateOnly)), "  ", "    ", width)
	case r.Registration == control.RegisteredInClear && r.Auth != "" && r.Auth != "no":
		fmt.Fprintf(b, "registered at the RDV server %s, in clear\n", server)
	default:
		fmt.Fprintf(b, "registered at the RDV server %s\n", server)
	}
	if r.Refusal != "" {
		wrap(b, fmt.Sprintf("no authenticated channel, %s ago: %s", human.Age(s.Time.Sub(r.RefusedAt)), human.Printable(r.Refusal)), "  ", "    ", width)
	}
}

// statusIdentities names what peers have beyond the address in the table.
func statusIdentities(b *strings.Builder, s *control.Status, width int) {
	head := "\nreached through peers:\n"
	for _, p := range s.Peers {
		var also []string
		for _, a := range p.Addresses {
			if a != p.VPNAddress {
				also = append(also, addrText(a))
			}
		}
		for _, n := range p.Networks {
			also = append(also, human.Printable(n.String()))
		}
		if len(also) == 0 {
			continue
		}
		b.WriteString(head)
		head = ""
		who := addrText(p.VPNAddress)
		if p.Name != "" {
			who += fmt.Sprintf(" (%q)", human.Printable(p.Name))
		}
		wrap(b, who+": "+strings.Join(also, ", "), "  ", "    ", width)
	}
}

// statusRefusals lists who was refused, newest first.
func statusRefusals(b *strings.Builder, s *control.Status, width int) {
	if len(s.Refusals) > 0 {
		b.WriteString("\nrefused:\n")
	}
	for _, r := range s.Refusals {
		who := addrText(r.VPNAddress)
		if r.Server {
			who = "the RDV server"
		}
		times := ""
		if r.Count > 1 {
			times = fmt.Sprintf(", %d times", r.Count)
		}
		wrap(b, fmt.Sprintf("%s, %s ago%s, %s: %s", who, human.Age(s.Time.Sub(r.Last)), times, human.OrDash(r.Code), human.Printable(r.Reason)), "  ", "    ", width)
		if r.Fix != "" {
			fix := "to do: " + human.Printable(r.Fix)
			if r.File != "" {
				fix += " (" + human.Printable(r.File) + ")"
			}
			wrap(b, fix, "    ", "      ", width)
		}
	}
}

// pathWords returns what there is to say of a peer's path.
func pathWords(p control.Peer) []string {
	words := []string{human.Printable(p.PathKind)}
	if p.Relay != "" {
		words[0] = "through " + human.Printable(p.Relay)
	}
	if p.PathRTTSeconds > 0 {
		words = append(words, fmt.Sprintf("%.1f ms", 1000*p.PathRTTSeconds))
	}
	if lost := pathLoss(p); lost > 0 {
		words = append(words, fmt.Sprintf("%.3g%% lost", 100*lost))
	}
	switch {
	case p.PathMoves == 1:
		words = append(words, "moved once")
	case p.PathMoves > 1:
		words = append(words, fmt.Sprintf("moved %d times", p.PathMoves))
	}
	return words
}

// minChallenges is how many challenges say something about loss.
const minChallenges = 10

// pathLoss returns the part of the challenges by a peer's path that were not answered. The
// last one may be on its way.
func pathLoss(p control.Peer) float64 {
	lost := p.PathChallenges - 1 - p.PathResponses
	if p.PathChallenges < minChallenges || lost <= 0 {
		return 0
	}
	return float64(lost) / float64(p.PathChallenges)
}

// statusPeerCertificates says which certificates of peers are about to end.
func statusPeerCertificates(b *strings.Builder, s *control.Status, width int) {
	for _, p := range s.Peers {
		left := p.Expires.Sub(s.Time)
		if p.Expires.IsZero() || left >= expiryNotice {
			continue
		}
		text := "the certificate of the peer " + who(addrText(p.VPNAddress), p.Name)
		if left > 0 {
			text += " expires in " + human.Age(left)
		} else {
			text += " has EXPIRED"
		}
		wrap(b, text+" ("+p.Expires.UTC().Format(time.DateTime)+" UTC)", "", "  ", width)
	}
}

// dropTexts returns what was dropped, a line for each place.
func dropTexts(s *control.Status) []string {
	var lines []string
	add := func(where string, drops map[string]uint64) {
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(drops)) {
			if n := drops[reason]; n > 0 {
				reasons = append(reasons, fmt.Sprintf("%s %d", human.Printable(reason), n))
			}
		}
		if len(reasons) > 0 {
			lines = append(lines, where+": "+strings.Join(reasons, ", "))
		}
	}
	add("by the client", s.Drops.Client)
	add("of that, by the switch", s.Ethernet.Drops)
	for _, p := range s.Peers {
		add("of that, from "+addrText(p.VPNAddress), p.Drops)
	}
	add("by the UDP socket", s.Drops.Socket)
	add("by the virtual interface", s.Drops.Device)
	return lines
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return "-"
	}
	return human.Printable(a.String()) // a zone may be anything
}

// wrap writes text, the first line behind first, the others behind next. A line is
// at most width characters, unless a word is longer; 0 does not wrap.
func wrap(b *strings.Builder, text, first, next string, width int) {
	b.WriteString(first)
	column := len(first)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width > 0 && column+1+n > width:
			b.WriteString("\n" + next)
			column = len(next)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}
