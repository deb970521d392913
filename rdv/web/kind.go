package web

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch/nat"
	"campagnol/rdv"
)

// A kind is how two members find each other, as the page shows it: words, a class of the
// style sheet, and a sign for who sees no colours.
type kind struct{ Word, Class, Sign string }

// What their NATs let expect. What becomes of it the server does not see.
var (
	kindDirect  = kind{"direct", "direct", "●"}
	kindGuess   = kind{"guess ports", "guess", "◐"}
	kindNone    = kind{"relay only", "none", "○"}
	kindUnknown = kind{"not known", "unknown", "?"}
)

// What the server has seen.
var (
	kindRelayed = kind{"relayed by this server", "relayed", "R"}
	kindRefused = kind{"refused by the policy", "refused", "×"}
)

// kindOf returns the kind of a prospect.
func kindOf(p nat.Prospect) kind {
	switch p {
	case nat.Direct:
		return kindDirect
	case nat.Guess:
		return kindGuess
	case nat.Hopeless:
		return kindNone
	}
	return kindUnknown
}

// expected returns what the NATs of two members let expect.
func expected(a, b *rdv.ClientInfo) kind {
	if !a.Channel || !b.Channel {
		return kindUnknown
	}
	return kindOf(nat.Meet(a.NAT, b.NAT))
}

const (
	// relayedLately is how long ago something was relayed between two members at most
	// for them to be called relayed. A session that has moved to a direct path uses
	// the relay no more.
	relayedLately = 45 * time.Second

	// refusedLately is how long a refusal is shown in the mesh. There may be another
	// policy by then.
	refusedLately = 10 * time.Minute
)

// A link is what there is between two members.
type link struct {
	a, b     int // in the list of clients; a has asked
	kind     kind
	expected kind
	since    time.Time // of the introduction, or the refusal
	why      string    // of a refusal
}

// linksOf returns the links between members that are registered, the latest first. Of
// each pair the latest counts.
func linksOf(o *rdv.Overview) []link {
	at := map[netip.Addr]int{}
	for i := range o.Clients {
		for _, v := range o.Clients[i].VPN {
			at[v] = i
		}
	}
	var list []link
	seen := map[[2]int]int{} // in list
	add := func(from, to netip.Addr, k link) {
		a, okA := at[from]
		b, okB := at[to]
		if !okA || !okB || a == b {
			return
		}
		k.a, k.b, k.expected = a, b, expected(&o.Clients[a], &o.Clients[b])
		if k.kind.Word == "" {
			k.kind = k.expected
		}
		pair := [2]int{min(a, b), max(a, b)}
		i, known := seen[pair]
		switch {
		case !known:
			seen[pair] = len(list)
			list = append(list, k)
		case k.since.After(list[i].since):
			list[i] = k
		}
	}
	for i := len(o.Refusals) - 1; i >= 0; i-- {
		if e := &o.Refusals[i]; e.Kind == rdv.Forbidden && o.Time.Sub(e.Time) < refusedLately {
			add(e.VPN, e.Peer, link{kind: kindRefused, since: e.Time, why: e.Why})
		}
	}
	for _, p := range o.Pairs {
		k := link{since: p.Time}
		if lately(p, o.Time) {
			k.kind = kindRelayed
		}
		add(p.Asker, p.Asked, k)
	}
	slices.SortStableFunc(list, func(x, y link) int { return y.since.Compare(x.since) })
	return list
}

// lately reports whether the server relays for a pair.
func lately(p rdv.PairInfo, now time.Time) bool {
	return !p.RelayedAt.IsZero() && now.Sub(p.RelayedAt) < relayedLately
}

// relayedNow returns with how many others members have something relayed.
func relayedNow(o *rdv.Overview) map[netip.Addr]int {
	list := map[netip.Addr]int{}
	for _, p := range o.Pairs {
		if lately(p, o.Time) {
			list[p.Asker]++
			list[p.Asked]++
		}
	}
	return list
}

// count writes a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
