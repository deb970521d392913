package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/version"
	"campagnol/pki"
	"campagnol/pki/policy"
	"campagnol/punch"
	"campagnol/punch/nat"
)

// explain answers a request why a peer is reached as it is.
func (n *node) explain(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	v := n.view.Load()
	addr, err := v.peerOf(ctx, r.URL.Query().Get("peer"))
	if err != nil {
		return nil, err
	}
	e, err := v.client.Explain(ctx, addr)
	if err != nil {
		return nil, unanswered(err)
	}
	d := v.explanation(time.Now(), e)
	d.Asked = r.URL.Query().Get("peer")
	d.finish(explainConfig{port: v.cfg.LocalPort, mapping: v.cfg.PortMapping, hardNAT: v.cfg.HardNAT})
	return &d.Explanation, nil
}

// reachPeer answers a request to open a tunnel to a peer.
func (n *node) reachPeer(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	v := n.view.Load()
	addr, err := v.peerOf(ctx, r.URL.Query().Get("peer"))
	if err != nil {
		return nil, err
	}
	if err := v.client.Reach(ctx, addr); err != nil {
		return nil, unanswered(err)
	}
	return n.explain(r)
}

// An explanation is a document in the making.
type explanation struct {
	control.Explanation
	networks string // of the VPN, for people
	behind   string // what was asked for, if it is behind the peer; else empty
}

// explanation returns what the control socket tells, but for the text.
func (v *view) explanation(now time.Time, e client.Explanation) *explanation {
	d := &explanation{networks: v.cfg.Network.String()}
	if v.cfg.Network6.IsValid() {
		d.networks += " and " + v.cfg.Network6.String()
	}
	if e.Asked != e.VPNAddr && !v.cfg.Network.Contains(e.Asked) && !v.cfg.Network6.Contains(e.Asked) {
		d.behind = e.Asked.String()
	}
	d.Explanation = control.Explanation{
		Version: version.String(), Time: now.UTC(), Interface: v.device.Name(),
		VPNAddress: e.VPNAddr, Name: e.Name, State: "CLOSED", Packet: e.Fate.String(),
		Candidates: candidateDocuments(&e), OwnNAT: natDocument(e.NAT), PeerNAT: natDocument(e.PeerNAT),
		Prospect: nat.Meet(e.NAT, e.PeerNAT).String(), Families: familyDocuments(&e),
		Refusals: []control.ExplainedRefusal{}, RDVs: []control.ExplainedRDV{}, PortMapping: []control.ExplainedPortMapping{},
	}
	if e.Status != nil {
		d.State = e.Status.State
	}
	if e.Chain != nil {
		d.Path = pathDocument(&e)
		d.Reached = !e.Dark
		d.Certificate = v.trust.certificateOf(now, &e)
	}
	if t := e.Tried; t != nil {
		d.Try = control.ExplainedTry{Began: t.Began.UTC(), Asked: t.Asked, Running: t.Running, Guessing: e.Guessing}
	}
	if f := e.Failure; f != nil {
		d.Failure = control.ExplainedFailure{Time: f.Time.UTC(), Reason: f.Reason}
	}
	d.Relays = control.ExplainedRelays{Never: e.Relaying.Never, Ready: append([]string{}, e.Relaying.Ready...),
		Told: append([]netip.AddrPort{}, e.Relaying.Told...), Why: e.Relaying.Why}
	for _, r := range e.Refusals {
		d.Refusals = append(d.Refusals, control.ExplainedRefusal{Code: r.Code, Count: r.Count, Last: r.Last.UTC(), Reason: r.Err.Error(), Fix: kindOf(r.Code).fix})
	}
	d.Policy = v.trust.policyAbout(&e)
	d.RDVs = append(d.RDVs, v.rdvsAbout(&e)...)
	for _, m := range v.mapping.document().Mappings {
		d.PortMapping = append(d.PortMapping, control.ExplainedPortMapping{Family: m.Family, External: m.External, Method: m.Method, Reason: m.Reason})
	}
	return d
}

// pathDocument describes the path of a session.
func pathDocument(e *client.Explanation) control.ExplainedPath {
	s := e.Status
	return control.ExplainedPath{
		Address: s.Addr, Kind: s.Path, Found: s.Found, Relay: s.Relay, RTTSeconds: s.RTT.Seconds(), MTUBytes: s.PathMTU, Moves: s.Moves,
		Since: s.Since.UTC(), LastIn: s.LastIn.UTC(), Dark: e.Dark, Local: e.Socket, Extra: e.Extra,
		Protocol: cmp.Or(s.Protocol, originalProtocol),
	}
}

// candidateDocuments lists the places where the peer may be: of a session with a peer of
// ours those that it knows, else those of the last try.
func candidateDocuments(e *client.Explanation) []control.ExplainedCandidate {
	ds := []control.ExplainedCandidate{}
	for _, p := range e.Paths {
		d := control.ExplainedCandidate{Address: p.Addr, Found: p.Kind.String(), Scope: p.Scope, Path: p.Path,
			Relay:      client.RelayOf(punch.Endpoint{Addr: p.Addr, Conn: p.Conn}, p.Kind),
			RTTSeconds: p.RTT.Seconds(), LastAnswered: p.Answered.UTC(), Outcome: p.Why}
		switch {
		case p.Path && e.Dark:
			d.Outcome = "is the path, and does not answer"
		case p.Path:
			d.Outcome = "is the path"
		}
		ds = append(ds, d)
	}
	if e.Paths != nil || e.Tried == nil {
		return ds
	}
	for _, o := range e.Tried.Outcomes {
		d := control.ExplainedCandidate{Address: o.Addr, Found: o.Kind.String(), Scope: o.Scope,
			Relay: client.RelayOf(punch.Endpoint{Addr: o.Addr, Conn: o.Conn}, o.Kind), Outcome: "did not answer"}
		switch {
		case o.Rejected:
			d.Outcome = "answered, but no session came about"
		case o.Chosen && e.Chain != nil:
			d.Outcome = "is the path"
			d.Path = o.Addr == e.Status.Addr
		case o.Chosen:
			d.Outcome = "answered, and was chosen"
		case o.Heard:
			d.Outcome = "answered, but another was faster"
		case !o.Tried:
			d.Outcome = "was not tried"
		}
		ds = append(ds, d)
	}
	return ds
}

// natDocument describes a NAT; zero: nothing is known.
func natDocument(b nat.Behaviour) control.NAT {
	if !b.Known {
		return control.NAT{}
	}
	return control.NAT{
		Description: b.Standing(), Blocked: b.Blocked, Translated: b.Translated,
		Mapping: b.Mapping.String(), MappingExact: b.MappingExact, Filtering: b.Filtering.String(), FilteringExact: b.FilteringExact,
		Ports: b.Ports.String(), Hard: b.Hard(),
	}
}

// familyDocuments says over which families we and the peer can be reached. Of the
// peer it is known where it was tried.
func familyDocuments(e *client.Explanation) []control.ExplainedFamily {
	var ours, theirs []netip.Addr
	for _, c := range e.Offered {
		ours = append(ours, c.Addr.Addr())
	}
	for _, r := range e.RDVs {
		if r.Registered {
			ours = append(ours, r.Addr.Addr()) // and so do we have an address of its family
		}
	}
	for _, c := range e.Paths {
		theirs = append(theirs, c.Addr.Addr())
	}
	if e.Tried != nil {
		for _, o := range e.Tried.Outcomes {
			theirs = append(theirs, o.Addr.Addr())
		}
	}
	if e.Chain != nil {
		theirs = append(theirs, e.Status.Addr.Addr())
	}
	is4 := func(a netip.Addr) bool { return a.Unmap().Is4() }
	is6 := func(a netip.Addr) bool { return a.Unmap().Is6() }
	return []control.ExplainedFamily{
		{Family: "ipv4", Ours: slices.ContainsFunc(ours, is4), Theirs: slices.ContainsFunc(theirs, is4)},
		{Family: "ipv6", Ours: slices.ContainsFunc(ours, is6), Theirs: slices.ContainsFunc(theirs, is6)},
	}
}

// certificateOf describes the certificate by which a peer has its session, and whether
// it is good still.
func (t *trust) certificateOf(now time.Time, e *client.Explanation) (d control.ExplainedCertificate) {
	leaf, err := x509.ParseCertificate(e.Chain[0])
	if err != nil { // the handshake has parsed the same
		return d
	}
	role := pki.Server
	if e.Status.Server {
		role = pki.Client
	}
	d = control.ExplainedCertificate{Name: pki.PeerOf(leaf).Name, Serial: fmt.Sprintf("%X", leaf.SerialNumber),
		Issuer: leaf.Issuer.String(), Expires: leaf.NotAfter.UTC()}
	peer, err := t.policy.Verify(now, e.Chain, role)
	if err == nil {
		err = t.permit(e.VPNAddr, peer)
	}
	var coded interface{ Code() string }
	if errors.As(err, &coded) {
		d.Code = coded.Code()
	}
	if d.Good = err == nil; !d.Good {
		d.Reason = err.Error()
	}
	return d
}

// policyAbout returns what the policy says about us and the peer. Without a session it
// is not known which groups it is in, nor for certain what it is called.
func (t *trust) policyAbout(e *client.Explanation) control.ExplainedPolicy {
	if t.rules == nil {
		return control.ExplainedPolicy{}
	}
	m := policy.Member{Addrs: []netip.Addr{e.VPNAddr}}
	if e.Name != "" {
		m.Names = []string{strings.ToLower(e.Name)}
	}
	certain := false
	if e.Chain != nil {
		if leaf, err := x509.ParseCertificate(e.Chain[0]); err == nil {
			if own, err := member(leaf, e.VPNAddr); err == nil {
				m, certain = own, true
			}
		}
	}
	d := t.rules.Talk(t.self, m)
	if back := t.rules.Talk(m, t.self); !d.Allowed && back.Allowed {
		d = back // one of both has to be allowed to begin
	}
	return control.ExplainedPolicy{Name: t.rules.Name(), Allowed: d.Allowed, Certain: certain, Line: d.Line, Text: d.Text}
}

// introducedUs is what an RDV has said that has introduced us.
const introducedUs = "it has introduced the two hosts"

// rdvsAbout lists the RDVs, and what they have said about the peer.
func (v *view) rdvsAbout(e *client.Explanation) (ds []control.ExplainedRDV) {
	for _, r := range e.RDVs {
		known := rdvDocument(v.cfg, r)
		d := control.ExplainedRDV{Host: known.Host, Address: known.Address, Registered: known.Registered, Spare: known.Spare,
			Transport: known.Transport, Refusal: known.Refusal}
		for _, w := range e.Words {
			if w.Server == r.Name {
				d.Said, d.SaidAt = cmp.Or(w.Why, introducedUs), w.Time.UTC()
			}
		}
		ds = append(ds, d)
	}
	return ds
}
