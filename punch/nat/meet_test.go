package nat

import (
	"strings"
	"testing"
)

// known returns a Behaviour that is known exactly.
func known(mapping, filtering Dependence) Behaviour {
	return Behaviour{Known: true, Translated: true, Mapping: mapping, Filtering: filtering, MappingExact: true, FilteringExact: true, Ports: Random}
}

var (
	fullCone       = known(EndpointIndependent, EndpointIndependent)
	restricted     = known(EndpointIndependent, AddressDependent)
	portRestricted = known(EndpointIndependent, AddressAndPortDependent)
	symmetric      = known(AddressAndPortDependent, AddressAndPortDependent)
	public         = Behaviour{Known: true, FilteringExact: true}
	firewalled     = Behaviour{Known: true, Filtering: AddressAndPortDependent, FilteringExact: true}
	blocked        = Behaviour{Known: true, Blocked: true}
)

func TestMeet(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b Behaviour
		want Prospect
		says string
	}{
		{"nothing is known", Behaviour{}, Behaviour{}, Uncertain, "whether there is a direct path cannot be told"},
		{"of the peer nothing", symmetric, Behaviour{}, Uncertain, "the peer is behind something that was not examined"},
		{"nothing gets out, and of the peer nothing is known", blocked, Behaviour{}, Hopeless, "no path over UDP"},
		{"nothing gets out", blocked, public, Hopeless, "lets no UDP through"},
		{"public", public, symmetric, Direct, "punching finds"},
		{"cones", portRestricted, portRestricted, Direct, "punching finds"},
		{"hard and full cone", symmetric, fullCone, Direct, "is behind a full-cone NAT"},
		{"hard and restricted", symmetric, restricted, Direct, "is behind a restricted-cone NAT"},
		{"hard and port-restricted", symmetric, portRestricted, Guess, "only by guessing ports"},
		{"hard and a firewall", symmetric, firewalled, Guess, "has a public address behind a firewall"},
		{"two hard ones", symmetric, symmetric, Hopeless, "only a relay could carry this"},
		{"hard, but lets in all, and one by address", known(AddressDependent, EndpointIndependent), known(AddressDependent, AddressDependent), Direct, "punching finds"},
		{"by address, but not for certain", Behaviour{Known: true, Translated: true, Mapping: AddressDependent, Filtering: AddressAndPortDependent}, portRestricted, Direct, "is behind a cone NAT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, back := Meet(c.a, c.b), Meet(c.b, c.a); got != c.want || back != c.want {
				t.Errorf("Meet = %v, and the other way %v; want %v", got, back, c.want)
			}
			got := Outlook(c.a, c.b)
			if !strings.Contains(got, c.says) || !strings.HasPrefix(got, "this host "+c.a.Standing()+", and the peer "+c.b.Standing()+": ") {
				t.Errorf("Outlook = %q, want %q in it", got, c.says)
			}
		})
	}
}

// TestProspectWords: each prospect has a word of its own.
func TestProspectWords(t *testing.T) {
	seen := map[string]bool{}
	for p := Uncertain; p <= Hopeless; p++ {
		if s := p.String(); s == "" || seen[s] {
			t.Errorf("%d is called %q", p, s)
		} else {
			seen[s] = true
		}
	}
}

// FuzzMeet: whatever a peer says of its NAT, there is an answer, the same in both
// directions.
func FuzzMeet(f *testing.F) {
	f.Add(symmetric.Append(nil), portRestricted.Append(nil))
	f.Add([]byte{}, blocked.Append(nil))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := Parse(x), Parse(y)
		if Meet(a, b) != Meet(b, a) {
			t.Errorf("%+v and %+v: %v, and the other way %v", a, b, Meet(a, b), Meet(b, a))
		}
		if Outlook(a, b) == "" || a.Reach() == "" {
			t.Error("there are no words for it")
		}
	})
}
