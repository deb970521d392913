package main

import (
	"crypto/x509"
	"fmt"
	"strings"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/human"
	"campagnol/pki/policy"
)

// mayRelay returns what decides whether this host may relay between two peers; nil: there
// is no policy, and whoever has a certificate may be relayed. One of the two has to be
// allowed to ask for it: who has is not known here.
func (t *trust) mayRelay() func(a, b client.Shown) bool {
	rules, self := t.rules, t.self
	if rules == nil {
		return nil
	}
	return func(a, b client.Shown) bool {
		x, errX := shownMember(a)
		y, errY := shownMember(b)
		if errX != nil || errY != nil { // permit has read the same
			return false
		}
		return rules.Relay(x, y, self).Allowed || rules.Relay(y, x, self).Allowed
	}
}

// shownMember returns who a peer is to a policy.
func shownMember(s client.Shown) (policy.Member, error) {
	leaf, err := x509.ParseCertificate(s.Chain[0])
	if err != nil {
		return policy.Member{}, err
	}
	return member(leaf, s.VPNAddr)
}

// relayingDocument returns what is relayed for others; zero: this host is no relay.
func relayingDocument(s *client.RelayStatus) control.Relaying {
	if s == nil {
		return control.Relaying{}
	}
	d := control.Relaying{Packets: s.Packets, Bytes: s.Bytes, Drops: s.Drops, Pairs: []control.RelayedPair{}}
	for _, p := range s.Pairs {
		d.Pairs = append(d.Pairs, control.RelayedPair{A: p.A, B: p.B, Allowed: p.Allowed, Packets: p.Packets, Bytes: p.Bytes, Drops: p.Drops})
	}
	return d
}

// statusRelaying says what is relayed for others.
func statusRelaying(b *strings.Builder, s *control.Status, width int) {
	r := s.Relaying
	if r.Pairs == nil {
		return
	}
	text := "relays for others (relay): " + relayedText(r.Packets, r.Bytes, r.Drops)
	wrap(b, text, "", "  ", width)
	for _, p := range r.Pairs {
		text := relayedText(p.Packets, p.Bytes, p.Drops)
		if !p.Allowed {
			text = "not allowed by the policy, " + text
		}
		wrap(b, fmt.Sprintf("%s and %s: %s", addrText(p.A), addrText(p.B), text), "  ", "    ", width)
	}
}

// relayedText returns counts of what was relayed.
func relayedText(packets, bytes, drops uint64) string {
	text := plural(int(packets), "packet") + ", " + human.Size(bytes)
	if drops > 0 {
		text += fmt.Sprintf(", %d dropped", drops)
	}
	return text
}
