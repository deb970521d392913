package main

import (
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// A traffic is datagrams at a steady rate from one peer to another, through their tunnel,
// until stop. It counts what is sent and what comes.
type traffic struct {
	sent, received atomic.Int64
	from, to       *net.UDPConn
	flows, ended   atomic.Bool
	threads        sync.WaitGroup
}

const (
	// trafficSize is the length of a datagram without headers, in bytes.
	trafficSize = 1350

	// trafficBatch is how many leave, or are counted, with one system call at most.
	trafficBatch = 64

	// trafficStep is how long the sender waits between two bursts, and the receiver before
	// it looks again: who is woken for each datagram costs more than all the rest.
	trafficStep = 500 * time.Microsecond

	// trafficDrain is how long all that is under way needs at most.
	trafficDrain = 200 * time.Millisecond

	// trafficDebt is how far the sender may be behind before it gives up what it owes.
	trafficDebt = 5 * time.Millisecond

	// trafficBuffer is the size of the receiver's buffer, in bytes: it is not the one that
	// loses anything.
	trafficBuffer = 32 << 20
)

// newTraffic returns traffic at a rate, in bits of payload per second, that does not flow yet.
func newTraffic(t *testing.T, from, to *meshPeer, rate float64) *traffic {
	t.Helper()
	f := new(traffic)
	var err error
	if f.to, err = to.ListenUDP(netip.AddrPortFrom(to.vpn, 0)); err != nil {
		t.Fatal(err)
	}
	raw, err := f.to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, trafficBuffer)
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if err := from.Do(func() (err error) {
		f.from, err = net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.vpn, 0)), f.to.LocalAddr().(*net.UDPAddr))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	f.threads.Go(func() { f.send(t, rate/8/trafficSize) })
	f.threads.Go(f.receive)
	return f
}

// flow makes it flow, or not: then it waits until all that is under way has come. It
// returns the counts.
func (f *traffic) flow(on bool) trafficCount {
	f.flows.Store(on)
	if !on {
		time.Sleep(trafficDrain)
	}
	return f.count()
}

// stop ends it.
func (f *traffic) stop() {
	f.ended.Store(true)
	f.to.Close()
	f.threads.Wait()
	f.from.Close()
}

// messages returns buffers for one call.
func trafficMessages() []ipv4.Message {
	ms := make([]ipv4.Message, trafficBatch)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, trafficSize)}
	}
	return ms
}

// send sends so many datagrams per second. Its thread comes before all others on the
// machine: what is measured is not how the scheduler treats it.
func (f *traffic) send(t *testing.T, rate float64) {
	runtime.LockOSThread() // and the thread ends with the goroutine
	first := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 2}
	if err := unix.SchedSetAttr(0, &first, 0); err != nil {
		t.Errorf("the sender's priority: %v", err)
	}
	conn, ms := ipv4.NewPacketConn(f.from), trafficMessages()
	at, owed := time.Now(), 0.0
	for !f.ended.Load() {
		now := time.Now()
		owed = min(owed+rate*now.Sub(at).Seconds(), rate*trafficDebt.Seconds())
		at = now
		if !f.flows.Load() {
			owed = 0
		}
		if owed < 1 {
			ts := unix.NsecToTimespec(trafficStep.Nanoseconds())
			unix.Nanosleep(&ts, nil)
			continue
		}
		// A full queue is a loss like any other.
		n, err := conn.WriteBatch(ms[:min(int(owed), trafficBatch)], 0)
		if err != nil {
			n = 1
		}
		owed -= float64(n)
		f.sent.Add(int64(n))
	}
}

// receive counts what comes.
func (f *traffic) receive() {
	runtime.LockOSThread()
	conn, ms := ipv4.NewPacketConn(f.to), trafficMessages()
	for {
		n, err := conn.ReadBatch(ms, 0)
		if err != nil {
			return // closed
		}
		f.received.Add(int64(n))
		if n < trafficBatch {
			time.Sleep(trafficStep)
		}
	}
}

// A trafficCount is what a traffic has done by a time.
type trafficCount struct {
	at             time.Time
	sent, received int64
}

func (f *traffic) count() trafficCount {
	return trafficCount{time.Now(), f.sent.Load(), f.received.Load()}
}

// rate returns what has come between two counts, in bits of payload per second.
func (c trafficCount) rate(since trafficCount) float64 {
	return float64(c.received-since.received) * 8 * trafficSize / c.at.Sub(since.at).Seconds()
}
