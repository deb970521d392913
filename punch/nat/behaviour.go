package nat

// A Behaviour is how a host's way to the Internet looks from inside (RFC 5780). The
// zero Behaviour says that nothing is known.
type Behaviour struct {
	Known      bool // anything of it; the rest means nothing else
	Blocked    bool // nothing gets out
	Translated bool // the source address changes on the way

	// Mapping and Filtering are those of the NAT, the latter also of a firewall
	// without one. What two addresses would be needed to tell apart is the worse
	// of both, and Exact says that it is not so.
	Mapping, Filtering           Dependence
	MappingExact, FilteringExact bool

	Ports   PortChoice
	Step    int8 // between the ports of two new mappings, if Ports is Sequential
	Hairpin bool // packets to our own public endpoint come back
}

// Hard reports whether the public endpoint that a server sees is not the one that a
// peer sees, and cannot be guessed from it. A mapping that is called
// AddressDependent for want of a second address to compare does not count: hardly any
// NAT has one.
func (b Behaviour) Hard() bool {
	return b.Known && b.Translated &&
		(b.Mapping == AddressAndPortDependent || b.Mapping == AddressDependent && b.MappingExact)
}

// Size is the length of a Behaviour on the wire, in bytes.
const Size = 5

// The bits of the first byte on the wire.
const (
	bitBlocked = 1 << iota
	bitTranslated
	bitMappingExact
	bitFilteringExact
	bitHairpin
)

// Append appends the wire form of b, which is [Size] bytes long: bits, mapping,
// filtering, port choice, step. Nothing is appended if nothing is known.
func (b Behaviour) Append(to []byte) []byte {
	if !b.Known {
		return to
	}
	var bits byte
	for bit, on := range map[byte]bool{bitBlocked: b.Blocked, bitTranslated: b.Translated,
		bitMappingExact: b.MappingExact, bitFilteringExact: b.FilteringExact, bitHairpin: b.Hairpin} {
		if on {
			bits |= bit
		}
	}
	return append(to, bits, byte(b.Mapping), byte(b.Filtering), byte(b.Ports), byte(b.Step))
}

// Parse reads what [Behaviour.Append] has written. Bytes beyond are ignored. What
// makes no sense is not known.
func Parse(from []byte) Behaviour {
	if len(from) < Size {
		return Behaviour{}
	}
	bits := from[0]
	b := Behaviour{
		Known: true, Blocked: bits&bitBlocked != 0, Translated: bits&bitTranslated != 0,
		MappingExact: bits&bitMappingExact != 0, FilteringExact: bits&bitFilteringExact != 0, Hairpin: bits&bitHairpin != 0,
		Mapping: Dependence(from[1]), Filtering: Dependence(from[2]), Ports: PortChoice(from[3]), Step: int8(from[4]),
	}
	if b.Mapping > AddressAndPortDependent || b.Filtering > AddressAndPortDependent || b.Ports > Overloading {
		return Behaviour{}
	}
	return b
}
