package rdv

import (
	"crypto/x509"
	"net/netip"

	"campagnol/pki"
	"campagnol/pki/policy"
)

// SetRules makes a registry obey a policy; nil lets everybody talk with everybody.
// What was introduced before stays known until it expires.
func (r *Registry) SetRules(p *policy.Policy) { r.rules = p }

// permits reports whether the policy lets asker open a tunnel to asked. If not, the
// asker is told what it is told of an address that nobody has, and the asked is told
// nothing: who may not talk learns nothing of each other.
func (r *Registry) permits(asker, asked *client) bool {
	if r.rules == nil {
		return true
	}
	d := r.rules.Talk(asker.party(), asked.party())
	if !d.Allowed {
		r.trace(Event{Kind: Forbidden, VPN: asker.vpn, Peer: asked.vpn, Code: codeForbidden, Why: d.String()})
	}
	return d.Allowed
}

// party returns who c is to a policy. In clear it is only known by its address, of
// which nobody has proved that it is its own.
func (c *client) party() policy.Member {
	if c.member == nil {
		return policy.Member{Addrs: []netip.Addr{c.vpn}}
	}
	p := policy.MemberOf(*c.member.attributes())
	if len(p.Addrs) == 0 { // its certificate names none
		p.Addrs = []netip.Addr{c.vpn}
	}
	return p
}

// attributes returns what a policy may speak of in the certificate of m. It is read
// when it is asked for first: without a policy nobody needs it.
func (m *Member) attributes() *pki.Attributes {
	if m.attrs == nil {
		m.attrs = new(pki.Attributes)
		if leaf, err := x509.ParseCertificate(m.id.Leaf); err == nil {
			*m.attrs, _ = pki.AttributesOf(leaf) // Trust.verify refuses what cannot be read
		}
	}
	return m.attrs
}

// WithRules returns a trust that introduces only whom a policy lets talk; a nil one
// lets everybody. A client whose certificate has attributes that cannot be read is
// refused then.
func (t *Trust) WithRules(p *policy.Policy) *Trust {
	next := *t
	next.rules = p
	return &next
}

// rulesOf returns the policy of a trust, which may be nil.
func (t *Trust) rulesOf() *policy.Policy {
	if t == nil {
		return nil
	}
	return t.rules
}
