package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch/nat"
)

// A Word is what an RDV has said last about where a peer is.
type Word struct {
	Server string // of the Settings
	Time   time.Time
	Why    string // it does not lead us there; empty: it has introduced the two of us
}

// A dossier is what is remembered of a peer beyond its sessions and tries, to explain
// how it is reached, and how often it was dialled in vain, and for nothing else.
type dossier struct {
	vpn   netip.Addr      // by which it is known, or asked for
	addrs []netip.Addr    // that belong to the same host, says the RDV
	name  string          // in the certificate of its last session
	nat   nat.Behaviour   // of the last introduction that tells it
	relay string          // why no relay was found when one was looked for last, for people; "": one was
	words map[string]Word // by RDV
	rest  rest            // before the next connection to it by TCP
}

// maxDossiers is how many peers are remembered, of which each has asked for us, or was
// asked for. The longest untouched is forgotten first.
const maxDossiers = 256

// dossiers are those of all peers. The zero value is empty.
type dossiers struct {
	list []*dossier // the longest untouched first
}

// find returns the dossier of a peer by any of its addresses, or nil. One that is
// about the address comes before one whose peer has it, too, says the RDV.
func (l *dossiers) find(vpn netip.Addr) *dossier {
	for _, d := range l.list {
		if d.vpn == vpn {
			return d
		}
	}
	for _, d := range l.list {
		if slices.Contains(d.addrs, vpn) {
			return d
		}
	}
	return nil
}

// of returns the dossier about an address, which is touched.
func (l *dossiers) of(vpn netip.Addr) *dossier {
	if i := slices.IndexFunc(l.list, func(d *dossier) bool { return d.vpn == vpn }); i >= 0 {
		d := l.list[i]
		l.list = append(slices.Delete(l.list, i, i+1), d)
		return d
	}
	if len(l.list) == maxDossiers {
		l.list = slices.Delete(l.list, 0, 1)
	}
	d := &dossier{vpn: vpn, words: map[string]Word{}}
	l.list = append(l.list, d)
	return d
}

// introduced notes that an RDV has introduced us to the peer with these addresses,
// which is behind b as far as it knows.
func (l *dossiers) introduced(now time.Time, server string, vpn netip.Addr, addrs []netip.Addr, b nat.Behaviour) {
	// What was said of another address of the host, when that was asked for, is old.
	l.list = slices.DeleteFunc(l.list, func(o *dossier) bool { return o.vpn != vpn && slices.Contains(addrs, o.vpn) })
	d := l.of(vpn)
	d.addrs = slices.Clone(addrs[:min(len(addrs), MaxPeerAddrs)])
	if b.Known {
		d.nat = b
	}
	d.say(Word{Server: server, Time: now})
}

// against notes that an RDV does not lead us to a peer, and why.
func (l *dossiers) against(now time.Time, server string, vpn netip.Addr, why string) {
	l.of(vpn).say(Word{Server: server, Time: now, Why: why})
}

// say takes what an RDV has said. Of RDVs there are few at a time, but the settings may
// have named others before.
func (d *dossier) say(w Word) {
	if _, known := d.words[w.Server]; !known && len(d.words) >= maxServers {
		clear(d.words)
	}
	d.words[w.Server] = w
}
