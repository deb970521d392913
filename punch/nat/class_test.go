package nat

import "testing"

// TestClass: what stands before a host has one name, and each standing another.
func TestClass(t *testing.T) {
	seen := map[string]string{}
	ranks := map[int]bool{}
	for _, b := range []Behaviour{
		{}, blocked, public, {Known: true, Filtering: AddressDependent}, firewalled, {Known: true, Translated: true, MappingExact: true},
		fullCone, restricted, portRestricted, symmetric,
	} {
		if other, ok := seen[b.Class()]; ok || ranks[b.ClassRank()] {
			t.Errorf("%q is the class of what %q and of what %q", b.Class(), b.Standing(), other)
		}
		seen[b.Class()], ranks[b.ClassRank()] = b.Standing(), true
	}
}

// FuzzClass: hosts with the same standing have the same class, and the other way round.
func FuzzClass(f *testing.F) {
	f.Add(fullCone.Append(nil), blocked.Append(nil))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := Parse(x), Parse(y)
		if (a.Class() == b.Class()) != (a.Standing() == b.Standing()) {
			t.Errorf("%q and %q are %q and %q", a.Class(), b.Class(), a.Standing(), b.Standing())
		}
	})
}
