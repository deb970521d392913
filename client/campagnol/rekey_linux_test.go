package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestRekey: fresh keys every two seconds under a stream of numbered packets, for
// ten seconds.
func TestRekey(t *testing.T) {
	t.Parallel()
	testRekey(t, 3*time.Second, 10*time.Second, 60e6)
}

// testRekey sends numbered packets through a tunnel, at first for a while with keys
// that last and then with fresh ones every two seconds. None may be lost that the
// machine does not lose by itself, and none may come twice.
//
// What the machine loses depends on what else it does. The rate, in bits a second,
// is halved until it loses nothing without fresh keys; what is lost later all the
// same must not be lost between the clients.
func testRekey(t *testing.T, without, length time.Duration, rate float64) {
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	sockets := []string{a.withSocket(), b.withSocket()}
	for _, p := range m.peers {
		p.configure("[SECURITY]\nrekey_time = 0\n[CLIENT]\ntxqueue = 5000\n") // 0.1 s at 500 Mbit/s
		p.start()
	}
	a.ping(b, 5)
	const leastRate = 5e6
	for ; ; rate /= 2 {
		before := tallyOf(t, a, b, sockets)
		r := numbered(t, a, b, rate, without)
		t.Logf("without fresh keys, at %.0f Mbit/s: %v; %v", rate/1e6, r, tallyOf(t, a, b, sockets).since(before))
		if r.lost() == 0 || rate/2 < leastRate {
			break
		}
	}
	for i, p := range m.peers {
		if n := peerOf(t, statusAt(t, sockets[i]), m.peers[1-i].vpn).Rekeys; n != 0 {
			t.Errorf("%s got fresh keys %d times with rekey_time = 0", p.Name(), n)
		}
	}
	for _, p := range m.peers {
		p.edit("rekey_time = 0\n", "rekey_time = 2\n")
		m.awaitSince(p.process, p.signal(syscall.SIGHUP), "reloading the configuration")
	}

	before := tallyOf(t, a, b, sockets)
	r := numbered(t, a, b, rate, length)
	after := tallyOf(t, a, b, sockets)
	change := after.since(before)
	t.Logf("with fresh keys %d and %d times, at %.0f Mbit/s: %v; %v", after.a.Rekeys, after.b.Rekeys, rate/1e6, r, change)
	if r.twice != 0 {
		t.Errorf("%d packets came twice", r.twice)
	}
	if change.between > change.wire {
		t.Errorf("%d packets were lost between the clients, of which the kernel explains %d", change.between, change.wire)
	}
	if lost := uint64(r.lost()); lost > change.between+change.hosts {
		t.Errorf("%d packets were lost, %d of them between the clients, and the kernel explains %d more", lost, change.between, change.hosts)
	}
	for reason, n := range change.drops {
		t.Errorf("%d packets dropped for %s", n, reason)
	}
	atLeast := int(length/(2*time.Second)) - 1
	if after.a.Rekeys < atLeast || after.b.Rekeys < atLeast || after.a.RekeyFailures+after.b.RekeyFailures != 0 {
		t.Errorf("fresh keys %d and %d times, and %d and %d failures; want at least %d and none",
			after.a.Rekeys, after.b.Rekeys, after.a.RekeyFailures, after.b.RekeyFailures, atLeast)
	}
	for _, p := range m.peers {
		if n := p.count("New DTLS connection opened with peer"); n != 1 {
			t.Errorf("%s opened %d connections, want one", p.Name(), n)
		}
	}
}

// A tally is what both clients and the kernel have counted.
type tally struct {
	a, b    control.Peer      // what each end says of the other
	between uint64            // packets that one client has sent and the other has not received
	wire    uint64            // datagrams for which the kernel had no room there
	hosts   uint64            // packets for which it had none before and behind the clients
	drops   map[string]uint64 // by the clients, for what fresh keys could be the reason
}

// since returns what has been counted since an earlier tally.
func (l tally) since(earlier tally) tally {
	change := tally{
		between: l.between - earlier.between, wire: l.wire - earlier.wire, hosts: l.hosts - earlier.hosts,
		drops: map[string]uint64{},
	}
	for reason, n := range l.drops {
		if n > earlier.drops[reason] {
			change.drops[reason] = n - earlier.drops[reason]
		}
	}
	return change
}

func (l tally) String() string {
	return fmt.Sprintf("%d lost between the clients, the kernel had no room there for %d, and elsewhere for %d", l.between, l.wire, l.hosts)
}

func tallyOf(t *testing.T, a, b *meshPeer, sockets []string) tally {
	t.Helper()
	l := tally{drops: map[string]uint64{}}
	for i, socket := range sockets {
		s := statusAt(t, socket)
		if i == 0 {
			l.a = peerOf(t, s, b.vpn)
		} else {
			l.b = peerOf(t, s, a.vpn)
		}
		l.wire += s.Drops.Socket["buffer_full"] + s.Drops.Socket["unsent"]
		for _, reason := range []string{"auth", "epoch", "replay", "short", "no_peer", "not_ip", "source", "refused"} {
			l.drops[reason] += s.Drops.Client[reason]
		}
	}
	l.between = l.a.PacketsOut - l.b.PacketsIn
	l.wire += kernelDropped(t)
	a.tun(func(link netlink.Link) error {
		l.hosts += link.Attrs().Statistics.TxDropped // the client was behind
		return nil
	})
	l.hosts += socketsFull(t, b)
	return l
}

// kernelDropped returns how many packets the kernel has dropped because a processor
// was behind, on the whole machine.
func kernelDropped(t *testing.T) (n uint64) {
	t.Helper()
	b, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		dropped, err := strconv.ParseUint(strings.Fields(line)[1], 16, 64) // the second column
		if err != nil {
			t.Fatal(err)
		}
		n += dropped
	}
	return n
}

// socketsFull returns how many UDP datagrams the sockets on a peer's host had no room
// for, the client's own included.
func socketsFull(t *testing.T, p *meshPeer) uint64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", p.process.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		i := slices.Index(names, "RcvbufErrors")
		switch {
		case fields[0] != "Udp:":
		case names == nil:
			names = fields
		case i < 0 || i >= len(fields):
			t.Fatalf("the kernel does not count RcvbufErrors:\n%s", b)
		default:
			n, err := strconv.ParseUint(fields[i], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("the kernel counts nothing of UDP:\n%s", b)
	return 0
}

// numberedSize is the size of a numbered packet's UDP payload, in bytes.
const numberedSize = 1200

// A numberedResult is what became of a stream of numbered packets.
type numberedResult struct {
	sent, arrived, twice int
	unsent               int // refused by the sender's own kernel
	took                 time.Duration
}

func (r numberedResult) lost() int { return r.sent - r.arrived }

func (r numberedResult) String() string {
	return fmt.Sprintf("%d packets sent in %v and %d refused, %d lost, %d came twice",
		r.sent, r.took.Round(time.Millisecond), r.unsent, r.lost(), r.twice)
}

// numbered sends packets from one peer to another for a while, at a rate in bits a
// second, and looks which arrive.
func numbered(t *testing.T, from, to *meshPeer, rate float64, length time.Duration) (r numberedResult) {
	t.Helper()
	in, err := to.ListenUDP(netip.AddrPortFrom(to.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := from.ListenUDP(netip.AddrPortFrom(from.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	roomy(t, in)

	perSecond := rate / (8 * numberedSize)
	total := int(perSecond * length.Seconds())
	var sent atomic.Int64
	var receiver sync.WaitGroup
	receiver.Go(func() { r.arrived, r.twice = receiveNumbered(t, in, total, &sent) })
	packet := make([]byte, numberedSize)
	addr := in.LocalAddr().(*net.UDPAddr).AddrPort()
	begun := time.Now()
	for n := 0; n < total; {
		// A few at a time: what a stall has kept back does not come at once.
		due := min(int(time.Since(begun).Seconds()*perSecond)+1, total)
		for burst := 0; n < due && burst < 256; burst++ {
			binary.BigEndian.PutUint64(packet, uint64(n))
			n++
			if _, err := out.WriteToUDPAddrPort(packet, addr); err != nil {
				r.unsent++
				continue
			}
			r.sent++
			sent.Add(1)
		}
		time.Sleep(500 * time.Microsecond)
	}
	r.took = time.Since(begun)
	// The last ones are on their way.
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if sent.Load() == 0 {
			break
		}
	}
	in.SetReadDeadline(time.Unix(1, 0))
	receiver.Wait()
	return r
}

// roomy gives a socket a large receive buffer, for when others have the processor.
func roomy(t *testing.T, conn *net.UDPConn) {
	t.Helper()
	const size = 16 << 20
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
	})
	if err := errors.Join(failed, err); err != nil {
		t.Fatal(err)
	}
}

// receiveNumbered receives numbered packets until the socket's deadline. It takes
// each from missing.
func receiveNumbered(t *testing.T, conn *net.UDPConn, total int, missing *atomic.Int64) (arrived, twice int) {
	seen := make([]bool, total)
	b := make([]byte, 2*numberedSize)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return arrived, twice
		}
		number := binary.BigEndian.Uint64(b)
		switch {
		case n != numberedSize || number >= uint64(total):
			t.Errorf("a packet of %d bytes with number %d arrived", n, number)
		case seen[number]:
			twice++
		default:
			seen[number] = true
			arrived++
			missing.Add(-1)
		}
	}
}
