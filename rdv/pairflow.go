package rdv

import (
	"net/netip"
	"time"

	"campagnol/punch/stream"
	"campagnol/rdv/relay"
)

// flowMemory is how long ago something may have been relayed so that an overview has it.
const flowMemory = 5 * time.Minute

// Of what it relays the server knows whose address at the relay it is, and the address of
// the other end. That is a member's if it is registered from there, or has it at the
// relay, too; or if nobody else is registered from that host: a NAT may give each
// destination another port.

// markRelayed notes which pairs have something relayed.
func markRelayed(pairs []PairInfo, clients []ClientInfo, flows []relay.Flow) {
	if len(flows) == 0 {
		return
	}
	who := newAttribution(clients)
	latest := map[[2]int]time.Time{}
	for _, f := range flows {
		a, okA := who.byAccount[f.User]
		b, okB := who.other(f)
		if !okA || !okB || a == b {
			continue
		}
		pair := [2]int{min(a, b), max(a, b)}
		if f.Last.After(latest[pair]) {
			latest[pair] = f.Last
		}
	}
	for i := range pairs {
		a, okA := who.byVPN[pairs[i].Asker]
		b, okB := who.byVPN[pairs[i].Asked]
		if okA && okB {
			pairs[i].RelayedAt = latest[[2]int{min(a, b), max(a, b)}]
		}
	}
}

// An attribution says whose addresses are. Clients are numbers in a list.
type attribution struct {
	byAccount  map[string]int
	byVPN      map[netip.Addr]int
	byEndpoint map[netip.AddrPort]int
	byHost     map[netip.Addr]int // nobody: several are
}

const nobody = -1

func newAttribution(clients []ClientInfo) *attribution {
	w := &attribution{map[string]int{}, map[netip.Addr]int{}, map[netip.AddrPort]int{}, map[netip.Addr]int{}}
	for i := range clients {
		c := &clients[i]
		if c.account.IsValid() {
			w.byAccount[c.account.String()] = i
		}
		for _, v := range c.VPN {
			w.byVPN[v] = i
		}
		at := unmapped(c.Endpoint)
		if !c.Stream {
			w.byEndpoint[at] = i
		}
		if _, several := w.byHost[at.Addr()]; several {
			i = nobody
		}
		w.byHost[at.Addr()] = i
	}
	return w
}

// other returns to whom something is relayed.
func (w *attribution) other(f relay.Flow) (int, bool) {
	if f.PeerUser != "" {
		i, ok := w.byAccount[f.PeerUser]
		return i, ok
	}
	at := unmapped(f.Peer)
	if i, ok := w.byEndpoint[at]; ok {
		return i, true
	}
	i, ok := w.byHost[at.Addr()]
	return i, ok && i != nobody
}

// unmapped returns an endpoint as it is compared.
func unmapped(at netip.AddrPort) netip.AddrPort {
	at = stream.Real(at)
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
