package main

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
	play "campagnol/internal/lab/program"
)

// steadyTime is how long a member stays whom nobody but its own node asks: longer than
// until the second general query, and in the long form longer than a
// report is good for.
var steadyTime = 36 * time.Second

// TestTAPFilm: films go to those who want them, at once, to nobody else, and to them no
// longer than they do. Three kernels send, receive, report and leave; no router and no
// querier but those of the members is there.
func TestTAPFilm(t *testing.T) {
	t.Parallel()
	n := newTAPNet(t, "vlans = 0, 42, 43", lab.PortRestricted, lab.FullCone, lab.None)
	n.settles()
	f := &films{tapNet: n, a: n.peers[0], b: n.peers[1], c: n.peers[2]}
	f.tapB, f.tapC = n.tap(f.b), n.tap(f.c)
	f.wireB, f.wireC = n.underlay(f.b), n.underlay(f.c)
	f.viewer = n.viewer(f.b.Node, "tap9")
	f.began = clock.Now()

	const steady = "239.1.2.3"
	film := n.film(f.a.Node, play.SenderOptions{}, steady)
	since := f.viewer.join(steady, "")
	f.viewer.first(steady, since)
	for _, c := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"join", f.join}, {"leave", f.leave}, {"one MAC", f.oneMAC}, {"source", f.source},
		{"MLD", f.mld}, {"VLAN", f.vlans}, {"unasked", f.unasked},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.t = t // of whom helpers complain to
			c.test(t)
		})
	}
	n.t = t
	time.Sleep(steadyTime - clock.Now().Sub(f.began))
	n.must(film.Stop())
	n.ends(f.tapB, steady)
	s := n.whole("a steady member", f.viewer.got(steady), time.Second)
	t.Logf("a steady member without a querier has got %d datagrams in %v, the slowest after %v [the rival: dark at 260 s]", s.Received, s.Last.Sub(s.First).Round(time.Second), s.Slowest)
	if got := f.wireC.records(f.began); got != 0 {
		t.Errorf("%d records of films have come to a member that wants none, want 0", got)
	}
	records, frames := f.wireB.records(f.began), 0
	for _, s := range f.tapB.Seen() {
		frames += len(s.Frame.Payload) / filmSize // the client joins what comes at once
	}
	if records != frames {
		t.Errorf("%d records of films have come to a member, for %d frames", records, frames)
	}
	t.Logf("records of films to a member: %d, for %d frames; to one that wants none: 0 [0]", records, frames)
}

// films is TestTAPFilm: a sends, b wants, and c gets nothing.
type films struct {
	*tapNet
	a, b, c      *meshPeer
	tapB, tapC   *lab.Watch
	wireB, wireC *underlay
	viewer       *viewer
	began        clock.Instant
}

// firstLimit is how long the first datagram of a film may take after the join, in most
// of the tries; a busy machine gets several rounds of them.
const (
	firstLimit  = 50 * time.Millisecond
	firstRounds = 6
)

// joins measures the first datagrams after joins of groups that are sent already.
func (f *films) joins(t *testing.T, what, source string, groups []string) {
	t.Helper()
	var took []time.Duration
	for range firstRounds {
		took = took[:0]
		for i, g := range groups {
			// What follows the last datagram at once would wait longest for the next.
			time.Sleep(time.Second / filmRate * time.Duration(i) / time.Duration(len(groups)))
			at := f.viewer.join(g, source)
			took = append(took, f.viewer.first(g, at).At.Sub(at))
		}
		for _, g := range groups {
			f.viewer.leave(g, source)
		}
		slices.Sort(took)
		if took[len(took)/2] <= firstLimit {
			break
		}
		f.ends(f.tapB, groups[len(groups)-1]) // of what is joined anew
	}
	t.Logf("%s: first datagram after %v, in the middle %v [30 ms]", what, took, took[len(took)/2])
	if got := took[len(took)/2]; got > firstLimit {
		t.Errorf("%s: the first datagram comes after %v, want %v at most", what, got, firstLimit)
	}
}

func (f *films) join(t *testing.T) {
	var groups []string
	for i := range 9 {
		groups = append(groups, fmt.Sprintf("239.1.3.%d", i))
	}
	s := f.film(f.a.Node, play.SenderOptions{}, groups...)
	f.joins(t, "join", "", groups)
	f.must(s.Stop())
}

func (f *films) leave(t *testing.T) {
	const group = "239.1.4.1"
	s := f.film(f.a.Node, play.SenderOptions{}, group)
	f.viewer.first(group, f.viewer.join(group, ""))
	left := f.viewer.leave(group, "")
	took := f.ends(f.tapB, group).Sub(left)
	t.Logf("last frame %v after the leave, with a querier nowhere [260 s]", took)
	if took > 3*time.Second {
		t.Errorf("the last frame comes %v after the leave, want 3 s at most", took)
	}
	f.must(s.Stop())
}

// oneMAC: three groups have one MAC, and one of them is wanted.
func (f *films) oneMAC(t *testing.T) {
	all := []string{"239.1.5.1", "239.129.5.1", "238.1.5.1"}
	s := f.film(f.a.Node, play.SenderOptions{}, all...)
	at := f.viewer.join(all[0], "")
	f.viewer.first(all[0], at.Add(time.Second))
	f.must(s.Stop())
	f.viewer.leave(all[0], "")
	for _, g := range all {
		want := g == all[0]
		if got := f.tapB.Count(isFilm(g)); got > 0 != want {
			t.Errorf("%d frames of %s arrive, want some: %v", got, g, want)
		}
	}
	f.whole("one of three groups with one MAC", f.viewer.got(all[0]), time.Second)
	t.Logf("one of three groups with one MAC is wanted, and comes alone [all three come]")
}

// source: who wants one source gets no other.
func (f *films) source(t *testing.T) {
	const group, good, bad = "232.1.2.3", "10.9.0.1", "10.9.0.101"
	f.must(f.a.Interface("tap9").AddAddress(netip.MustParsePrefix(bad + "/24")))
	groups := []string{group, "232.1.2.4", "232.1.2.5"}
	s1 := f.film(f.a.Node, play.SenderOptions{Source: netip.MustParseAddr(good)}, groups...)
	s2 := f.film(f.a.Node, play.SenderOptions{Source: netip.MustParseAddr(bad)}, groups...)
	f.joins(t, "join of one source", good, groups)
	f.must(s1.Stop())
	f.must(s2.Stop())
	for _, g := range groups {
		if got := f.tapB.Count(func(s lab.Sighting) bool { return isFilm(g)(s) && s.Frame.SrcIP.String() == bad }); got != 0 {
			t.Errorf("%d frames of %s from another source, want 0", got, g)
		}
	}
}

// mld: the same over IPv6.
func (f *films) mld(t *testing.T) {
	groups := []string{"ff15::1:3", "ff15::1:4", "ff15::1:5"}
	s := f.film(f.a.Node, play.SenderOptions{}, groups...)
	f.joins(t, "MLDv2 join", "", groups)
	f.must(s.Stop())
	if got := f.tapC.Count(func(s lab.Sighting) bool { return s.Frame.DstPort == filmPort && s.Frame.DstIP.Is6() }); got != 0 {
		t.Errorf("%d frames come to a member that has joined nothing, want 0", got)
	}
}

// vlans: groups of one VLAN have nothing to do with those of another, and what is in a
// VLAN that is not carried goes nowhere.
func (f *films) vlans(t *testing.T) {
	tapA := f.tap(f.a)
	const group, from, host = "239.1.6.1", "198.51.100.1", "198.51.100.2"
	sender, member := frame.MAC{2, 0, 0, 0, 6, 1}, frame.MAC{2, 0, 0, 0, 6, 2}
	f.send(f.tapB, reportOf(member, host, group, 42))
	text := ""
	for i := range 200 { // until the report is through
		text = fmt.Sprintf("tagged %d", i)
		f.send(tapA, udpTo(sender, from, group, 42, text))
		time.Sleep(20 * time.Millisecond)
		if f.tapB.Count(says(text)) > 0 {
			break
		}
	}
	if got := f.arrives(f.tapB, text).Frame.Tags; len(got) != 1 || got[0].VID != 42 || got[0].Priority != 3 {
		t.Errorf("the frame arrives with the tags %v, want VLAN 42 with priority 3", got)
	}
	for _, vid := range []uint16{0, 43, 44} {
		f.send(tapA, udpTo(sender, from, group, vid, fmt.Sprintf("in VLAN %d", vid)))
		f.send(tapA, udpTo(sender, from, "255.255.255.255", vid, fmt.Sprintf("to all in VLAN %d", vid)))
	}
	f.send(tapA, udpTo(sender, from, group, 42, "the last"))
	f.arrives(f.tapB, "the last")
	f.arrives(f.tapC, "to all in VLAN 43")
	for text, want := range map[string]int{
		"in VLAN 0": 0, "in VLAN 43": 0, "in VLAN 44": 0, "to all in VLAN 0": 1, "to all in VLAN 43": 1, "to all in VLAN 44": 0,
	} {
		if got := f.tapB.Count(says(text)); got != want {
			t.Errorf("%q arrives %d times, want %d", text, got, want)
		}
	}
	if got := f.tapC.Count(isFilm(group)); got != 0 {
		t.Errorf("%d frames of the group come to who has not joined it, want 0", got)
	}
}

// unasked: what works on every LAN without being asked for.
func (f *films) unasked(t *testing.T) {
	tapA := f.tap(f.a)
	for _, group := range []string{"224.0.0.251", "224.0.0.1", "ff02::1"} {
		from := "10.9.0.1"
		if netip.MustParseAddr(group).Is6() {
			from = "fe80::1"
		}
		f.send(tapA, udpTo(frame.MAC{2, 0, 0, 0, 7, 1}, from, group, 0, "to "+group))
		f.arrives(f.tapB, "to "+group)
		f.arrives(f.tapC, "to "+group)
	}
	r, err := f.a.Ping(f.soon(), netip.MustParseAddr("10.9.0.3"), lab.PingOptions{Count: 3})
	if err != nil || r.Received() != 3 {
		t.Errorf("among all that, a ping: %v (%v)", r, err)
	}
}
