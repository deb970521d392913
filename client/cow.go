package client

import "maps"

// A cow is an immutable map. Its with and without return a changed copy, which
// shares with the old one all but the part that differs: a table of 10,000 peers
// is copied in microseconds, while any number of goroutines read the old one.
type cow[K comparable, V any] struct {
	parts *[cowParts]map[K]V // nil: empty
	n     int
}

// cowParts is how many parts a cow has. A change copies one of them, and the
// array.
const cowParts = 256

// get returns the value of k. part says which part k is in; it must be the same
// at each call.
func (c cow[K, V]) get(part uint8, k K) (V, bool) {
	if c.parts == nil {
		var zero V
		return zero, false
	}
	v, ok := c.parts[part][k]
	return v, ok
}

func (c cow[K, V]) len() int { return c.n }

// with returns a copy in which k has the value v.
func (c cow[K, V]) with(part uint8, k K, v V) cow[K, V] {
	next, m := c.fork(part)
	m[k] = v
	next.n += len(m) - len(c.part(part))
	return next
}

// without returns a copy that lacks k.
func (c cow[K, V]) without(part uint8, k K) cow[K, V] {
	if _, ok := c.get(part, k); !ok {
		return c
	}
	next, m := c.fork(part)
	delete(m, k)
	next.n--
	return next
}

func (c cow[K, V]) part(part uint8) map[K]V {
	if c.parts == nil {
		return nil
	}
	return c.parts[part]
}

// fork returns a copy of c and the part of it that may be changed.
func (c cow[K, V]) fork(part uint8) (cow[K, V], map[K]V) {
	next := cow[K, V]{parts: new([cowParts]map[K]V), n: c.n}
	if c.parts != nil {
		*next.parts = *c.parts
	}
	m := maps.Clone(c.part(part))
	if m == nil {
		m = make(map[K]V)
	}
	next.parts[part] = m
	return next, m
}
