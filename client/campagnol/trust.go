package main

import (
	"cmp"
	"context"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/ocsp"
	"campagnol/pki/policy"
	"campagnol/tunnel/cipherlist"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// A trust is our identity and whom we believe.
type trust struct {
	identity   *pki.Identity
	files      *pki.Policy // of the configuration
	policy     *pki.Policy // and of what was received
	pins       *pki.Pins
	servers    *serverMemory
	requireSAN bool
	cas        string             // ca_certificates, for people
	network    netip.Prefix       // of the VPN
	network6   netip.Prefix       // likewise, for IPv6; the zero Prefix: none
	suites     []record.Suite     // nil: all
	rules      *policy.Policy     // nil: none
	bulletin   *bulletin.Bulletin // that rules are of, or not; nil: there is none
	self       policy.Member      // of rules: this host
	lists      *pki.ListStore     // revocation lists that were received; they are in policy
	bulletins  *bulletinStore     // likewise
	news       chan<- struct{}    // has room for one: lists or bulletins have what policy has not
	online     ocsp.Judge         // what responders say about certificates
	log        *slog.Logger
}

// loadTrust reads what cfg names, and makes sure that a tunnel can be opened with
// it.
func loadTrust(ctx context.Context, cfg *conf.Client, now time.Time, log *slog.Logger, warn func(msg, hint string)) (*trust, error) {
	id, err := pki.LoadIdentity(cfg.Certificate, cfg.Key)
	if err != nil {
		return nil, err
	}
	if err := id.Check(now); err != nil {
		return nil, err
	}
	if err := checkIPv6(cfg, id); err != nil {
		return nil, err
	}
	lists, err := pki.OpenLists(listFolder(cfg.StateDir))
	if err != nil {
		return nil, err
	}
	files, err := pki.LoadPolicy(pki.PolicyConfig{
		CAFile:      cfg.CACertificates,
		CADir:       cfg.CACertificatesDir,
		CRLFile:     cfg.CRLFile,
		Lists:       lists.Lists(),
		VerifyDepth: cfg.VerifyDepth,
	}, now)
	if err != nil {
		return nil, err
	}
	pins, err := pki.OpenPins(pinFile(cfg.StateDir))
	if err != nil {
		return nil, err
	}
	servers, err := openServers(serverFile(cfg.StateDir))
	if err != nil {
		return nil, err
	}
	bulletins, err := openBulletins(bulletinFile(cfg.StateDir), files.Authorities(now, id))
	if err != nil {
		warn(err.Error(), "it is received again when the VPN's authority has one that is for this VPN")
	}
	for _, ws := range [][]string{id.Warnings(now), files.Warnings(), pins.Warnings(), lists.Warnings()} {
		for _, w := range ws {
			warn(w, "")
		}
	}
	t := &trust{identity: id, files: files, pins: pins, servers: servers, lists: lists, bulletins: bulletins,
		cas: cmp.Or(cfg.CACertificates, cfg.CACertificatesDir), network: cfg.Network, network6: cfg.Network6, requireSAN: cfg.RequireIPSAN, log: log}
	if err := t.chooseSuites(cfg, warn); err != nil {
		return nil, err
	}
	t.useReceived()
	if err := t.loadRules(cfg, warn); err != nil {
		return nil, err
	}
	// With all suites: what cipher_list leaves may suit peers' keys only.
	err = handshake.Rehearse(ctx, handshake.Config{Certificate: id.TLS(), ConnectionID: new(record.ID), Log: log})
	if err != nil {
		return nil, fmt.Errorf("%s: no tunnel can be opened with this certificate and key: %w", cfg.Certificate, err)
	}
	if err := t.policy.VerifyOwn(now, id); err != nil && !t.reportRevoked(now) {
		warn("peers that trust the same authorities will refuse our own certificate: "+err.Error(), "")
	}
	return t, nil
}

// chooseSuites obeys cipher_list.
func (t *trust) chooseSuites(cfg *conf.Client, warn func(msg, hint string)) error {
	if cfg.CipherList == "" {
		return nil
	}
	suites, warnings, err := cipherlist.Parse(cfg.CipherList)
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.File, err)
	}
	for _, w := range warnings {
		warn(cfg.File+": "+w, "")
	}
	_, isRSA := t.identity.Key.Public().(*rsa.PublicKey)
	if !slices.ContainsFunc(suites, func(s record.Suite) bool { return s.RSA() == isRSA }) {
		warn(fmt.Sprintf("%s: cipher_list leaves no suite for the kind of our key; peers that ask for us will not get a tunnel", cfg.File),
			"add ECDHE+AESGCM to the list")
	}
	t.suites = suites
	return nil
}

// pinFile returns the file with the keys of peers whose certificates name no
// address.
func pinFile(stateDir string) string { return filepath.Join(stateDir, "pins") }

// verify decides whether a chain is that of the peer with a VPN address.
func (t *trust) verify(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
	role := pki.Client
	if server {
		role = pki.Server
	}
	peer, err := t.policy.Verify(now, chain, role)
	if err != nil {
		return err
	}
	if pki.IsRendezvous(peer.Leaf) {
		return &roleError{name: peer.Name, rendezvous: true}
	}
	if pki.IsAuthority(peer.Leaf) {
		return &roleError{name: peer.Name, authority: true}
	}
	if err := t.online.Check(now, peer); err != nil {
		return err
	}
	err = t.pins.Check(now, vpn, peer, t.requireSAN)
	if err == nil {
		err = t.permit(vpn, peer)
	}
	for _, w := range slices.Concat(peer.Warnings, t.pins.Warnings()) {
		t.log.Warn(w, "peer", vpn)
	}
	return err
}

// verifyServer decides whether a chain is that of a rendezvous server.
func (t *trust) verifyServer(now time.Time, chain [][]byte) (client.ServerIdentity, error) {
	peer, err := t.policy.Verify(now, chain, pki.Server)
	if err != nil {
		return client.ServerIdentity{}, t.explainServer(err)
	}
	if err := t.onlineServer().Check(now, peer); err != nil {
		return client.ServerIdentity{}, err
	}
	for _, w := range peer.Warnings {
		t.log.Warn(w, "rdv", peer.Name)
	}
	if !pki.IsRendezvous(peer.Leaf) || pki.IsAuthority(peer.Leaf) {
		return client.ServerIdentity{}, &roleError{name: peer.Name}
	}
	return client.ServerIdentity{Name: peer.Name, Expires: peer.Leaf.NotAfter}, nil
}

// rememberServer notes that an authenticated channel to the server of a
// configuration stands.
func (t *trust) rememberServer(name string, id client.ServerIdentity) {
	if err := t.servers.remember(time.Now(), name, id.Name); err != nil {
		t.log.Warn("That the RDV server has an authenticated channel is remembered until the client ends, not longer", "err", err,
			"hint", "with rdv_auth = yes nothing need be remembered")
	}
}

// A roleError says that a good certificate is used in a role that it is not for: a
// rendezvous server introduces members and is none, no member plays the server, and
// the authority is neither.
type roleError struct {
	name       string // of the certificate
	rendezvous bool   // it is one for a rendezvous server
	authority  bool   // or for the VPN's authority
}

func (e *roleError) Error() string {
	if e.rendezvous {
		return fmt.Sprintf("certificate %q refused: it is one for a rendezvous server, which is no member of the VPN", e.name)
	}
	if e.authority {
		return fmt.Sprintf("certificate %q refused: it is one for the VPN's authority, which is no member", e.name)
	}
	return fmt.Sprintf("certificate %q refused: it is not one for a rendezvous server", e.name)
}

// Code is what the refusal is called in docs/refusals.md.
func (e *roleError) Code() string {
	if e.rendezvous {
		return "no_member"
	}
	return "no_server"
}

// Hint says what can be done.
func (e *roleError) Hint() string {
	if e.rendezvous || e.authority {
		return "issue one for the member: campagnol ca issue NAME --ip VPNIP"
	}
	return "issue one for the server: campagnol ca issue NAME --rdv"
}
