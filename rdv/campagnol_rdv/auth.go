package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/filewatch"
	"campagnol/pki"
	"campagnol/pki/policy"
	"campagnol/rdv"
	"campagnol/rdv/channel"
	"campagnol/tunnel/handshake"

	"github.com/spf13/pflag"
)

// authOptions say how clients are authenticated.
type authOptions struct {
	certificate, key string
	ca, caDir, crl   string
	policy           string // "": everybody may talk with everybody
	state            string // "": objects of the authority are not kept
	mode             string // "": mixed with a certificate, and else open
	online           onlineOptions
	authority        authorityOptions
	audit            *auditOptions // nil: there is none

	chosen rdv.Mode                  // by choose
	trust  atomic.Pointer[rdv.Trust] // that load has made last; nil: there is none
	again  chan struct{}             // SIGHUP: read the files again

	watched filewatch.Watch // of the files; owned by watch, once it runs
}

func (a *authOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&a.certificate, "certificate", "", "authenticate clients, with the certificate of this server in `FILE`")
	f.StringVar(&a.key, "key", "", "private key of the certificate, in `FILE`")
	f.StringVar(&a.ca, "ca", "", "certificates of the authority that clients must have theirs from, in `FILE`")
	f.StringVar(&a.caDir, "ca-dir", "", "the same, in the `DIRECTORY`, where revocation lists may be, too")
	f.StringVar(&a.crl, "crl", "", "revocation list of the authority, in `FILE`")
	f.StringVar(&a.policy, "policy", "", "introduce only those who may talk by the policy in `FILE`")
	f.StringVar(&a.state, "state", "", "keep revocation lists and bulletins that the authority sends in the `DIRECTORY`")
	f.StringVar(&a.mode, "auth", "", "who may register without a certificate: `open|mixed|strict`\n(default mixed with --certificate or --authority, else open)")
	cli.MarkNew(f, "certificate", "key", "ca", "ca-dir", "crl", "policy", "state", "auth")
	a.online.flags(f)
	a.authority.flags(f)
}

// howTo is the hint for those who have no certificate yet.
const howTo = "make one on the host of your authority: campagnol ca issue NAME --rdv"

// choose returns the mode that the options ask for, or what is wrong with them.
func (a *authOptions) choose() (rdv.Mode, error) {
	if err := a.online.check(); err != nil {
		return 0, err
	}
	if err := a.authority.check(a); err != nil {
		return 0, err
	}
	others := a.key != "" || a.ca != "" || a.caDir != "" || a.crl != "" || a.policy != "" || a.state != "" || a.online.asked()
	switch {
	case a.certificate == "" && a.authority.asked():
	case a.certificate == "" && others:
		return 0, cli.WithHint(errors.New("--key, --ca, --ca-dir, --crl, --policy, --state and --ocsp have no use without --certificate"), howTo)
	case a.certificate != "" && a.key == "":
		return 0, cli.WithHint(errors.New("--certificate needs --key"), "name the file with the private key of the certificate")
	case a.certificate != "" && a.ca == "" && a.caDir == "":
		return 0, cli.WithHint(errors.New("--certificate needs --ca or --ca-dir"), "name the file with the certificate of the authority that your clients trust (ca_certificates)")
	}
	if a.mode == "" {
		if a.certificate == "" && !a.authority.asked() {
			return rdv.Open, nil
		}
		return rdv.Mixed, nil
	}
	mode, err := rdv.ParseMode(a.mode)
	if err != nil {
		return 0, cli.WithHint(fmt.Errorf("option --auth: %w", err), "open lets everybody register, strict only those with a certificate")
	}
	if mode != rdv.Open && a.certificate == "" && !a.authority.asked() {
		return 0, cli.WithHint(fmt.Errorf("--auth %v needs --certificate, --key and --ca", mode), howTo)
	}
	return mode, nil
}

// load reads the files, and makes sure that a channel can be opened with them. It
// returns nil if there are none. The first time, revocation lists that cannot be read
// are a warning; again, they are an error: the old ones are better.
func (a *authOptions) load(ctx context.Context, now time.Time, again bool, log *slog.Logger, warn func(msg, hint string)) (*rdv.Trust, error) {
	if a.certificate == "" {
		return nil, nil
	}
	id, err := pki.LoadIdentity(a.certificate, a.key)
	if err != nil {
		return nil, err
	}
	if err := id.Check(now); err != nil {
		return nil, err
	}
	if !pki.IsRendezvous(id.Chain[0]) {
		return nil, cli.WithHint(fmt.Errorf("%s: this is not a certificate for a rendezvous server, and clients would refuse it: it lacks the URI %v",
			a.certificate, pki.RendezvousURI()), howTo)
	}
	if pki.IsAuthority(id.Chain[0]) {
		return nil, cli.WithHint(fmt.Errorf("%s: this is a certificate for the VPN's authority, and clients would refuse it: it has the URI %v",
			a.certificate, pki.AuthorityURI()), howTo)
	}
	trusted, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: a.ca, CADir: a.caDir, CRLFile: a.crl}, now)
	if err != nil {
		return nil, fmt.Errorf("--ca and --ca-dir: %w", err)
	}
	if err := trusted.Usable(); again && err != nil {
		return nil, err
	}
	for _, w := range append(id.Warnings(now), trusted.Warnings()...) {
		warn(w, "")
	}
	err = handshake.Rehearse(ctx, handshake.Config{Certificate: id.TLS(), Protocols: []string{channel.Protocol}, Log: log})
	if err != nil {
		return nil, fmt.Errorf("%s: no channel can be opened with this certificate and key: %w", a.certificate, err)
	}
	if _, err := trusted.Verify(now, id.TLS().Certificate, pki.Server); err != nil {
		warn("clients that trust the same authority will refuse our own certificate: "+err.Error(), "")
	}
	rules, err := a.loadRules(warn)
	if err != nil {
		return nil, err
	}
	trust := a.online.with(rdv.NewTrust(id, trusted).WithRules(rules), log)
	a.trust.Store(trust)
	a.audit.trusts(now, id, trusted, rules)
	return trust, nil
}

// loadRules reads the policy; nil: there is none.
func (a *authOptions) loadRules(warn func(msg, hint string)) (*policy.Policy, error) {
	if a.policy == "" {
		return nil, nil
	}
	rules, err := policy.Load(a.policy)
	if err != nil {
		return nil, err
	}
	for _, w := range rules.Warnings() {
		warn(fmt.Sprintf("%s: %v", a.policy, w), "")
	}
	return rules, nil
}

// openState opens the directory for objects of the authority; nil: there is none.
func (a *authOptions) openState() (*rdv.State, error) {
	if a.state == "" {
		return nil, nil
	}
	state, err := rdv.OpenState(a.state)
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("option --state: %w", err), "name a directory that only this server writes to")
	}
	return state, nil
}
