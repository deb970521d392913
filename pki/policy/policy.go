package policy

import (
	"fmt"
	"net/netip"

	"campagnol/pki"
)

// A Policy is what a text of the language says. It does not change after [Parse]
// and is safe for concurrent use.
type Policy struct {
	name    string // of the file, for messages
	version uint64
	groups  []group // in the order of the file
	rules   [tableCount][]rule

	talkDefault rule // of pairs that no rule speaks of

	index     index
	canonical string
	id        ID
}

// A group is a line "group NAME = …".
type group struct {
	name    string
	line    int
	column  int
	members []subject
}

// A table is a list of rules of one sort. The first rule of a table that speaks
// of a pair decides about it.
type table uint8

const (
	talkTable table = iota
	relayTable
	filterTable
	tableCount
)

// A rule is a line that starts with allow, deny or filter.
type rule struct {
	line     int
	text     string
	allow    bool
	oneWay   bool // "->"
	left     []subject
	right    []subject
	via      []subject // of relay rules
	services []Service // of filter rules; nil: all
}

// A Member is what a decision may depend on: what the certificate of a host says
// about it.
type Member struct {
	Names  []string       // in lower case
	Addrs  []netip.Addr   // VPN addresses
	Groups []string       // groups that the certificate carries, in lower case
	Routes []netip.Prefix // networks behind the host
}

// MemberOf returns the member that a certificate with these attributes is. A
// certificate that names no address says nothing about the one its holder uses;
// whoever knows it better adds it.
func MemberOf(a pki.Attributes) Member {
	return Member{Names: a.Names, Addrs: a.Addrs, Groups: a.Groups, Routes: a.Routes}
}

// A Decision is what a policy says, and why.
type Decision struct {
	Allowed bool
	Line    int    // of the rule that decided; 0: none did, and it is the default
	Text    string // of the line, or what the default is
}

// String returns for instance "denied by line 7: deny guests <-> all".
func (d Decision) String() string {
	verb := "denied"
	if d.Allowed {
		verb = "allowed"
	}
	if d.Line == 0 {
		return verb + ": " + d.Text
	}
	return fmt.Sprintf("%s by line %d: %s", verb, d.Line, d.Text)
}

func (r *rule) decision() Decision { return Decision{r.allow, r.line, r.text} }

// Name returns the name of the file that Parse was told.
func (p *Policy) Name() string { return p.name }

// Talk decides whether a may open a tunnel to b. An open tunnel carries packets
// both ways; what may be in them is for the filter.
func (p *Policy) Talk(a, b Member) Decision {
	return p.talk(p.sidesOf(talkTable, a), p.sidesOf(talkTable, b))
}

// talk is Talk for members whose rules are known.
func (p *Policy) talk(a, b *sides) Decision {
	if i := p.first(talkTable, a, b, nil); i >= 0 {
		return p.rules[talkTable][i].decision()
	}
	return p.talkDefault.decision()
}

// noRelay is the decision about relaying that no rule speaks of.
var noRelay = Decision{Text: "no line allows this relaying"}

// Relay decides whether via may relay what a and b, of which a has asked, send
// each other. A pair that may not talk may not be relayed either.
func (p *Policy) Relay(a, b, via Member) Decision {
	if d := p.Talk(a, b); !d.Allowed {
		return d
	}
	i := p.first(relayTable, p.sidesOf(relayTable, a), p.sidesOf(relayTable, b), p.sidesOf(relayTable, via).via)
	if i < 0 {
		return noRelay
	}
	return p.rules[relayTable][i].decision()
}

// Relays returns the rules about relaying between a and b, of which a has asked,
// in their order, whoever the relay is: the first one that names the relay
// decides.
func (p *Policy) Relays(a, b Member) []Decision {
	sa, sb := p.sidesOf(relayTable, a), p.sidesOf(relayTable, b)
	var list []Decision
	for i := range p.rules[relayTable] {
		if p.speaks(relayTable, i, sa, sb) {
			list = append(list, p.rules[relayTable][i].decision())
		}
	}
	return list
}

// RelaysFor returns the rules about relaying by via, in their order, whoever the
// pair is.
func (p *Policy) RelaysFor(via Member) []Decision {
	s := p.sidesOf(relayTable, via)
	var list []Decision
	for i := range p.rules[relayTable] {
		if s.via.has(i) {
			list = append(list, p.rules[relayTable][i].decision())
		}
	}
	return list
}
