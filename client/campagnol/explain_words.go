package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/human"
	"campagnol/punch/nat"
)

// An explainConfig is what advice depends on beyond the document.
type explainConfig struct {
	port    uint16 // of our UDP socket, as configured; 0: whichever is free
	mapping bool   // the gateway is asked to forward it
	hardNAT bool   // ports are guessed where that is needed
}

// finish says in words what the document tells, and what can be done.
func (d *explanation) finish(cfg explainConfig) {
	d.Summary = d.summary()
	d.Advice = []string{}
	for _, a := range d.advice(cfg) {
		if !slices.Contains(d.Advice, a) {
			d.Advice = append(d.Advice, a)
		}
	}
}

// who names the peer.
func (d *explanation) who() string {
	if d.Name != "" {
		return fmt.Sprintf("%v (%q)", d.VPNAddress, d.Name)
	}
	return d.VPNAddress.String()
}

// hasPath reports whether there is a session.
func (d *explanation) hasPath() bool { return d.Path.Address.IsValid() }

// summary returns the paragraph.
func (d *explanation) summary() string {
	var words []string
	if d.behind != "" {
		words = append(words, fmt.Sprintf("%s is in a network behind %v.", d.behind, d.VPNAddress))
	}
	switch {
	case d.Packet == client.FateOwn.String():
		return fmt.Sprintf("%v is the address of this host in the VPN.", d.VPNAddress)
	case d.Packet == client.FateEverybody.String():
		return fmt.Sprintf("%v is no peer: what is sent there goes over every open tunnel, or nowhere.", d.VPNAddress)
	case d.Packet == client.FateOutside.String():
		return fmt.Sprintf("%v is nobody's in this VPN: it is not in %s, and in no network behind a peer with a tunnel. Packets for it are dropped.", d.VPNAddress, d.networks)
	case d.hasPath():
		words = append(words, d.reachedText(), d.betterText())
	default:
		words = append(words, d.missingText(), d.packetText())
	}
	words = append(words, d.natText())
	if d.Policy.Name != "" && !d.Policy.Allowed && d.Policy.Certain {
		words = append(words, "The policy does not let the two hosts talk.")
	}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
}

// reachedText says how the peer is reached.
func (d *explanation) reachedText() string {
	p := &d.Path
	where := "directly"
	switch p.Kind {
	case "lan":
		where = "within one private network"
	case "tcp":
		where = "over a connection by TCP"
	case "relay":
		where = "through a relay"
		if p.Relay != "" {
			where += " (" + human.Printable(p.Relay) + ")"
		}
	}
	verb := "is reached"
	if p.Dark {
		verb = "was reached"
	}
	text := fmt.Sprintf("%s %s %s at %v (%s), over a tunnel that is %s old", d.who(), verb, where, p.Address, familyName(p.Address.Addr().Is4()), human.Age(d.Time.Sub(p.Since)))
	if p.RTTSeconds > 0 {
		text += fmt.Sprintf("; a round trip takes %.1f ms", 1000*p.RTTSeconds)
	}
	text += "."
	if p.Dark {
		text += " The path does not answer at the moment: another one is looked for."
	}
	if how, known := foundTexts[p.Found]; known {
		text += " " + how + "."
	}
	if p.Extra {
		text += fmt.Sprintf(" It leads through a hard NAT, by the UDP port %d of its own.", p.Local.Port())
	}
	if p.MTUBytes > 0 {
		text += fmt.Sprintf(" It carries packets of %d bytes at most.", p.MTUBytes)
	}
	switch {
	case p.Moves == 1:
		text += " The tunnel has moved to another path once."
	case p.Moves > 1:
		text += fmt.Sprintf(" The tunnel has moved to another path %d times.", p.Moves)
	}
	if p.Protocol == originalProtocol {
		text += " The peer is a Campagnol 0.3.5, with which a tunnel stays on the path that it was opened on."
	}
	return text
}

// foundTexts say how an address was found.
var foundTexts = map[string]string{
	"host":       "The address is the peer's own",
	"observed":   "The address is where a server sees the peer",
	"mapped":     "The address is one that the peer's gateway forwards",
	"configured": "The address is in the peer's configuration",
	"reflexive":  "The address is where packets of the peer come from",
	"stream":     "The address is where the peer takes connections",
	"relayed":    "The address is the peer's at a relay",
}

// familyName returns how people call a family.
func familyName(is4 bool) string {
	if is4 {
		return "IPv4"
	}
	return "IPv6"
}

// betterText says why the path is not a better one.
func (d *explanation) betterText() string {
	private := 0
	for _, c := range d.Candidates {
		if a := c.Address.Addr().Unmap(); !c.Path && (a.IsPrivate() || a.IsLinkLocalUnicast()) {
			private++
		}
	}
	switch {
	case d.Path.Dark || d.Path.Protocol == originalProtocol:
		return ""
	case d.Path.Kind == "lan":
		return "No kind of path is better."
	case private > 0 && d.Path.Kind == "wan":
		return "A path within one network would be better, but the peer does not answer at its private " + either(private == 1, "address", "addresses") + "."
	case d.Path.Kind == "wan" && len(d.Candidates) > 1:
		return "No other address of the peer is faster by enough."
	}
	return ""
}

// either returns one of two words.
func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// missingText says why there is no session.
func (d *explanation) missingText() string {
	switch d.State {
	case "NEW":
		return fmt.Sprintf("The tunnel to %s is being opened: the rendezvous server is asked where it is.", d.who())
	case "PUNCHING":
		text := fmt.Sprintf("The tunnel to %s is being opened: both hosts look for a path.", d.who())
		if d.Try.Guessing {
			text += " They guess the ports of a hard NAT."
		}
		return text
	case "LINKED":
		return fmt.Sprintf("The tunnel to %s is being opened: there is a path, and the two hosts show their certificates.", d.who())
	}
	text := fmt.Sprintf("There is no tunnel to %s.", d.who())
	switch newest, refused := d.newestRefusal(); {
	case !d.Failure.Time.IsZero():
		return text + fmt.Sprintf(" The last try was in vain, %s ago: %s.", human.Age(d.Time.Sub(d.Failure.Time)), strings.TrimSuffix(d.Failure.Reason, "."))
	case refused:
		return text + fmt.Sprintf(" It was refused %s ago, with the code %s: %s.", human.Age(d.Time.Sub(newest.Last)), newest.Code, newest.Reason)
	case !d.Try.Began.IsZero():
		return text + " The last one has ended; idle tunnels are closed."
	}
	return text + " Nothing is known of it: nobody has sent anything to it lately."
}

// newestRefusal returns the last refusal about the peer.
func (d *explanation) newestRefusal() (control.ExplainedRefusal, bool) {
	if len(d.Refusals) == 0 {
		return control.ExplainedRefusal{}, false
	}
	return d.Refusals[0], true
}

// packetTexts say what becomes of a packet for a peer without a session.
var packetTexts = map[string]string{
	client.FateWaits.String():         "Packets for it wait.",
	client.FateAsked.String():         "The next packet for it makes this host ask the rendezvous server.",
	client.FateLeftAlone.String():     "It is asked for again in a second or two, with the next packet.",
	client.FateTooMany.String():       "Packets for it are dropped, since there are as many tunnels as max_clients allows.",
	client.FateNotRegistered.String(): "Nobody can be asked for it, since no rendezvous server knows this host.",
	client.FateNeedsChannel.String():  "Packets for it are dropped: for an IPv6 address the rendezvous server can be asked over an authenticated channel only.",
}

// packetText says what becomes of a packet that is sent now.
func (d *explanation) packetText() string { return packetTexts[d.Packet] }

// behaviour returns what a document says of a NAT.
func behaviour(n control.NAT) nat.Behaviour {
	b := nat.Behaviour{Known: n.Description != "", Blocked: n.Blocked, Translated: n.Translated, MappingExact: n.MappingExact, FilteringExact: n.FilteringExact}
	for d := range nat.AddressAndPortDependent + 1 {
		if d.String() == n.Mapping {
			b.Mapping = d
		}
		if d.String() == n.Filtering {
			b.Filtering = d
		}
	}
	return b
}

// natText says what the NATs of both mean, as far as that explains anything.
func (d *explanation) natText() string {
	own, peer := behaviour(d.OwnNAT), behaviour(d.PeerNAT)
	switch outlook := nat.Meet(own, peer); {
	case d.Path.Kind == "lan" || !peer.Known && !own.Blocked && (!own.Known || !d.introduced()):
		return ""
	case d.hasPath() && (outlook == nat.Direct || outlook == nat.Uncertain):
		return ""
	}
	text := nat.Outlook(own, peer)
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// expirySoon is when a certificate is mentioned.
const expirySoon = 30 * 24 * time.Hour

// advice returns what to try, the likeliest first.
func (d *explanation) advice(cfg explainConfig) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch d.Packet {
	case client.FateOwn.String(), client.FateEverybody.String():
		return nil
	case client.FateOutside.String():
		add("look at vpn_ip and network in the configuration; a network behind a member has to be in its certificate (campagnol ca issue NAME --route NETWORK), and accept_routes = yes set here")
		return list
	}
	if c := &d.Certificate; d.hasPath() && !c.Good {
		add("%s: %s", cmp.Or(c.Code, "certificate"), cmp.Or(kindOf(c.Code).fix, "look at the certificate of the peer"))
	} else if d.hasPath() && c.Expires.Sub(d.Time) < expirySoon {
		add("renew the certificate of the peer, which ends on %s: campagnol renew on its host, or campagnol ca issue %s --renew", c.Expires.Format(time.DateOnly), d.Name)
	}
	if d.Reached || d.State != "CLOSED" && !d.hasPath() && !d.Try.Running {
		return list
	}
	list = append(list, d.serverAdvice()...)
	if d.Policy.Name != "" && !d.Policy.Allowed {
		add("the policy %s does not allow it (%s): if it should, change that line; campagnol policy check explains it", d.Policy.Name, policyLine(&d.Policy))
	}
	for _, r := range d.Refusals {
		if r.Fix != "" && !r.Last.Before(d.Failure.Time.Add(-time.Minute)) {
			add("%s: %s", r.Code, r.Fix)
		}
	}
	if d.noPath() {
		list = append(list, d.pathAdvice(cfg)...)
	}
	if len(list) == 0 && d.State == "CLOSED" {
		add("ask for it now: campagnol explain --try %v", d.VPNAddress)
	}
	return list
}

// policyLine names the line that decides.
func policyLine(p *control.ExplainedPolicy) string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

// serverAdvice is about the rendezvous servers.
func (d *explanation) serverAdvice() (list []string) {
	switch d.Packet {
	case client.FateNotRegistered.String():
		list = append(list, "this host is registered at no rendezvous server: look at server_host, and run campagnol netcheck here")
	case client.FateNeedsChannel.String():
		list = append(list, "give the rendezvous server a certificate (campagnol ca issue NAME --rdv), and leave rdv_auth at auto here")
	case client.FateTooMany.String():
		list = append(list, "raise max_clients in [CLIENT]")
	}
	if !slices.ContainsFunc(d.RDVs, func(r control.ExplainedRDV) bool { return r.Said == client.UnknownPeer }) || d.introduced() {
		return list
	}
	return append(list, "the peer is not registered: is its daemon running? campagnol status on its host shows whether, and at which rendezvous server",
		"is the address right? campagnol ca list names those of all members")
}

// introduced reports whether a rendezvous server has introduced us to the peer.
func (d *explanation) introduced() bool {
	return slices.ContainsFunc(d.RDVs, func(r control.ExplainedRDV) bool { return r.Said == introducedUs })
}

// noPath reports whether what is missing is a path, and not a word of somebody.
func (d *explanation) noPath() bool {
	answered := slices.ContainsFunc(d.Candidates, func(c control.ExplainedCandidate) bool {
		return c.Outcome == "answered, but no session came about" || c.Outcome == "answered, and was chosen"
	})
	tried := !d.Try.Began.IsZero() && (d.Try.Running || !d.Failure.Time.IsZero())
	return d.Path.Dark || tried && !answered && d.introduced()
}

// pathAdvice is about paths.
func (d *explanation) pathAdvice(cfg explainConfig) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	own, peer := behaviour(d.OwnNAT), behaviour(d.PeerNAT)
	outlook := nat.Meet(own, peer)
	mapped := slices.ContainsFunc(d.PortMapping, func(m control.ExplainedPortMapping) bool { return m.External.IsValid() })
	switch {
	case own.Blocked:
		add("a firewall here lets no UDP out: open it for this host")
	case outlook == nat.Guess && !cfg.hardNAT:
		add("set hard_nat = yes, so that ports are guessed")
	case outlook == nat.Uncertain:
		add("run campagnol netcheck on both hosts: what their NATs do is not known here")
	}
	if d.Path.Dark {
		add("see whether the host of the peer is up, and has a network")
	}
	if !mapped {
		port := fmt.Sprintf("open UDP port %d", cfg.port)
		if cfg.port == 0 {
			port = "choose a local_port, open it for UDP"
		}
		add("%s to this host in its router or firewall, and name the outside address with external_addr", port)
		if !cfg.mapping {
			add("set port_mapping = yes, so that the gateway is asked to do that by itself")
		}
	}
	add("or open a port on the side of the peer: one of both is enough")
	for _, f := range d.Families {
		if f.Family == "ipv6" && !(f.Ours && f.Theirs) {
			add("give both hosts IPv6: %s none now", either(f.Ours, "the peer tells", either(f.Theirs, "this host has", "they have")))
		}
	}
	if outlook == nat.Hopeless && own.Hard() && peer.Hard() {
		switch {
		case d.Relays.Never:
			add("without any of these only a relay could carry this: remove relay_never = yes")
		case d.Relays.Why != "":
			add("without any of these only a relay could carry this, and there is none (%s)", d.Relays.Why)
		default:
			add("without any of these only a relay could carry this")
		}
	}
	return list
}
