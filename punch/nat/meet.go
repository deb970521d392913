package nat

// Standing names what is in front of a host, in the old words that people know. It is
// the rest of a sentence that begins with the host.
func (b Behaviour) Standing() string {
	switch {
	case !b.Known:
		return "is behind something that was not examined"
	case b.Blocked:
		return "is behind something that lets no UDP through"
	case !b.Translated && b.Filtering == EndpointIndependent:
		return "has a public address"
	case !b.Translated && !b.FilteringExact:
		return "has a public address, perhaps behind a firewall"
	case !b.Translated:
		return "has a public address behind a firewall"
	case b.Mapping == AddressAndPortDependent, b.Mapping == AddressDependent && b.MappingExact:
		return "is behind a symmetric NAT"
	case !b.FilteringExact:
		return "is behind a cone NAT"
	case b.Filtering == EndpointIndependent:
		return "is behind a full-cone NAT"
	case b.Filtering == AddressDependent:
		return "is behind a restricted-cone NAT"
	}
	return "is behind a port-restricted-cone NAT"
}

// Reach says whom a host behind such a NAT finds.
func (b Behaviour) Reach() string {
	switch {
	case !b.Translated && b.Filtering == EndpointIndependent:
		return "direct paths to all peers that UDP gets out of."
	case !b.Hard() && b.Filtering != AddressAndPortDependent:
		return "direct paths to all peers, those behind symmetric NATs included."
	case !b.Hard():
		return "direct paths to all peers but some behind symmetric NATs, whose ports have to be guessed."
	case b.Ports == Sequential:
		return "direct paths to peers with a public address or a cone NAT; its ports come one after the other and can be predicted."
	case b.Filtering == AddressAndPortDependent:
		return "direct paths to peers with a public address, a full-cone or a restricted-cone NAT; to others its ports have to be guessed."
	}
	return "direct paths to peers that are not behind such a NAT themselves."
}

// A Prospect is what two NATs let their hosts expect of a direct path between them.
type Prospect uint8

// The prospects.
const (
	Uncertain Prospect = iota // nothing is known of one of them
	Direct                    // punching finds a path
	Guess                     // only who guesses ports does
	Hopeless                  // there is none
)

// String returns a word for programs.
func (p Prospect) String() string {
	return [...]string{"unknown", "direct", "guess", "hopeless"}[p]
}

// Meet returns what hosts behind a and b can expect, if they know no other address of
// each other than the one that a server sees: neither a forwarded port nor one in a
// network that both are in helps them.
//
// Where both mappings are endpoint-independent, the server sees what the peer does. The
// punches of a hard one come from a port that nobody has named: the other side has to
// let them in. Between two hard ones, a filter that looks at nothing lets the other in;
// the answer comes from yet another port, which that one must not mind.
func Meet(a, b Behaviour) Prospect {
	byPort := func(n Behaviour) bool { return n.Filtering == AddressAndPortDependent }
	open := func(n Behaviour) bool { return n.Filtering == EndpointIndependent }
	switch {
	case a.Known && a.Blocked, b.Known && b.Blocked:
		return Hopeless
	case !a.Known || !b.Known:
		return Uncertain
	case !a.Hard() && !b.Hard():
		return Direct
	case a.Hard() && b.Hard():
		endless := a.Mapping == AddressAndPortDependent && b.Mapping == AddressAndPortDependent
		if !endless && (open(a) && !byPort(b) || open(b) && !byPort(a)) {
			return Direct
		}
		return Hopeless
	case a.Hard() && byPort(b), b.Hard() && byPort(a):
		return Guess
	}
	return Direct
}

// Outlook says what [Meet] means for a host behind own and its peer, in a sentence
// without its end.
func Outlook(own, peer Behaviour) string {
	both := "this host " + own.Standing() + ", and the peer " + peer.Standing() + ": "
	switch p := Meet(own, peer); {
	case p == Direct:
		return both + "punching finds a direct path"
	case p == Guess:
		return both + "a direct path is found only by guessing ports"
	case p == Hopeless && own.Known && peer.Known && own.Hard() && peer.Hard():
		return both + "there is no direct path, since both take another port for each destination; only a relay could carry this"
	case p == Hopeless:
		return both + "there is no path over UDP"
	}
	return both + "whether there is a direct path cannot be told"
}
