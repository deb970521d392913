package cipherlist

import (
	"slices"
	"sync"

	"campagnol/tunnel/record"
)

// An item is a suite in an order.
type item struct {
	suite  *suite
	traits traits
	bits   int
	ours   bool // the record layer speaks it
	active bool // a list has added it, and not deleted it since
}

// An order is the suites in the order in which a list would add, and has added
// them: OpenSSL keeps both in one list, so that what was deleted and is added
// again comes first.
type order []item

// natural returns the order that a list begins with, with nothing active. It is
// OpenSSL's since version 1.1: first what has forward secrecy and an AEAD, then
// by length of the key, where AES-GCM precedes ChaCha20 and ECDSA precedes RSA.
// The record layer's own order of preference is another one: who writes a list
// wants the list's.
func natural() order { return slices.Clone(naturalOrder()) }

var naturalOrder = sync.OnceValue(func() order {
	o := make(order, 0, len(suites))
	for i := range slices.Backward(suites[:]) { // the highest number first
		s := &suites[i]
		o = append(o, item{suite: s, traits: s.traits(), bits: s.bits(), ours: record.Suite(s.id).Known()})
	}
	o.add(traits{kx: kECDHE, auth: aECDSA})
	o.add(traits{kx: kECDHE})
	o.remove(traits{kx: kECDHE}) // they are the first now
	o.add(traits{enc: eGCM})
	o.add(traits{enc: eChaCha20})
	o.add(traits{enc: eAES &^ eGCM})
	o.add(traits{})

	o.toEnd(traits{mac: mMD5})
	o.toEnd(traits{auth: aNULL})
	o.toEnd(traits{kx: kECDHrsa | kECDHecdsa | kDHrsa | kDHdss})
	o.toEnd(traits{kx: kRSA})
	o.toEnd(traits{kx: kPSK})
	o.toEnd(traits{enc: eRC4})
	o.sortByStrength()

	o.toFront(traits{version: tls12})
	o.toFront(traits{mac: mAEAD})
	o.toFront(traits{kx: kDHE | kECDHE})
	o.toFront(traits{kx: kDHE | kECDHE, mac: mAEAD})
	o.remove(traits{})
	return o
})

// partition orders the items by whether they hit: those that do not come first,
// or last if hitFirst. Apart from that they keep their order. It returns the
// items that hit.
func (o order) partition(hitFirst bool, hit func(*item) bool) []item {
	chosen, rest := make([]item, 0, len(o)), make([]item, 0, len(o))
	for i := range o {
		if hit(&o[i]) {
			chosen = append(chosen, o[i])
		} else {
			rest = append(rest, o[i])
		}
	}
	if hitFirst {
		copy(o, chosen)
		copy(o[len(chosen):], rest)
		return o[:len(chosen)]
	}
	copy(o, rest)
	copy(o[len(rest):], chosen)
	return o[len(rest):]
}

// add makes the suites of want active that are not, behind those that are.
func (o order) add(want traits) {
	added := o.partition(false, func(it *item) bool { return !it.active && it.traits.has(want) })
	for i := range added {
		added[i].active = true
	}
}

// remove makes the active suites of want inactive, and the first to be added
// again.
func (o order) remove(want traits) {
	removed := o.partition(true, func(it *item) bool { return it.active && it.traits.has(want) })
	for i := range removed {
		removed[i].active = false
	}
}

// kill takes the suites of want out for good.
func (o *order) kill(want traits) {
	*o = slices.DeleteFunc(*o, func(it item) bool { return it.traits.has(want) })
}

// toEnd moves the active suites of want to the end.
func (o order) toEnd(want traits) {
	o.partition(false, func(it *item) bool { return it.active && it.traits.has(want) })
}

// toFront moves the active suites of want to the front.
func (o order) toFront(want traits) {
	o.partition(true, func(it *item) bool { return it.active && it.traits.has(want) })
}

// sortByStrength orders the active suites by the length of their keys, the
// longest first. Suites with the same length keep their order.
func (o order) sortByStrength() {
	for _, bits := range keyLengths {
		o.partition(false, func(it *item) bool { return it.active && it.bits == bits })
	}
}

// ours returns the suites in use that the record layer speaks and whose keys
// have at least so many bits.
func (o order) ours(bits int) []record.Suite {
	var list []record.Suite
	for i := range o {
		if it := &o[i]; it.active && it.ours && it.bits >= bits {
			list = append(list, record.Suite(it.suite.id))
		}
	}
	return list
}
