package cipherlist

import (
	"strings"
	"testing"
)

// small returns an order of a few suites with one letter each, of which those in
// upper case are active.
func small(letters string) order {
	var o order
	for _, c := range letters {
		bit := uint32(1) << (c | 0x20 - 'a')
		o = append(o, item{suite: &suite{name: string(c | 0x20)}, traits: traits{enc: bit}, bits: keyLengths[(c|0x20-'a')%2], active: c < 'a'})
	}
	return o
}

// letters is the reverse of small.
func letters(o order) string {
	var b strings.Builder
	for _, it := range o {
		if it.active {
			b.WriteString(strings.ToUpper(it.suite.name))
		} else {
			b.WriteString(it.suite.name)
		}
	}
	return b.String()
}

func TestOrder(t *testing.T) {
	const a, b, c, d = 1, 2, 4, 8
	for _, x := range []struct {
		name, before string
		do           func(*order)
		want         string
	}{
		{"add", "abcd", func(o *order) { o.add(traits{enc: b | c}) }, "adBC"},
		{"add what is there", "aBcD", func(o *order) { o.add(traits{enc: a | b}) }, "BcDA"},
		{"add all", "abCD", func(o *order) { o.add(traits{}) }, "CDAB"},
		{"remove", "ABCD", func(o *order) { o.remove(traits{enc: b | d}) }, "bdAC"},
		{"remove what is not there", "AbCd", func(o *order) { o.remove(traits{enc: b | c}) }, "cAbd"},
		{"kill", "AbCd", func(o *order) { o.kill(traits{enc: a | b}) }, "Cd"},
		{"to the end", "AbCD", func(o *order) { o.toEnd(traits{enc: a | b}) }, "bCDA"},
		{"to the front", "AbCD", func(o *order) { o.toFront(traits{enc: b | c | d}) }, "CDAb"},
		{"sort", "DCbAd", func(o *order) { o.sortByStrength() }, "bdCAD"},
		{"remove and add", "ABCD", func(o *order) {
			o.remove(traits{enc: c})
			o.remove(traits{enc: a})
			o.add(traits{})
		}, "BDAC"},
	} {
		t.Run(x.name, func(t *testing.T) {
			o := small(x.before)
			x.do(&o)
			if got := letters(o); got != x.want {
				t.Errorf("%s becomes %s, want %s", x.before, got, x.want)
			}
		})
	}
}

// TestNaturalOrder checks that lists do not change what the next one begins
// with.
func TestNaturalOrder(t *testing.T) {
	before := natural()
	for range 2 {
		if _, _, err := Parse("DEFAULT:-AES:+CHACHA20:@STRENGTH:!ECDSA"); err != nil {
			t.Fatal(err)
		}
	}
	after := natural()
	if len(before) != len(suites) || len(after) != len(suites) {
		t.Fatalf("%d and %d suites of %d", len(before), len(after), len(suites))
	}
	for i := range before {
		if before[i] != after[i] || after[i].active {
			t.Fatalf("suite %d is %s (active %v), and was %s", i, after[i].suite.name, after[i].active, before[i].suite.name)
		}
	}
}

func TestTraitsAnd(t *testing.T) {
	for _, c := range []struct {
		name       string
		t, u, want traits
		ok         bool
	}{
		{"any and any", traits{}, traits{}, traits{}, true},
		{"any and one", traits{}, traits{enc: 6}, traits{enc: 6}, true},
		{"of two kinds", traits{kx: 1}, traits{enc: 6}, traits{kx: 1, enc: 6}, true},
		{"overlap", traits{kx: 1, enc: 3}, traits{enc: 6}, traits{kx: 1, enc: 2}, true},
		{"exclusion", traits{enc: 1}, traits{enc: 6}, traits{}, false},
	} {
		for _, p := range [][2]traits{{c.t, c.u}, {c.u, c.t}} {
			got, ok := p[0].and(p[1])
			if ok != c.ok || ok && got != c.want {
				t.Errorf("%s: got %v, %v, want %v, %v", c.name, got, ok, c.want, c.ok)
			}
		}
	}
}
