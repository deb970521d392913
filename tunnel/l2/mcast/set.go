package mcast

import (
	"net/netip"
	"slices"
)

// Sets of sources are sorted slices, each address once: they are short.

// normal sorts a set in place.
func normal(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

func contains(set []netip.Addr, a netip.Addr) bool {
	_, found := slices.BinarySearchFunc(set, a, netip.Addr.Compare)
	return found
}

// minus returns what is in a and not in b.
func minus(a, b []netip.Addr) (out []netip.Addr) {
	for _, x := range a {
		if !contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// both returns what is in a and in b.
func both(a, b []netip.Addr) (out []netip.Addr) {
	for _, x := range a {
		if contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// union returns what is in a or in b.
func union(a, b []netip.Addr) []netip.Addr {
	return normal(slices.Concat(a, b))
}

// A want is what somebody wants of a group: nothing, some sources, or all but some.
type want struct {
	mode    mode
	sources []netip.Addr // sorted
}

func (w want) equal(o want) bool { return w.mode == o.mode && slices.Equal(w.sources, o.sources) }

// takes reports whether packets of a source are wanted.
func (w want) takes(source netip.Addr) bool {
	switch w.mode {
	case include:
		return contains(w.sources, source)
	case exclude:
		return !contains(w.sources, source)
	}
	return false
}

// merge returns what two want together (RFC 3376 section 3.2).
func (w want) merge(o want) want {
	switch {
	case w.mode == gone:
		return o
	case o.mode == gone:
		return w
	case w.mode == include && o.mode == include:
		return want{include, union(w.sources, o.sources)}
	case w.mode == exclude && o.mode == exclude:
		return want{exclude, both(w.sources, o.sources)}
	case w.mode == exclude:
		return want{exclude, minus(w.sources, o.sources)}
	}
	return want{exclude, minus(o.sources, w.sources)}
}
