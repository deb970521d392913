package main

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/punch/nat"
)

// NATs as clients tell them.
var (
	coneNAT      = nat.Behaviour{Known: true, Translated: true, Filtering: nat.AddressAndPortDependent, MappingExact: true, FilteringExact: true, Ports: nat.Random}
	symmetricNAT = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent,
		MappingExact: true, FilteringExact: true, Ports: nat.Random}
)

// about returns the document about bob, to whom there is no tunnel, and of whom nothing
// is known, after the edits.
func about(edits ...func(*control.Explanation)) *explanation {
	d := &explanation{networks: "10.9.0.0/24"}
	d.Explanation = control.Explanation{
		Version: "1.0.0", Time: noon, Interface: "tun0", Asked: "10.9.0.2", VPNAddress: netip.MustParseAddr("10.9.0.2"),
		State: "CLOSED", Packet: client.FateAsked.String(), Prospect: "unknown",
		RDVs:     []control.ExplainedRDV{{Host: "rdv.example.org", Address: netip.MustParseAddrPort("203.0.113.10:57888"), Registered: true}},
		Families: []control.ExplainedFamily{{Family: "ipv4", Ours: true, Theirs: true}, {Family: "ipv6"}},
	}
	for _, edit := range edits {
		edit(&d.Explanation)
	}
	return d
}

// over gives a document a session.
func over(kind, found, addr string) func(*control.Explanation) {
	return func(e *control.Explanation) {
		e.Name, e.State, e.Reached, e.Packet = "bob", "ESTABLISHED", true, client.FateCarried.String()
		e.Path = control.ExplainedPath{Address: netip.MustParseAddrPort(addr), Kind: kind, Found: found, RTTSeconds: 0.0214,
			Since: noon.Add(-192 * time.Second), Local: netip.MustParseAddrPort("0.0.0.0:4321"), Protocol: "campagnol/1"}
		e.Candidates = append(e.Candidates, control.ExplainedCandidate{Address: e.Path.Address, Found: found, Path: true, RTTSeconds: 0.0214,
			LastAnswered: noon.Add(-12 * time.Second), Outcome: "is the path"})
		e.Certificate = control.ExplainedCertificate{Name: "bob", Serial: "1F", Issuer: "CN=CA", Expires: noon.AddDate(1, 0, 0), Good: true}
		e.RDVs[0].Said, e.RDVs[0].SaidAt = introducedUs, noon.Add(-193*time.Second)
	}
}

// place adds a place where the peer may be.
func place(addr, found, outcome string) func(*control.Explanation) {
	return func(e *control.Explanation) {
		e.Candidates = append(e.Candidates, control.ExplainedCandidate{Address: netip.MustParseAddrPort(addr), Found: found, Outcome: outcome})
	}
}

// between sets the NATs of both.
func between(own, peer nat.Behaviour) func(*control.Explanation) {
	return func(e *control.Explanation) {
		e.OwnNAT, e.PeerNAT, e.Prospect = natDocument(own), natDocument(peer), nat.Meet(own, peer).String()
	}
}

// inVain makes the last try one that has failed a minute ago. introduced says whether an
// RDV had known the peer.
func inVain(reason string, introduced bool) func(*control.Explanation) {
	return func(e *control.Explanation) {
		e.Failure = control.ExplainedFailure{Time: noon.Add(-time.Minute), Reason: reason}
		e.RDVs[0].SaidAt, e.RDVs[0].Said = noon.Add(-65*time.Second), reason
		if introduced {
			e.RDVs[0].Said = introducedUs
			e.Try = control.ExplainedTry{Began: noon.Add(-65 * time.Second), Asked: true}
			place("203.0.113.22:39538", "observed", "did not answer")(e)
		}
	}
}

// edited is a function for what is needed only once.
func edited(f func(e *control.Explanation)) func(*control.Explanation) { return f }

// refused adds a refusal.
func refused(code, reason string) func(*control.Explanation) {
	return func(e *control.Explanation) {
		e.Refusals = append(e.Refusals, control.ExplainedRefusal{Code: code, Count: 2, Last: noon.Add(-time.Minute), Reason: reason, Fix: kindOf(code).fix})
	}
}

// A situation is what is known, and what is said of it.
type situation struct {
	name    string
	d       *explanation
	cfg     explainConfig
	summary string
	advice  []string // beginnings, in order; nil: none
}

var explainedPaths = []situation{
	{"at one site", about(over("lan", "host", "192.168.1.3:5000"), place("203.0.113.22:39538", "observed", "is a longer way")), explainConfig{},
		`10.9.0.2 ("bob") is reached within one private network at 192.168.1.3:5000 (IPv4), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The address is the peer's own. No kind of path is better.`, nil},
	{"over the Internet", about(over("wan", "observed", "203.0.113.22:39538"), between(coneNAT, coneNAT)), explainConfig{},
		`10.9.0.2 ("bob") is reached directly at 203.0.113.22:39538 (IPv4), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The address is where a server sees the peer.`, nil},
	{"with others", about(over("wan", "mapped", "203.0.113.22:39538"), place("[2001:db8::2]:5000", "host", "is not faster by enough")), explainConfig{},
		`10.9.0.2 ("bob") is reached directly at 203.0.113.22:39538 (IPv4), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The address is one that the peer's gateway forwards. No other address of the peer is faster by enough.`, nil},
	{"not at one site", about(over("wan", "configured", "[2001:db8::2]:5000"), place("192.168.1.3:5000", "host", "has never answered")), explainConfig{},
		`10.9.0.2 ("bob") is reached directly at [2001:db8::2]:5000 (IPv6), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The address is in the peer's configuration. A path within one network would be better, but the peer does not answer at its private address.`, nil},
	{"through a hard NAT", about(over("wan", "reflexive", "203.0.113.22:39538"), between(symmetricNAT, coneNAT),
		edited(func(e *control.Explanation) { e.Path.Extra, e.Path.MTUBytes, e.Path.Moves = true, 1400, 2 })), explainConfig{hardNAT: true},
		`10.9.0.2 ("bob") is reached directly at 203.0.113.22:39538 (IPv4), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The address is where packets of the peer come from. It leads through a hard NAT, by the UDP port 4321 of its own. It carries packets of 1400 bytes at most. The tunnel has moved to another path 2 times. This host is behind a symmetric NAT, and the peer is behind a port-restricted-cone NAT: a direct path is found only by guessing ports.`, nil},
	{"an original", about(over("", "", "203.0.113.22:39538"), edited(func(e *control.Explanation) { e.Path.Protocol, e.Path.RTTSeconds = originalProtocol, 0 })), explainConfig{},
		`10.9.0.2 ("bob") is reached directly at 203.0.113.22:39538 (IPv4), over a tunnel that is 3m12s old. The peer is a Campagnol 0.3.5, with which a tunnel stays on the path that it was opened on.`, nil},
	{"in the dark", about(over("wan", "observed", "203.0.113.22:39538"), between(coneNAT, coneNAT), edited(func(e *control.Explanation) { e.Path.Dark, e.Reached, e.Path.Moves = true, false, 1 })),
		explainConfig{port: 4321, mapping: true},
		`10.9.0.2 ("bob") was reached directly at 203.0.113.22:39538 (IPv4), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The path does not answer at the moment: another one is looked for. The address is where a server sees the peer. The tunnel has moved to another path once.`,
		[]string{"see whether the host of the peer is up", "open UDP port 4321", "or open a port on the side of the peer", "give both hosts IPv6: they have none now"}},
	{"a certificate that ends", about(over("lan", "host", "192.168.1.3:5000"), edited(func(e *control.Explanation) { e.Certificate.Expires = noon.Add(48 * time.Hour) })), explainConfig{},
		`10.9.0.2 ("bob") is reached within one private network at 192.168.1.3:5000 (IPv4), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The address is the peer's own. No kind of path is better.`,
		[]string{"renew the certificate of the peer, which ends on 2026-03-03: campagnol renew on its host, or campagnol ca issue bob --renew"}},
	{"a certificate that is not good any more", about(over("lan", "host", "192.168.1.3:5000"),
		edited(func(e *control.Explanation) { e.Certificate.Good, e.Certificate.Code = false, "expired" })), explainConfig{},
		`10.9.0.2 ("bob") is reached within one private network at 192.168.1.3:5000 (IPv4), over a tunnel that is 3m12s old; a round trip takes 21.4 ms. The address is the peer's own. No kind of path is better.`,
		[]string{"expired: issue a new one: campagnol ca issue NAME --ip VPNIP --renew"}},
}

var explainedMissing = []situation{
	{"nothing is known", about(), explainConfig{},
		"There is no tunnel to 10.9.0.2. Nothing is known of it: nobody has sent anything to it lately. The next packet for it makes this host ask the rendezvous server.",
		[]string{"ask for it now: campagnol explain --try 10.9.0.2"}},
	{"it was idle", about(edited(func(e *control.Explanation) { e.Name, e.Try.Began = "bob", noon.Add(-time.Hour) })), explainConfig{},
		`There is no tunnel to 10.9.0.2 ("bob"). The last one has ended; idle tunnels are closed. The next packet for it makes this host ask the rendezvous server.`,
		[]string{"ask for it now"}},
	{"not registered", about(edited(func(e *control.Explanation) { e.Packet, e.RDVs[0].Registered = "not_registered", false })), explainConfig{},
		"There is no tunnel to 10.9.0.2. Nothing is known of it: nobody has sent anything to it lately. Nobody can be asked for it, since no rendezvous server knows this host.",
		[]string{"this host is registered at no rendezvous server"}},
	{"the peer is not registered", about(inVain(client.UnknownPeer, false)), explainConfig{},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: the RDV server does not know the peer. The next packet for it makes this host ask the rendezvous server.",
		[]string{"the peer is not registered: is its daemon running?", "is the address right?"}},
	{"two cones, and no path", about(inVain("no path", true), between(coneNAT, coneNAT)), explainConfig{port: 4321, mapping: true, hardNAT: true},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: no path. The next packet for it makes this host ask the rendezvous server. This host is behind a port-restricted-cone NAT, and the peer is behind a port-restricted-cone NAT: punching finds a direct path.",
		[]string{"open UDP port 4321 to this host", "or open a port on the side of the peer", "give both hosts IPv6: they have none now"}},
	{"two hard NATs", about(inVain("no path", true), between(symmetricNAT, symmetricNAT), edited(func(e *control.Explanation) { e.Packet = "left_alone" })), explainConfig{port: 4321, hardNAT: true},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: no path. It is asked for again in a second or two, with the next packet. This host is behind a symmetric NAT, and the peer is behind a symmetric NAT: there is no direct path, since both take another port for each destination; only a relay could carry this.",
		[]string{"open UDP port 4321", "set port_mapping = yes", "or open a port", "give both hosts IPv6", "without any of these only a relay could carry this"}},
	{"a hard NAT, and nobody guesses", about(inVain("no path", true), between(coneNAT, symmetricNAT), edited(func(e *control.Explanation) { e.Families[1].Ours = true })), explainConfig{port: 4321, mapping: true},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: no path. The next packet for it makes this host ask the rendezvous server. This host is behind a port-restricted-cone NAT, and the peer is behind a symmetric NAT: a direct path is found only by guessing ports.",
		[]string{"set hard_nat = yes", "open UDP port 4321", "or open a port", "give both hosts IPv6: the peer tells none now"}},
	{"the port is forwarded, and nothing known of the peer", about(inVain("no path", true), between(coneNAT, nat.Behaviour{}), edited(func(e *control.Explanation) {
		e.PortMapping = []control.ExplainedPortMapping{{Family: "ipv4", External: netip.MustParseAddrPort("203.0.113.1:4321"), Method: "PCP"}}
		e.Families[1].Theirs = true
	})), explainConfig{port: 4321, mapping: true, hardNAT: true},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: no path. The next packet for it makes this host ask the rendezvous server. This host is behind a port-restricted-cone NAT, and the peer is behind something that was not examined: whether there is a direct path cannot be told.",
		[]string{"run campagnol netcheck on both hosts", "or open a port on the side of the peer", "give both hosts IPv6: this host has none now"}},
	{"nothing gets out", about(inVain("no path", true), between(nat.Behaviour{Known: true, Blocked: true}, coneNAT)), explainConfig{port: 4321, mapping: true, hardNAT: true},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: no path. The next packet for it makes this host ask the rendezvous server. This host is behind something that lets no UDP through, and the peer is behind a port-restricted-cone NAT: there is no path over UDP.",
		[]string{"a firewall here lets no UDP out", "open UDP port 4321", "or open a port", "give both hosts IPv6"}},
	{"nothing gets out, and nothing is known of the peer", about(between(nat.Behaviour{Known: true, Blocked: true}, nat.Behaviour{})), explainConfig{},
		"There is no tunnel to 10.9.0.2. Nothing is known of it: nobody has sent anything to it lately. The next packet for it makes this host ask the rendezvous server. This host is behind something that lets no UDP through, and the peer is behind something that was not examined: there is no path over UDP.",
		[]string{"ask for it now"}},
	{"refused", about(refused("revoked", "certificate CN=bob refused"), inVain("certificate CN=bob refused", true),
		edited(func(e *control.Explanation) { e.Candidates[0].Outcome = "answered, but no session came about" })), explainConfig{},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: certificate CN=bob refused. The next packet for it makes this host ask the rendezvous server.",
		[]string{"revoked: nothing, if that was meant"}},
	{"refused when it asked", about(refused("policy", "the policy does not let us talk")), explainConfig{},
		"There is no tunnel to 10.9.0.2. It was refused 1m0s ago, with the code policy: the policy does not let us talk. The next packet for it makes this host ask the rendezvous server.",
		[]string{"policy: nothing, if that is meant"}},
	{"the policy", about(edited(func(e *control.Explanation) {
		e.Policy = control.ExplainedPolicy{Name: "/etc/policy", Certain: true, Line: 7, Text: "deny guests <-> all"}
	})), explainConfig{},
		"There is no tunnel to 10.9.0.2. Nothing is known of it: nobody has sent anything to it lately. The next packet for it makes this host ask the rendezvous server. The policy does not let the two hosts talk.",
		[]string{"the policy /etc/policy does not allow it (line 7: deny guests <-> all)"}},
	{"IPv6 in clear", about(edited(func(e *control.Explanation) {
		e.VPNAddress, e.Packet = netip.MustParseAddr("fd09::2"), "needs_channel"
	})), explainConfig{},
		"There is no tunnel to fd09::2. Nothing is known of it: nobody has sent anything to it lately. Packets for it are dropped: for an IPv6 address the rendezvous server can be asked over an authenticated channel only.",
		[]string{"give the rendezvous server a certificate"}},
	{"too many", about(edited(func(e *control.Explanation) { e.Packet = "too_many_peers" })), explainConfig{},
		"There is no tunnel to 10.9.0.2. Nothing is known of it: nobody has sent anything to it lately. Packets for it are dropped, since there are as many tunnels as max_clients allows.",
		[]string{"raise max_clients"}},
	{"outside", about(edited(func(e *control.Explanation) {
		e.VPNAddress, e.Packet = netip.MustParseAddr("8.8.8.8"), "outside"
	})), explainConfig{},
		"8.8.8.8 is nobody's in this VPN: it is not in 10.9.0.0/24, and in no network behind a peer with a tunnel. Packets for it are dropped.",
		[]string{"look at vpn_ip and network"}},
	{"ourselves", about(edited(func(e *control.Explanation) { e.Packet = "own" })), explainConfig{}, "10.9.0.2 is the address of this host in the VPN.", nil},
	{"everybody", about(edited(func(e *control.Explanation) { e.Packet = "everybody" })), explainConfig{},
		"10.9.0.2 is no peer: what is sent there goes over every open tunnel, or nowhere.", nil},
}

var explainedTries = []situation{
	{"asking", about(edited(func(e *control.Explanation) { e.State, e.Packet = "NEW", "waits" })), explainConfig{},
		"The tunnel to 10.9.0.2 is being opened: the rendezvous server is asked where it is. Packets for it wait.", nil},
	{"punching", about(inVain("", true), edited(func(e *control.Explanation) {
		e.State, e.Packet, e.Failure, e.Try.Running, e.Try.Guessing = "PUNCHING", "waits", control.ExplainedFailure{}, true, true
	}), between(coneNAT, coneNAT)), explainConfig{port: 1, mapping: true},
		"The tunnel to 10.9.0.2 is being opened: both hosts look for a path. They guess the ports of a hard NAT. Packets for it wait. This host is behind a port-restricted-cone NAT, and the peer is behind a port-restricted-cone NAT: punching finds a direct path.",
		[]string{"open UDP port 1 ", "or open a port", "give both hosts IPv6"}},
	{"the port is any", about(inVain("no path", true)), explainConfig{mapping: true},
		"There is no tunnel to 10.9.0.2. The last try was in vain, 1m0s ago: no path. The next packet for it makes this host ask the rendezvous server.",
		[]string{"run campagnol netcheck", "choose a local_port, open it for UDP to this host", "or open a port", "give both hosts IPv6"}},
	{"shaking hands", about(edited(func(e *control.Explanation) { e.State, e.Packet = "LINKED", "waits" })), explainConfig{},
		"The tunnel to 10.9.0.2 is being opened: there is a path, and the two hosts show their certificates. Packets for it wait.", nil},
}

func TestExplainWords(t *testing.T) {
	for _, s := range slices.Concat(explainedPaths, explainedMissing, explainedTries) {
		t.Run(s.name, func(t *testing.T) {
			s.d.finish(s.cfg)
			if s.d.Summary != s.summary {
				t.Errorf("got\n%s\nwant\n%s", s.d.Summary, s.summary)
			}
			if len(s.d.Advice) != len(s.advice) {
				t.Fatalf("the advice is\n%s\nwant\n%s", strings.Join(s.d.Advice, "\n"), strings.Join(s.advice, "\n"))
			}
			for i, want := range s.advice {
				if !strings.HasPrefix(s.d.Advice[i], want) {
					t.Errorf("advice %d is %q, want %q", i+1, s.d.Advice[i], want)
				}
			}
		})
	}
}

// TestExplainBehind: an address in a network behind a peer.
func TestExplainBehind(t *testing.T) {
	d := about(over("lan", "host", "192.168.1.3:5000"))
	d.behind = "192.168.7.5"
	d.finish(explainConfig{})
	if want := `192.168.7.5 is in a network behind 10.9.0.2. 10.9.0.2 ("bob") is reached`; !strings.HasPrefix(d.Summary, want) {
		t.Errorf("got %q, want %q", d.Summary, want)
	}
}

// sampleExplanation is a document with everything that is shown.
func sampleExplanation() *control.Explanation {
	d := about(over("wan", "observed", "203.0.113.22:39538"), place("192.168.1.3:5000", "host", "has never answered"), between(coneNAT, symmetricNAT), refused("expired", "an old certificate"))
	d.Candidates[1].Scope = "plant"
	d.Policy = control.ExplainedPolicy{Name: "/etc/policy", Allowed: true, Line: 3, Text: "allow all <-> all"}
	d.PortMapping = []control.ExplainedPortMapping{{Family: "ipv4", Reason: "the gateway does not answer"}, {Family: "ipv6", External: netip.MustParseAddrPort("[2001:db8::1]:4321"), Method: "PCP"}}
	d.RDVs = append(d.RDVs, control.ExplainedRDV{Address: netip.MustParseAddrPort("203.0.113.11:57888"), Refusal: "no answer"},
		control.ExplainedRDV{Host: "c.example.org", Spare: true}, control.ExplainedRDV{Host: "d.example.org", Registered: true, Transport: control.TransportTLS})
	d.Summary, d.Advice = "It is so.", []string{"do this and that, and more of it", "or that"}
	return &d.Explanation
}

const sampleExplanationText = `It is so.

ADDRESS             FOUND              ROUND TRIP  ANSWERED  OUTCOME
203.0.113.22:39538  observed           21.4 ms     12s ago   is the path
192.168.1.3:5000    host, scope plant  -           -         has never answered

this host is behind a port-restricted-cone NAT (mapping endpoint-independent, filtering address-and-port-dependent, ports random, easy)
the peer is behind a symmetric NAT (mapping address-and-port-dependent, filtering address-and-port-dependent, ports random, hard)
certificate "bob" (serial 1F, of CN=CA) ends 2027-03-01
the policy /etc/policy allows it, as far as the peer's address tells (line 3: allow all <-> all)
refused 1m0s ago, 2 times, expired: an old certificate
RDV server rdv.example.org: registered; 3m13s ago: it has introduced the two hosts
RDV server 203.0.113.11:57888: NOT registered, no answer
RDV server c.example.org: a spare
RDV server d.example.org: registered over TLS, since UDP gets no answer
no port mapping: the gateway does not answer
the gateway forwards [2001:db8::1]:4321 to this host (PCP)

What to try:
- do this and that, and more of it
- or that
`

func TestExplainText(t *testing.T) {
	if got := explainText(sampleExplanation(), 0); got != sampleExplanationText {
		t.Errorf("got\n%s\nwant\n%s", got, sampleExplanationText)
	}
	for line := range strings.Lines(explainText(sampleExplanation(), 70)) {
		if len(line) > 70+1 && !strings.Contains(line, "   ") { // the table stays as it is
			t.Errorf("a line of %d characters: %q", len(line), line)
		}
	}
	plain := &control.Explanation{Version: "1.0.0", Time: noon, Summary: "There is nothing."}
	if got := explainText(plain, 0); got != "There is nothing.\n" {
		t.Errorf("of nothing: %q", got)
	}
	bad := sampleExplanation()
	bad.Certificate.Good, bad.Certificate.Code, bad.Certificate.Reason = false, "revoked", "it was revoked"
	bad.Policy.Allowed, bad.Policy.Certain = false, true
	for _, want := range []string{"; it is NOT good (revoked): it was revoked\n", "\nthe policy /etc/policy does not allow it (line 3"} {
		if got := explainText(bad, 0); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q in it", got, want)
		}
	}
}

// TestNATLine: what the status says of our NAT.
func TestNATLine(t *testing.T) {
	for _, c := range []struct {
		b    nat.Behaviour
		want string
	}{
		{nat.Behaviour{Known: true, Blocked: true}, "is behind something that lets no UDP through"},
		{nat.Behaviour{Known: true, FilteringExact: true}, "has a public address (filtering endpoint-independent)"},
		{nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent, Filtering: nat.AddressDependent},
			"is behind a cone NAT (mapping address-dependent at worst, filtering address-dependent at worst, ports preserving, easy)"},
	} {
		if got := natLine(natDocument(c.b)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if back := behaviour(natDocument(c.b)); back.Hard() != c.b.Hard() || back.Standing() != c.b.Standing() {
			t.Errorf("%+v becomes %+v", c.b, back)
		}
	}
	s := sampleStatus()
	s.NAT = natDocument(symmetricNAT)
	if got := statusText(s, nil, 0); !strings.Contains(got, "\nthis host is behind a symmetric NAT (mapping address-and-port-dependent, filtering address-and-port-dependent, ports random, hard)\n") {
		t.Errorf("the status says\n%s", got)
	}
}

// FuzzExplainText: whatever a client answers, the text is printable.
func FuzzExplainText(f *testing.F) {
	sample, err := json.Marshal(sampleExplanation())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(`{"summary":"\u001b[2J","advice":["\u0007"],"candidates":[{"address":"[fe80::1%\u001b]:5","outcome":"\n"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := new(control.Explanation)
		if json.Unmarshal(b, e) != nil {
			return
		}
		for _, c := range explainText(e, 60) {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Fatalf("%q is printed", c)
			}
		}
		d := &explanation{Explanation: *e}
		d.finish(explainConfig{})
	})
}
