package policy

import "iter"

// A Change is a pair of members about which two policies decide differently.
type Change struct {
	A, B     int // A opens the tunnel, or would; indices of the members
	Old, New Decision
}

// Diff yields the pairs of members whose right to talk differs, in both
// directions where both do: for the sessions to close, and those to allow again,
// when a policy is loaded. It can be broken off.
//
// It compares kinds of members, not members, of which there are few: 10,000
// members take hardly longer than as many kinds as the policies tell apart.
func Diff(old, now *Policy, members []Member) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		kinds := kindsOf(old, now, members)
		for _, a := range kinds {
			for _, b := range kinds {
				c := Change{Old: old.talk(a.old, b.old), New: now.talk(a.now, b.now)}
				if c.Old.Allowed == c.New.Allowed {
					continue
				}
				for _, c.A = range a.members {
					for _, c.B = range b.members {
						if c.A != c.B && !yield(c) {
							return
						}
					}
				}
			}
		}
	}
}

// A memberKind is members of which two policies speak alike.
type memberKind struct {
	old, now *sides
	members  []int
}

// kindsOf sorts members into kinds, in the order of their first members.
func kindsOf(old, now *Policy, members []Member) []*memberKind {
	var list []*memberKind
	index := map[string]*memberKind{}
	var key []byte
	for i, m := range members {
		k := &memberKind{old: old.sidesOf(talkTable, m), now: now.sidesOf(talkTable, m)}
		key = k.now.appendKey(k.old.appendKey(key[:0]))
		known := index[string(key)]
		if known == nil {
			known = k
			index[string(key)] = k
			list = append(list, k)
		}
		known.members = append(known.members, i)
	}
	return list
}

// appendKey appends bytes that are equal for equal sides.
func (s *sides) appendKey(b []byte) []byte {
	for _, set := range []bitset{s.left, s.right} {
		for _, w := range set {
			for shift := 0; shift < 64; shift += 8 {
				b = append(b, byte(w>>shift))
			}
		}
	}
	return b
}
