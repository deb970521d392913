package nat

// classes are short names for what is in front of a host.
var classes = [...]string{
	"not examined", "no UDP", "public address", "public, perhaps firewall", "public, firewall", "cone NAT",
	"full-cone NAT", "restricted-cone NAT", "port-restricted NAT", "symmetric NAT",
}

// Class returns a short name for what is in front of a host: the words of
// [Behaviour.Standing] for a table.
func (b Behaviour) Class() string { return classes[b.class()] }

// ClassRank orders classes, from what is not known over what finds everybody to what
// finds few.
func (b Behaviour) ClassRank() int { return b.class() }

func (b Behaviour) class() int {
	switch {
	case !b.Known:
		return 0
	case b.Blocked:
		return 1
	case !b.Translated && b.Filtering == EndpointIndependent:
		return 2
	case !b.Translated && !b.FilteringExact:
		return 3
	case !b.Translated:
		return 4
	case b.Mapping == AddressAndPortDependent, b.Mapping == AddressDependent && b.MappingExact:
		return 9
	case !b.FilteringExact:
		return 5
	case b.Filtering == EndpointIndependent:
		return 6
	case b.Filtering == AddressDependent:
		return 7
	}
	return 8
}
