package hard

import (
	"testing"
	"time"

	"campagnol/punch/nat"
)

// Behaviours of NATs, for both sides.
var (
	unknown    = nat.Behaviour{}
	blocked    = nat.Behaviour{Known: true, Blocked: true}
	public     = nat.Behaviour{Known: true}
	firewalled = nat.Behaviour{Known: true, Filtering: nat.AddressAndPortDependent}
	fullCone   = nat.Behaviour{Known: true, Translated: true}
	cone       = nat.Behaviour{Known: true, Translated: true, Filtering: nat.AddressAndPortDependent}
	random     = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Random}
	preserving = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Preserving}
	sequential = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Sequential, Step: -2}
	inTurn     = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Sequential}
	oneAddress = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Random}
	byAddress  = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent, MappingExact: true, Filtering: nat.AddressAndPortDependent, Ports: nat.Random}
)

// TestPlan: the two sides of a pair have plans that belong together.
func TestPlan(t *testing.T) {
	const soon, late = lead, patientLead
	for _, c := range []struct {
		name  string
		a, b  nat.Behaviour
		roleA Role
		step  int
		lead  time.Duration
	}{
		{"nothing known of either", unknown, unknown, None, 0, 0},
		{"nothing known of the easy one", random, unknown, None, 0, 0},
		{"nothing known of the hard one", unknown, cone, None, 0, 0},
		{"nothing gets out", random, blocked, None, 0, 0},
		{"both easy", cone, fullCone, None, 0, 0},
		{"both public", public, firewalled, None, 0, 0},
		{"both hard", random, sequential, None, 0, 0},
		{"both perhaps hard", oneAddress, oneAddress, None, 0, 0},
		{"random and cone", random, cone, Open, 0, soon},
		{"random and firewall", random, firewalled, Open, 0, soon},
		{"ports that are preserved once", preserving, cone, Open, 0, soon},
		{"by address, surely", byAddress, cone, Open, 0, soon},
		{"by address, perhaps", oneAddress, cone, Open, 0, late},
		{"surely, and perhaps", random, oneAddress, Open, 0, soon},
		{"the easy one lets all in", random, fullCone, Open, 0, late},
		{"the easy one is public", random, public, Open, 0, late},
		{"downwards by two", sequential, cone, Open, -2, soon},
		{"in turn, by an unknown step", inTurn, cone, Open, 1, soon},
	} {
		other := map[Role]Role{None: None, Open: Guess}[c.roleA]
		if got, want := Make(c.a, c.b), (Plan{c.roleA, c.step, c.lead}); got != want {
			t.Errorf("%s: one side has %+v, want %+v", c.name, got, want)
		}
		if got, want := Make(c.b, c.a), (Plan{other, c.step, c.lead}); got != want {
			t.Errorf("%s: the other side has %+v, want %+v", c.name, got, want)
		}
	}
}

// TestPlanIsMutual: whatever two sides say about their NATs, they have plans that
// belong together, and one only if both are known.
func TestPlanIsMutual(t *testing.T) {
	all := []nat.Behaviour{unknown, blocked, public, firewalled, fullCone, cone, random, preserving, sequential, inTurn, oneAddress, byAddress}
	for _, a := range all {
		for _, b := range all {
			pa, pb := Make(a, b), Make(b, a)
			together := pa.Role == None && pb.Role == None || pa.Role == Open && pb.Role == Guess || pa.Role == Guess && pb.Role == Open
			if !together || pa.Step != pb.Step || pa.Lead != pb.Lead {
				t.Errorf("%+v and %+v: plans %+v and %+v", a, b, pa, pb)
			}
			if pa.Role != None && (!a.Known || !b.Known || a.Hard() && b.Hard() && hardnessOf(a) == hardnessOf(b)) {
				t.Errorf("%+v and %+v: plan %+v, want none", a, b, pa)
			}
		}
	}
}

func TestRoleString(t *testing.T) {
	for role, want := range map[Role]string{None: "none", Guess: "guess", Open: "open"} {
		if got := role.String(); got != want {
			t.Errorf("Role(%d) is %q, want %q", role, got, want)
		}
	}
}
