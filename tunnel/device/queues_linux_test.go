package device

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"

	"campagnol/tunnel/packet"
)

// A sighting is a packet that came out of a queue.
type sighting struct {
	queue int
	text  string
}

// readAll reads all queues until they end, and reports what came out of which.
func readAll(t *testing.T, k *Kernel) (seen <-chan sighting, ended *sync.WaitGroup) {
	ch := make(chan sighting, 1024)
	ended = new(sync.WaitGroup)
	for i, q := range append([]Queue{k}, k.More()...) {
		ended.Go(func() {
			for {
				ps, err := q.Read()
				if err != nil {
					if !errors.Is(err, os.ErrClosed) {
						t.Errorf("queue %d: %v", i, err)
					}
					return
				}
				for _, p := range ps {
					if info, err := packet.Parse(p.Data); err == nil && info.Dst == peer {
						ch <- sighting{i, string(p.Data[28:])}
					}
				}
			}
		})
	}
	return ch, ended
}

// TestQueues: each packet comes out of one queue, those of one flow out of the
// same; where the other direction is written, decides; and all end with Close.
func TestQueues(t *testing.T) {
	t.Parallel()
	enter(t)
	const queues, flows, rounds = 4, 32, 3
	k := mustOpen(t, Config{Queues: queues})
	if err := k.Configure(usual); err != nil {
		t.Fatal(err)
	}
	if got := 1 + len(k.More()); got != queues {
		t.Fatalf("%d queues, want %d", got, queues)
	}
	seen, ended := readAll(t, k)
	program := listen(t, "0.0.0.0:500")
	where := map[int]int{} // queue, by flow
	for round := range rounds {
		for f := range flows {
			sendTo(t, program, netip.AddrPortFrom(peer, uint16(1000+f)), fmt.Sprint(f))
		}
		for range flows {
			s := <-seen
			var f int
			fmt.Sscan(s.text, &f)
			if before, ok := where[f]; ok && before != s.queue {
				t.Errorf("round %d: a packet of flow %d comes out of queue %d, the one before out of %d", round, f, s.queue, before)
			}
			where[f] = s.queue
		}
	}
	used := map[int]bool{}
	for _, q := range where {
		used[q] = true
	}
	if len(used) < 2 {
		t.Errorf("%d flows come out of %d queue", flows, len(used))
	}

	// What comes in by a queue takes the answers with it.
	for i, q := range append([]Queue{k}, k.More()...) {
		from := netip.AddrPortFrom(peer, uint16(1000+i))
		if err := q.Write([]Packet{{Data: udpPacket(from, netip.AddrPortFrom(vpnAddr, 500), "in")}}); err != nil {
			t.Fatal(err)
		}
		datagram(t, program)
		sendTo(t, program, from, "answer")
		if s := <-seen; s.queue != i {
			t.Errorf("the answer to a packet that was written to queue %d comes out of queue %d", i, s.queue)
		}
	}
	k.Close()
	ended.Wait()
	if st := k.Stats(); st.Read < flows*rounds+queues || st.Written != queues {
		t.Errorf("stats %+v, want those of all queues", st)
	}
}

// TestQueuesOfExisting: a device that was made for one queue has one.
func TestQueuesOfExisting(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	for name, c := range map[string]struct {
		flags netlink.TuntapFlag
		want  int
	}{
		"one":  {netlink.TUNTAP_DEFAULTS, 1},
		"many": {netlink.TUNTAP_MULTI_QUEUE_DEFAULTS, 3},
	} {
		made := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TUN, Flags: c.flags, Queues: 1}
		if err := nl.LinkAdd(made); err != nil {
			t.Fatal(err)
		}
		for _, fd := range made.Fds {
			fd.Close()
		}
		k := mustOpen(t, Config{Name: name, Queues: 3})
		if got := 1 + len(k.More()); got != c.want {
			t.Errorf("%s: %d queues, want %d", name, got, c.want)
		}
		k.Close()
	}
	if k := mustOpen(t, Config{Queues: 3, Plain: true}); len(k.More()) != 0 {
		t.Errorf("%d queues without offloads, want one", 1+len(k.More()))
	}
}
