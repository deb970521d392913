package nat

import "testing"

func TestBehaviourOnTheWire(t *testing.T) {
	for _, b := range []Behaviour{
		{},
		{Known: true},
		{Known: true, Blocked: true},
		{Known: true, Translated: true, Mapping: AddressAndPortDependent, Filtering: AddressDependent, Ports: Sequential, Step: -2},
		{Known: true, Translated: true, MappingExact: true, FilteringExact: true, Hairpin: true, Ports: Random},
	} {
		wire := b.Append(nil)
		if want := map[bool]int{true: Size, false: 0}[b.Known]; len(wire) != want {
			t.Errorf("%+v takes %d bytes, want %d", b, len(wire), want)
		}
		if got := Parse(append(wire, 7)[:len(wire)+min(len(wire), 1)]); got != b {
			t.Errorf("Parse(%x) = %+v, want %+v", wire, got, b)
		}
	}
}

func TestHard(t *testing.T) {
	for _, c := range []struct {
		b    Behaviour
		want bool
	}{
		{Behaviour{}, false},
		{Behaviour{Known: true, Translated: true}, false},
		{Behaviour{Known: true, Mapping: AddressDependent}, false},
		{Behaviour{Known: true, Translated: true, Mapping: AddressDependent}, false},
		{Behaviour{Known: true, Translated: true, Mapping: AddressDependent, MappingExact: true}, true},
		{Behaviour{Known: true, Translated: true, Mapping: AddressAndPortDependent}, true},
	} {
		if got := c.b.Hard(); got != c.want {
			t.Errorf("%+v: Hard() = %v, want %v", c.b, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Behaviour{Known: true, Hairpin: true}.Append(nil))
	f.Add([]byte{1, 9, 0, 0, 0})
	f.Fuzz(func(t *testing.T, wire []byte) {
		b := Parse(wire)
		if again := Parse(b.Append(nil)); again != b {
			t.Errorf("Parse(%x) = %+v, and again %+v", wire, b, again)
		}
	})
}
