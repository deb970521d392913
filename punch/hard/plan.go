package hard

import (
	"time"

	"campagnol/punch/nat"
)

// How long ordinary punching is left alone. It takes a round trip where it works; where
// it should work, by all that is known, it gets more.
const (
	lead        = 100 * time.Millisecond
	patientLead = time.Second
)

// A Role is what a side does.
type Role uint8

// The roles.
const (
	None  Role = iota // nothing but ordinary punching
	Guess             // send to ports that the peer's NAT may have taken
	Open              // send from many sockets, for our NAT to take many ports
)

// String returns the name of a role.
func (r Role) String() string { return [...]string{"none", "guess", "open"}[r] }

// A Plan is what one side does. The other side, which knows the same of both, makes
// the plan that belongs to it.
type Plan struct {
	Role Role

	// Step is the distance between the ports of two new mappings of the hard NAT, in
	// either direction; 0: they do not follow each other.
	Step int

	// Lead is how long ordinary punching goes on alone before the plan begins.
	Lead time.Duration
}

// hardness says how sure it is that the public endpoint that a server sees is not the
// one that a peer sees.
type hardness uint8

const (
	easy hardness = iota

	// perhaps is what cannot be told apart from the server's one address, and is more
	// often than not an easy one: hardly any NAT looks at addresses alone.
	perhaps

	certain
)

func hardnessOf(b nat.Behaviour) hardness {
	switch {
	case b.Hard():
		return certain
	case b.Known && b.Translated && b.Mapping == nat.AddressDependent:
		return perhaps
	}
	return easy
}

// Make returns the plan of a side that is behind own, for a peer that is behind peer.
// It comes to nothing unless both are known, get out, and one is harder than the other.
func Make(own, peer nat.Behaviour) Plan {
	if !own.Known || !peer.Known || own.Blocked || peer.Blocked {
		return Plan{}
	}
	ours, theirs := hardnessOf(own), hardnessOf(peer)
	switch {
	case ours > theirs:
		return makePlan(Open, ours, own, peer)
	case ours < theirs:
		return makePlan(Guess, theirs, peer, own)
	}
	return Plan{}
}

// makePlan returns the plan for two sides, of which hard is the harder.
func makePlan(r Role, h hardness, hard, other nat.Behaviour) Plan {
	p := Plan{Role: r, Lead: lead}
	if h != certain || other.Filtering != nat.AddressAndPortDependent {
		p.Lead = patientLead // the hard side's ordinary punches get in, wherever they come from
	}
	if hard.Ports == nat.Sequential {
		p.Step = int(hard.Step)
		if p.Step == 0 {
			p.Step = 1
		}
	}
	return p
}
