package hard

// The range of ports that NATs take for mappings of others (RFC 4787 section 4.2.2).
const (
	firstPort = 1024
	portCount = 65536 - firstPort
)

// How ports are guessed where they are handed out in turn: first one by one, because
// what a server has seen is often a moment old; then as far apart as still hits four of
// 256 neighbours, since other hosts open flows between them. 16 and 1008 of these are
// the whole range.
const (
	nearby = 16
	stride = 64
)

// around is how many ports are tried on each side of the one that was observed, before
// others at random: some NATs stay close by.
const around = 4

// An order is a sequence of ports without repetition: that which was observed, what the
// hard NAT's way of handing them out makes likely, then all others at random.
type order struct {
	seed     uint64
	observed uint16
	step     int // as in Plan
	index    int // of the next in likely order
	shuffled int // how far the random part is
	seen     [65536 / 64]uint64
}

// next returns the next port, and false if there is none left.
func (o *order) next() (uint16, bool) {
	for {
		port, likely := o.likely(o.index)
		if !likely {
			break
		}
		o.index++
		if o.take(port) {
			return port, true
		}
	}
	for o.shuffled < 1<<16 {
		port := o.shuffle(uint16(o.shuffled))
		o.shuffled++
		if port >= firstPort && o.take(port) {
			return port, true
		}
	}
	return 0, false
}

// likely returns the i-th port that is likelier than others.
func (o *order) likely(i int) (uint16, bool) {
	switch {
	case i == 0 && o.observed != 0:
		// The mapping may be shared after all, or a NAT on the way may be kinder
		// than it looks; ordinary punches have opened it.
		return o.observed, true
	case o.step == 0 && i <= 2*around:
		d := (i + 1) / 2
		if i%2 == 0 {
			d = -d
		}
		return wrap(int(o.observed) + d), true
	case o.step != 0 && i <= nearby:
		return wrap(int(o.observed) + i*o.step), true
	case o.step != 0:
		k := nearby + (i-nearby)*stride
		return wrap(int(o.observed) + k*o.step), k < portCount+stride
	}
	return 0, false
}

// wrap returns the port at a position that may be beyond either end of the range.
func wrap(p int) uint16 {
	p = (p - firstPort) % portCount
	if p < 0 {
		p += portCount
	}
	return uint16(firstPort + p)
}

// take reports whether a port is new.
func (o *order) take(port uint16) bool {
	word, bit := &o.seen[port/64], uint64(1)<<(port%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// shuffle is a permutation of all 16-bit numbers that depends on the seed: a Feistel
// network, whose rounds need not be good, only different from what a NAT does.
func (o *order) shuffle(x uint16) uint16 {
	l, r := uint8(x>>8), uint8(x)
	for round := range uint64(4) {
		l, r = r, l^uint8(mix(o.seed^(round<<8|uint64(r))))
	}
	return uint16(l)<<8 | uint16(r)
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
