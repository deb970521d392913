package lab

import "testing"

func TestKindNames(t *testing.T) {
	for k := None; k < kindCount; k++ {
		got, err := ParseKind(k.String())
		if err != nil || got != k {
			t.Errorf("ParseKind(%q) = %v, %v, want %v", k.String(), got, err, k)
		}
		var flag Kind
		if err := flag.Set(k.String()); err != nil || flag != k {
			t.Errorf("Set(%q) gave %v, %v, want %v", k.String(), flag, err, k)
		}
	}
	if got, want := Kind(200).String(), "kind 200"; got != want {
		t.Errorf("String of an undefined kind = %q, want %q", got, want)
	}
	flag := Symmetric
	err := flag.Set("cone")
	want := `"cone" is not a kind of NAT: use none, full-cone, restricted, port-restricted, symmetric, sequential`
	if err == nil || err.Error() != want {
		t.Errorf("Set(cone): error %v, want %s", err, want)
	}
	if flag != Symmetric {
		t.Errorf("a refused Set changed the flag to %v", flag)
	}
	if got := flag.Type(); got != "nat" {
		t.Errorf("Type = %q, want nat", got)
	}
}

func TestKindBehaviour(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		want string
	}{
		{None, "mapping endpoint-independent, filtering endpoint-independent"},
		{FullCone, "mapping endpoint-independent, filtering endpoint-independent"},
		{Restricted, "mapping endpoint-independent, filtering address-dependent"},
		{PortRestricted, "mapping endpoint-independent, filtering address-and-port-dependent"},
		{Symmetric, "mapping address-and-port-dependent, filtering address-and-port-dependent"},
		{Sequential, "mapping address-and-port-dependent, filtering address-and-port-dependent, ports in turn"},
	} {
		if got := c.kind.Behaviour().String(); got != c.want {
			t.Errorf("%v: %s, want %s", c.kind, got, c.want)
		}
	}
	if got, want := Dependence(9).String(), "dependence 9"; got != want {
		t.Errorf("String of an undefined dependence = %q, want %q", got, want)
	}
}

// TestDirect checks the whole table. The only pairs without a direct path are hard NATs
// with port-restricted ones and with each other.
func TestDirect(t *testing.T) {
	hopeless := map[[2]Kind]bool{{Symmetric, Sequential}: true, {Sequential, Symmetric}: true}
	for _, hard := range []Kind{Symmetric, Sequential} {
		hopeless[[2]Kind{PortRestricted, hard}] = true
		hopeless[[2]Kind{hard, PortRestricted}] = true
		hopeless[[2]Kind{hard, hard}] = true
	}
	for a := None; a < kindCount; a++ {
		for b := None; b < kindCount; b++ {
			if got, want := Direct(a, b), !hopeless[[2]Kind{a, b}]; got != want {
				t.Errorf("Direct(%v, %v) = %v, want %v", a, b, got, want)
			}
		}
	}
}
