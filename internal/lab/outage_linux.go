package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// An Outage is a fault of the network: packets are lost, and nobody is told. It is safe
// for concurrent use.
type Outage struct {
	rules []*Rule
}

// LoseUDP loses all UDP, of either family, between the node and its side of the
// Internet: of a NAT, that of all hosts behind it. Everything else passes, as in a
// network that lets out nothing but the web.
func (n *Node) LoseUDP() (*Outage, error) {
	return newOutage(n.link, Match{Protocol: unix.IPPROTO_UDP}, Match{Protocol: unix.IPPROTO_UDP})
}

// Separate loses all that two nodes send each other, of whatever protocol, by their
// addresses on the Internet. Both reach everybody else, and may be reached by others on
// the other's behalf: what a relay passes on has the relay's address.
func Separate(a, b *Node) (*Outage, error) {
	o := &Outage{}
	for _, pair := range [][2]netip.Addr{{a.Addr(), b.Addr()}, {a.Addr6(), b.Addr6()}} {
		if !pair[0].IsValid() || !pair[1].IsValid() {
			continue
		}
		own, other := netip.PrefixFrom(pair[0], pair[0].BitLen()), netip.PrefixFrom(pair[1], pair[1].BitLen())
		part, err := newOutage(a.link, Match{Src: own, Dst: other}, Match{Src: other, Dst: own})
		if err != nil {
			return nil, errors.Join(err, o.End())
		}
		o.rules = append(o.rules, part.rules...)
	}
	return o, nil
}

// newOutage loses what matches in each of the directions of a cable.
func newOutage(k *Link, out, in Match) (*Outage, error) {
	o := &Outage{}
	for d, m := range map[Direction]Match{FromNode: out, ToNode: in} {
		r, err := k.Drop(d, m)
		if err != nil {
			return nil, errors.Join(err, o.End())
		}
		o.rules = append(o.rules, r)
	}
	return o, nil
}

// Lost returns how many packets were lost so far.
func (o *Outage) Lost() (packets uint64, err error) {
	for _, r := range o.rules {
		n, _, err := r.Hits()
		if err != nil {
			return packets, fmt.Errorf("lab: count what an outage has lost: %w", err)
		}
		packets += n
	}
	return packets, nil
}

// End heals the network. A second call returns an error that is os.ErrNotExist.
func (o *Outage) End() error {
	var errs []error
	for _, r := range o.rules {
		errs = append(errs, r.Remove())
	}
	return errors.Join(errs...)
}
