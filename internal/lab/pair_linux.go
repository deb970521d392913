package lab

import (
	"context"
	"fmt"
	"net/netip"
)

// pair4 is the network of two hosts with a cable of their own: documentation
// addresses (RFC 5737).
var pair4 = netip.MustParsePrefix("198.51.100.0/24")

// AddPair adds two hosts that one cable joins, without a bridge in between and
// without a way to the Internet: what is measured between them is theirs alone.
// Their interfaces are eth0, and their addresses 198.51.100.1 and 198.51.100.2
// in every pair. Their links are the two views of the one cable.
func (l *Lab) AddPair(first, second string) (*Host, *Host, error) {
	a, err := l.addNode(first)
	if err != nil {
		return nil, nil, err
	}
	b, err := l.addNode(second)
	if err != nil {
		return nil, nil, err
	}
	enda, endb := end{a.ns, "eth0"}, end{b.ns, "eth0"}
	a.link = &Link{near: enda, far: endb, addr4: nth(pair4, 1)}
	b.link = &Link{near: endb, far: enda, addr4: nth(pair4, 2)}
	if err := joinPair(a, b); err != nil {
		return nil, nil, fmt.Errorf("lab: join %s and %s: %w", first, second, err)
	}
	return &Host{Node: a}, &Host{Node: b}, nil
}

// joinPair lays the cable and returns when packets go through.
func joinPair(a, b *Node) error {
	if err := a.link.make(); err != nil {
		return err
	}
	for _, n := range []*Node{a, b} {
		if err := n.AddAddress(n.link.near.name, netip.PrefixFrom(n.link.addr4, pair4.Bits())); err != nil {
			return err
		}
	}
	if err := a.link.awaitUp(); err != nil {
		return err
	}
	r, err := a.Ping(context.Background(), b.Addr(), PingOptions{Count: 1, Patience: upPatience})
	if err == nil && r.Received() == 0 {
		err = fmt.Errorf("%v does not answer", r.To)
	}
	return err
}
