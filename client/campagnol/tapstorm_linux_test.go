package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
	play "campagnol/internal/lab/program"
)

const (
	stormLimit = 1000   // what the members let pass of each other, in frames a second
	stormRate  = 10_000 // what one of them sends
	stormTime  = time.Second
)

// TestTAPStorm: a host that sends broadcasts as fast as it can is held back where it is,
// and if its member is one that does not, then where the storm arrives. Everybody else's
// traffic goes on.
func TestTAPStorm(t *testing.T) {
	// Not parallel: who watches the cables has to keep up with the storm.
	n := newTAPNet(t, fmt.Sprintf("storm_rate = %d", stormLimit), lab.None, lab.None, lab.None)
	a, b := n.peers[0], n.peers[1]
	wire := n.underlay(b)
	n.storm("held back where it is")
	// The limit lets pass a quarter of a second's worth at once.
	most := int((stormTime+2*time.Second).Seconds()*stormLimit) + stormLimit/4
	if got := wire.records(0); got > most {
		t.Errorf("%d frames leave the member, want %d at most", got, most)
	}
	n.must(a.process.Stop())
	a.configure("[ETHERNET]\nstorm_rate = 0\n")
	a.start()
	n.meshed()
	began := clock.Now()
	n.storm("held back where it arrives")
	if got := wire.records(began); got < most {
		t.Errorf("only %d frames arrive, want a storm of more than %d", got, most)
	}
}

// storm has the first peer send broadcasts, while the others talk to each other.
func (n *tapNet) storm(what string) {
	n.t.Helper()
	a, b, c := n.peers[0], n.peers[1], n.peers[2]
	tap := n.tap(b)
	const channel = "239.1.2.3"
	film, v := n.film(c.Node, play.SenderOptions{}, channel), n.viewer(b.Node, "tap9")
	v.first(channel, v.join(channel, ""))
	began, busy := clock.Now(), busyTime(n, b)
	storm := n.film(a.Node, play.SenderOptions{Rate: stormRate}, "255.255.255.255")
	r, err := c.Ping(n.soon(), b.vpn, lab.PingOptions{Count: int(stormTime / (20 * time.Millisecond)), Interval: 20 * time.Millisecond})
	n.must(err)
	sent, err := storm.Pause(n.soon())
	n.must(err)
	n.must(storm.Stop())
	took := sent.Last.Sub(sent.First)
	busy = busyTime(n, b) - busy
	got := tap.Count(isFilm("255.255.255.255"))
	n.t.Logf("%s: of %d broadcasts in %v %d reach a host; the client there is busy for %v; a ping meanwhile takes %v", what, sent.Count, took.Round(time.Millisecond), got, busy, r.Median())
	if most := int(took.Seconds()*stormLimit*1.1) + stormLimit/4; got > most || got == 0 {
		n.t.Errorf("%s: %d of %d broadcasts reach a host, want %d at most, and some", what, got, sent.Count, most)
	}
	if lost := len(r.RTT) - r.Received(); lost > 0 {
		n.t.Errorf("%s: %d of %d pings between others are lost", what, lost, len(r.RTT))
	}
	// On a machine that is short of everything, the kernel may drop what it likes.
	s := play.Summarise(play.Between(v.got(channel), began, 0), time.Second)
	if s.Lost > s.Received/50 || len(s.Gaps) > 0 {
		n.t.Errorf("%s: of a film between others %d are lost, %d arrive, with gaps %v", what, s.Lost, s.Received, s.Gaps)
	}
	n.must(film.Stop())
	n.must(v.r.Stop())
}

// busyTime returns for how long a client's process has had a processor.
func busyTime(n *tapNet, p *meshPeer) time.Duration {
	n.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.PID()))
	n.must(err)
	_, rest, _ := bytes.Cut(b, []byte(") ")) // its name may hold anything
	fields, ticks := bytes.Fields(rest), 0
	for _, i := range []int{11, 12} { // proc_pid_stat(5): utime, stime
		v, err := strconv.Atoi(string(fields[i]))
		n.must(err)
		ticks += v
	}
	return time.Duration(ticks) * time.Second / 100
}

// TestTAPAddresses: nobody gets another's frames by sending from its address; one that
// is nobody's own may move, but not to and fro; and it may be in two places at once if
// these are in two VLANs.
func TestTAPAddresses(t *testing.T) {
	t.Parallel()
	n := newTAPNet(t, "", lab.None, lab.PortRestricted, lab.None)
	a, b, c := n.peers[0], n.peers[1], n.peers[2]
	tapA, tapB, tapC := n.tap(a), n.tap(b), n.tap(c)
	macA, macB := n.macOf(a), n.macOf(b)
	all := frame.Broadcast
	h := func(dst, src frame.MAC, vid uint16) frame.Header {
		h := frame.Header{Dst: dst, Src: src, SrcIP: netip.MustParseAddr("198.51.100.1"), DstIP: netip.MustParseAddr("198.51.100.2")}
		if vid != 0 {
			h.Tags = []frame.Tag{{VID: vid}}
		}
		return h
	}
	say := func(w *lab.Watch, h frame.Header, text string) {
		n.send(w, frame.UDP(h, filmPort, filmPort, []byte(text)))
	}

	say(tapC, h(all, macA, 0), "theft")
	say(tapC, h(macB, macA, 0), "theft")
	say(tapB, h(macA, macB, 0), "to its owner")
	n.arrives(tapA, "to its owner")
	n.await(c.process, "A peer has sent from a hardware address that is another's; dropped")

	// A host behind a bridge, which somebody else claims again and again.
	guest := frame.MAC{2, 0, 0, 0, 8, 1}
	for i := 0; i < 40 && b.count("A hardware address moves to and fro") == 0; i++ {
		say(tapA, h(all, guest, 0), fmt.Sprintf("here %d", i))
		n.arrives(tapB, fmt.Sprintf("here %d", i))
		say(tapC, h(all, guest, 0), fmt.Sprintf("no, here %d", i))
		if i < 2 {
			n.arrives(tapB, fmt.Sprintf("no, here %d", i))
		}
		time.Sleep(50 * time.Millisecond) // a move is learned a moment later
	}
	n.await(b.process, "A hardware address moves to and fro; it stays where it was")
	say(tapB, h(guest, macB, 0), "to the guest")
	n.arrives(tapA, "to the guest")

	// One address in two VLANs.
	say(tapA, h(all, guest, 10), "in VLAN 10")
	n.arrives(tapB, "in VLAN 10")
	say(tapC, h(all, guest, 20), "in VLAN 20")
	n.arrives(tapB, "in VLAN 20")
	time.Sleep(100 * time.Millisecond)
	for vid, to := range map[uint16]*lab.Watch{10: tapA, 20: tapC} {
		text := fmt.Sprintf("to VLAN %d", vid)
		say(tapB, h(guest, macB, vid), text)
		n.arrives(to, text)
	}
	for _, w := range []struct {
		name   string
		w      *lab.Watch
		absent []string
	}{{"a", tapA, []string{"theft", "to VLAN 20"}}, {"b", tapB, []string{"theft"}}, {"c", tapC, []string{"to its owner", "to the guest", "to VLAN 10"}}} {
		for _, text := range w.absent {
			if got := w.w.Count(says(text)); got != 0 {
				t.Errorf("%q comes to %s %d times, want 0", text, w.name, got)
			}
		}
	}
}

// macOf returns the address of a peer's virtual interface.
func (n *tapNet) macOf(p *meshPeer) frame.MAC {
	n.t.Helper()
	mac, err := p.Interface("tap9").MAC()
	n.must(err)
	return frame.MAC(mac)
}
