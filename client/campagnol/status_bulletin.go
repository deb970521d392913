package main

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/internal/human"
)

// policyDocument returns what the control socket tells of the policy.
func (t *trust) policyDocument(cfg *conf.Client) control.Policy {
	if t.rules == nil {
		return control.Policy{Source: control.FromNowhere}
	}
	id := t.rules.ID()
	d := control.Policy{Source: control.FromBulletin, Name: t.rules.Name(), Version: id.Version, Digest: hex.EncodeToString(id.Digest[:])}
	if cfg.PolicyFile != "" {
		d.Source, d.Ignored = control.FromFile, t.bulletin != nil && t.bulletin.Policy != ""
	}
	return d
}

// bulletinDocument returns what the control socket tells of the bulletin.
func (t *trust) bulletinDocument() control.Bulletin {
	trail := t.bulletins.current()
	b := trail.Current()
	if b == nil {
		return control.Bulletin{}
	}
	return control.Bulletin{Number: strconv.FormatUint(b.Number, 10), Issued: b.Issued, Added: namesOf(trail.Added()), Retired: namesOf(trail.Retired())}
}

func namesOf(certs []*x509.Certificate) (names []string) {
	for _, c := range certs {
		names = append(names, c.Subject.String())
	}
	return names
}

// statusBulletin says where the policy comes from, and what the bulletin says of
// authorities.
func statusBulletin(b *strings.Builder, s *control.Status, width int) {
	p := &s.Policy
	digest := human.Printable(p.Digest[:min(len(p.Digest), 12)])
	switch p.Source {
	case control.FromBulletin:
		wrap(b, fmt.Sprintf("policy of the VPN, of bulletin %s, version %d, digest %s", human.Printable(s.Bulletin.Number), p.Version, digest), "", "  ", width)
	case control.FromFile:
		wrap(b, fmt.Sprintf("policy in %s, version %d, digest %s", human.Printable(p.Name), p.Version, digest), "", "  ", width)
	}
	if p.Ignored {
		wrap(b, fmt.Sprintf("bulletin %s has a policy, too, which is not used because of policy_file", human.Printable(s.Bulletin.Number)), "  ", "    ", width)
	}
	for _, name := range s.Bulletin.Added {
		wrap(b, fmt.Sprintf("bulletin %s has added the authority %s", human.Printable(s.Bulletin.Number), human.Printable(name)), "", "  ", width)
	}
	for _, name := range s.Bulletin.Retired {
		wrap(b, fmt.Sprintf("the authority %s has retired, and is not trusted any more", human.Printable(name)), "", "  ", width)
	}
}
