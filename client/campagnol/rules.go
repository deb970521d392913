package main

import (
	"crypto/x509"
	"fmt"
	"net/netip"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/policy"
	"campagnol/tunnel/filter"
)

// loadRules reads the policy: that of the configuration, or else that of the bulletin.
func (t *trust) loadRules(cfg *conf.Client, warn func(msg, hint string)) error {
	b := t.bulletins.current().Current()
	rules, err := chooseRules(cfg, b)
	if err != nil {
		return err
	}
	t.bulletin, t.rules = b, nil
	if rules == nil {
		return nil
	}
	for _, w := range rules.Warnings() {
		warn(fmt.Sprintf("%s: %v", rules.Name(), w), "")
	}
	self, err := member(t.identity.Chain[0], cfg.VPNIP)
	if err != nil {
		return err
	}
	t.rules, t.self = rules, self
	return nil
}

// chooseRules returns the policy, of which the bulletin, which may be nil, may have
// one; nil: there is none.
func chooseRules(cfg *conf.Client, b *bulletin.Bulletin) (*policy.Policy, error) {
	if cfg.PolicyFile != "" {
		return policy.Load(cfg.PolicyFile)
	}
	rules, err := bulletinPolicy(b)
	if err != nil { // another version of this program has taken it
		return nil, cli.WithHint(fmt.Errorf("%s: %w", bulletinFile(cfg.StateDir), err),
			"install the version of this program that has run here before, or a newer one; or name a policy_file")
	}
	return rules, nil
}

// member returns who a certificate's holder at a VPN address is to a policy.
func member(leaf *x509.Certificate, vpn netip.Addr) (policy.Member, error) {
	a, err := pki.AttributesOf(leaf)
	if err != nil {
		return policy.Member{}, err
	}
	m := policy.MemberOf(a)
	if len(m.Addrs) == 0 { // it is bound by its pin
		m.Addrs = []netip.Addr{vpn}
	}
	return m, nil
}

// permit returns why a peer, whose certificate is good, may have no tunnel with
// us. One of both has to be allowed to open it: who does is not known here.
func (t *trust) permit(vpn netip.Addr, peer *pki.Peer) error {
	if t.rules == nil {
		return nil
	}
	m, err := member(peer.Leaf, vpn)
	if err != nil {
		return &codedError{"bad_attributes", err}
	}
	ours := t.rules.Talk(t.self, m)
	if ours.Allowed || t.rules.Talk(m, t.self).Allowed {
		return nil
	}
	return &codedError{"policy", fmt.Errorf("%s does not let us talk with %q: %v", t.rules.Name(), peer.Name, ours)}
}

// filter returns what finds out what the policy says about packets; nil: there is
// no policy.
func (t *trust) filter() func(netip.Addr, [][]byte) *filter.Filter {
	if t.rules == nil {
		return nil
	}
	return func(vpn netip.Addr, chain [][]byte) *filter.Filter {
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			return filter.Nothing()
		}
		m, err := member(leaf, vpn)
		if err != nil { // permit has read the same
			return filter.Nothing()
		}
		return filter.Compile(t.rules, t.self, m)
	}
}
