package udp

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"campagnol/punch"
)

// without returns an opener of sockets that lack features, as if the kernel
// had refused them.
func without(change func(*Features)) opener {
	want := allFeatures
	change(&want)
	return func(cfg Config) (testConn, error) { return asTestConn(open(cfg, want, payloadSize)) }
}

// TestFallbacks runs the tests of all sockets on those of kernels that lack a
// feature.
func TestFallbacks(t *testing.T) {
	for name, change := range map[string]func(*Features){
		"no GSO":         func(f *Features) { f.GSO = false },
		"no GRO":         func(f *Features) { f.GRO = false },
		"no recvmmsg":    func(f *Features) { f.RecvBatch = false },
		"no sendmmsg":    func(f *Features) { f.SendBatch = false },
		"no pktinfo":     func(f *Features) { f.PacketInfo = false },
		"no ecn":         func(f *Features) { f.ECN = false },
		"no error queue": func(f *Features) { f.ErrorQueue = false },
		"nothing":        func(f *Features) { *f = Features{DontFragment: true} },
	} {
		t.Run(name, func(t *testing.T) {
			want := allFeatures
			change(&want)
			if got := mustOpen(t, without(change), "0.0.0.0").Features(); got.String() != want.String() {
				t.Fatalf("features %q, want %q", got, want)
			}
			testConns(t, without(change))
		})
	}
}

// TestAllFeatures checks that this kernel (5.0 and later) has everything, so
// that the other tests test it, and that nothing is logged then.
func TestAllFeatures(t *testing.T) {
	var log logBuffer
	c, err := Listen(Config{
		Addr: netip.MustParseAddrPort("0.0.0.0:0"), RcvBuf: 1 << 17, SndBuf: 1 << 17, Log: log.logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := c.Features()
	if f.Missing() != "" {
		t.Errorf("missing: %s", f.Missing())
	}
	if f.RcvBuf < 1<<17 || f.SndBuf < 1<<17 {
		t.Errorf("buffers of %d and %d bytes, want %d", f.RcvBuf, f.SndBuf, 1<<17)
	}
	if lines := log.lines(); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}

func TestMissingIsLogged(t *testing.T) {
	var log logBuffer
	cfg := Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), RcvBuf: 4 << 20, SndBuf: 1 << 20}
	logFeatures(log.logger(), cfg.Addr, cfg, Features{GRO: true, RcvBuf: 212992, SndBuf: 1 << 20})
	lines := log.lines()
	if len(lines) != 2 {
		t.Fatalf("logged %q, want two lines", lines)
	}
	for i, want := range []string{"missing=\"recvmmsg sendmmsg gso", "net.core.rmem_max=4194304"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("%q does not mention %q", lines[i], want)
		}
	}
	if strings.Contains(lines[1], "wmem_max") {
		t.Errorf("%q complains about a buffer that is large enough", lines[1])
	}
}

// TestOffloads checks with the counters that the kernel cuts and joins.
func TestOffloads(t *testing.T) {
	for _, addr := range loopback {
		a, b := mustOpen(t, openListen, addr), mustOpen(t, openListen, addr)
		const size, n = 1300, 40
		send(t, a, punch.Datagram{Addr: at(b), Data: fill(size*n-7, 1), Segment: size})
		ds, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) != 1 || ds[0].Segment != size || !bytes.Equal(ds[0].Data, fill(size*n-7, 1)) {
			t.Fatalf("%s: %d messages, the first of %d bytes cut at %d", addr, len(ds), len(ds[0].Data), ds[0].Segment)
		}
		if st := a.Stats(); st.Cut != 1 || st.Sent != n || st.Writes != 1 {
			t.Errorf("%s: sender %+v, want %d datagrams in one cut message", addr, st, n)
		}
		if st := b.Stats(); st.Joined != 1 || st.Received != n || st.Reads != 1 {
			t.Errorf("%s: receiver %+v, want %d datagrams in one joined message", addr, st, n)
		}
	}
}

// rawOption sets a socket option on c behind its back.
func rawOption(t *testing.T, c testConn, level, opt, value int) {
	t.Helper()
	var err error
	if cerr := c.(*Conn).raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, value) }); cerr != nil {
		t.Fatal(cerr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sendBetween sends datagrams around a segmented one from a to b, and checks
// that all arrive.
func sendBetween(t *testing.T, a, b testConn) {
	t.Helper()
	send(t, a,
		punch.Datagram{Addr: at(b), Data: []byte("first")},
		punch.Datagram{Addr: at(b), Data: fill(5000, 3), Segment: 1200},
		punch.Datagram{Addr: at(b), Data: []byte("last")})
	got := receive(t, b, 7)
	if string(got[0].data) != "first" || string(got[6].data) != "last" || len(got[5].data) != 200 {
		t.Errorf("payloads arrived in another order: %q … %q", got[0].data, got[6].data)
	}
}

// TestGSORefused has the kernel refuse to cut (EINVAL), as it does if the
// payloads exceed the MTU: the message goes in pieces, the next is tried again.
func TestGSORefused(t *testing.T) {
	a, b := mustOpen(t, openListen, "127.0.0.1"), mustOpen(t, openListen, "127.0.0.1")
	rawOption(t, a, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	sendBetween(t, a, b)
	if st := a.Stats(); st.Cut != 0 || st.Sent != 7 || st.Unsent != 0 {
		t.Errorf("stats %+v, want 7 datagrams and none cut", st)
	}
	rawOption(t, a, unix.SOL_SOCKET, unix.SO_NO_CHECK, 0)
	sendBetween(t, a, b)
	if st := a.Stats(); st.Cut != 1 || st.Sent != 14 || st.Unsent != 0 {
		t.Errorf("stats %+v, want 14 datagrams and one message cut", st)
	}
}

// TestGSOWithoutChecksum tells the sender what the kernels before 6.11 say of
// an interface that does no checksums (EIO): GSO is given up.
func TestGSOWithoutChecksum(t *testing.T) {
	var log logBuffer
	a := mustOpen(t, func(cfg Config) (testConn, error) {
		cfg.Log = log.logger()
		return openListen(cfg)
	}, "127.0.0.1").(*Conn)
	b := mustOpen(t, openListen, "127.0.0.1")

	s := a.send
	s.ds = []punch.Datagram{{Addr: at(b), Data: fill(5000, 3), Segment: 1200}}
	s.fill()
	if s.n != 1 || !s.msgs[0].cut {
		t.Fatalf("%d messages, cut %v, want one to be cut", s.n, s.msgs[0].cut)
	}
	if err := a.raw.Write(func(fd uintptr) bool {
		s.failed(fd, unix.EIO)
		return s.write(fd)
	}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, b, 5); len(got[0].data) != 1200 || len(got[4].data) != 200 {
		t.Errorf("payloads of %d … %d bytes, want 1200 … 200", len(got[0].data), len(got[4].data))
	}
	sendBetween(t, a, b)
	if f := a.Features(); f.GSO {
		t.Error("GSO is still in use")
	}
	if st := a.Stats(); st.Cut != 0 || st.Sent != 12 || st.Unsent != 0 {
		t.Errorf("stats %+v, want 12 datagrams and none cut", st)
	}
	if lines := log.lines(); len(lines) != 1 || !strings.Contains(lines[0], "missing=gso") {
		t.Errorf("logged %q, want one line about gso", lines)
	}
}

// withoutSyscall runs f on a thread on which system call nr does not exist.
func withoutSyscall(t *testing.T, nr uint32, f func()) {
	t.Helper()
	withFilter(t, []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}, f)
}

// withFilter runs f on a thread whose system calls pass a filter. The thread ends
// with it.
func withFilter(t *testing.T, filter []unix.SockFilter, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("seccomp: %v", err)
	}
}

// TestNoBatchCalls meets a kernel (or a sandbox) without sendmmsg and recvmmsg.
func TestNoBatchCalls(t *testing.T) {
	a, b := mustOpen(t, openListen, "127.0.0.1"), mustOpen(t, openListen, "127.0.0.1")
	ds := make([]punch.Datagram, 100)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: at(b), Data: fill(100, i)}
	}
	withoutSyscall(t, unix.SYS_SENDMMSG, func() {
		if err := a.Send(ds); err != nil {
			t.Errorf("Send: %v", err)
		}
	})
	var got [][]byte
	withoutSyscall(t, unix.SYS_RECVMMSG, func() {
		for len(got) < len(ds) {
			in, err := b.Receive()
			if err != nil {
				t.Errorf("Receive: %v", err)
				return
			}
			for _, d := range in {
				got = append(got, bytes.Clone(d.Data))
			}
		}
	})
	for i, data := range got {
		if !bytes.Equal(data, ds[i].Data) {
			t.Fatalf("datagram %d is another", i)
		}
	}
	if f := a.Features(); f.SendBatch || !f.RecvBatch {
		t.Errorf("features of the sender: %v", f)
	}
	if f := b.Features(); f.RecvBatch || !f.SendBatch {
		t.Errorf("features of the receiver: %v", f)
	}
}

// TestAdaptiveBatch checks that the batch grows where nothing is joined and
// shrinks where something is.
func TestAdaptiveBatch(t *testing.T) {
	a, b := mustOpen(t, openListen, "127.0.0.1"), mustOpen(t, openListen, "127.0.0.1")
	ds := make([]punch.Datagram, 200)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: at(b), Data: fill(50, i)}
	}
	send(t, a, ds...)
	var batches []int
	for n := 0; n < len(ds); {
		in, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		n += len(in)
		batches = append(batches, len(in))
	}
	if got, want := fmt.Sprint(batches), "[8 64 64 64]"; got != want {
		t.Errorf("batches of %v, want %v", got, want)
	}
	send(t, a, punch.Datagram{Addr: at(b), Data: fill(3000, 0), Segment: 1000})
	receive(t, b, 3)
	send(t, a, ds[:20]...)
	in, err := b.Receive()
	if err != nil || len(in) != joinedBatch {
		t.Errorf("after a joined message a batch has %d messages, want %d (%v)", len(in), joinedBatch, err)
	}
}

// TestTruncated receives with buffers that are too small.
func TestTruncated(t *testing.T) {
	for name, want := range map[string]Features{"batch": allFeatures, "single": {}} {
		t.Run(name, func(t *testing.T) {
			small := func(cfg Config) (testConn, error) { return asTestConn(open(cfg, want, 100)) }
			a, b := mustOpen(t, openListen, "127.0.0.1"), mustOpen(t, small, "127.0.0.1")
			for _, size := range []int{101, 100, 65507, 0, 5000} {
				send(t, a, punch.Datagram{Addr: at(b), Data: fill(size, 1)})
			}
			send(t, a, punch.Datagram{Addr: at(b), Data: []byte("end")})
			got := receive(t, b, 3)
			if len(got[0].data) != 100 || len(got[1].data) != 0 || string(got[2].data) != "end" {
				t.Errorf("got %d, %d bytes and %q, want 100, 0 and \"end\"", len(got[0].data), len(got[1].data), got[2].data)
			}
			if st := b.Stats(); st.Truncated != 3 || st.Received != 3 {
				t.Errorf("stats %+v, want 3 received and 3 truncated", st)
			}
		})
	}
}

// TestKernelDrops fills the receive buffer.
func TestKernelDrops(t *testing.T) {
	a := mustOpen(t, openListen, "127.0.0.1")
	b := mustOpen(t, func(cfg Config) (testConn, error) {
		cfg.RcvBuf = 1 << 14
		return openListen(cfg)
	}, "127.0.0.1")
	for range 100 {
		send(t, a, punch.Datagram{Addr: at(b), Data: make([]byte, 1000)})
	}
	st := b.Stats()
	if st.KernelDropped == 0 || st.KernelDropped > 100 {
		t.Fatalf("%d dropped by the kernel, want some of 100", st.KernelDropped)
	}
	receive(t, b, 100-int(st.KernelDropped)) // all others are there
}

// TestLocal checks that a socket for all addresses says at which it was
// reached and answers from there.
func TestLocal(t *testing.T) {
	server := mustOpen(t, openListen, "0.0.0.0")
	client := mustOpen(t, openListen, "127.0.0.1")
	for _, addr := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(addr), server.LocalAddr().Port())
		send(t, client, punch.Datagram{Addr: to, Data: []byte("question")})
		q := receive(t, server, 1)[0]
		if q.local != to.Addr() {
			t.Errorf("Local %v, want %v", q.local, to.Addr())
		}
		send(t, server,
			punch.Datagram{Addr: q.from, Local: q.local, Data: []byte("answer")},
			punch.Datagram{Addr: q.from, Local: q.local, Data: []byte("a longer answer"), Segment: 8})
		for i, p := range receive(t, client, 3) {
			if p.from != to {
				t.Errorf("answer %d comes from %v, want %v", i, p.from, to)
			}
		}
		send(t, server, punch.Datagram{Addr: q.from, Data: []byte("no wish")})
		if got := receive(t, client, 1)[0].from.Addr(); got != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("without Local the answer comes from %v, want 127.0.0.1", got)
		}
	}
	// Wishes that cannot be meant for this socket change nothing.
	send(t, server, punch.Datagram{Addr: at(client), Data: []byte("x"), Local: netip.IPv6Loopback()})
	receive(t, client, 1)
}

// TestLocalLost answers from an address that the host does not have any more.
func TestLocalLost(t *testing.T) {
	for _, c := range []struct{ all, to, lost string }{
		{"0.0.0.0", "127.0.0.1", "192.0.2.77"},
		{"::", "::1", "2001:db8::77"},
	} {
		server, client := mustOpen(t, openListen, c.all), mustOpen(t, openListen, c.to)
		lost := netip.MustParseAddr(c.lost)
		send(t, server,
			punch.Datagram{Addr: at(client), Data: []byte("single"), Local: lost},
			punch.Datagram{Addr: at(client), Data: fill(70*100, 1), Segment: 100, Local: lost},
			punch.Datagram{Addr: at(client), Data: []byte("last")})
		got := receive(t, client, 72)
		if string(got[0].data) != "single" || string(got[71].data) != "last" {
			t.Errorf("%s: the order is lost", c.all)
		}
		for _, p := range got {
			if p.from.Addr() != netip.MustParseAddr(c.to) {
				t.Fatalf("%s: from %v, want %v", c.all, p.from.Addr(), c.to)
			}
		}
		st := server.Stats()
		if st.Rerouted != 3 || st.Unsent != 0 || st.Cut != 2 { // 64 and 6 segments
			t.Errorf("%s: stats %+v, want 3 messages rerouted, 2 of them cut", c.all, st)
		}
	}
}

// next returns the next event, while something calls Receive.
func next(t *testing.T, c testConn) PathError {
	t.Helper()
	select {
	case e := <-c.Errors():
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
		return PathError{}
	}
}

// TestErrorQueue checks what becomes of the ICMP message about a closed port.
func TestErrorQueue(t *testing.T) {
	for _, addr := range loopback {
		a, b := mustOpen(t, openListen, addr), mustOpen(t, openListen, addr)
		gone := mustOpen(t, openListen, addr)
		closed := at(gone)
		gone.Close()
		received := make(chan []payload, 1)
		go func() { received <- receive(t, a, 1) }()

		// The waiting Receive finds the message, not only the next call.
		send(t, a, punch.Datagram{Addr: closed, Data: []byte("anybody?")})
		want := PathError{Addr: closed, Err: unix.ECONNREFUSED, From: at(a).Addr()}
		if got := next(t, a); got != want {
			t.Errorf("event %+v, want %+v", got, want)
		}
		send(t, b, punch.Datagram{Addr: at(a), Data: []byte("x")})
		<-received
		if st := a.Stats(); st.PathErrors != 1 || st.Unsent != 0 {
			t.Errorf("stats %+v, want one path error and none unsent", st)
		}
	}
}

// TestErrorQueueOnSend has the events found by Send alone, and more of them
// than anybody takes.
func TestErrorQueueOnSend(t *testing.T) {
	a, b := mustOpen(t, openListen, "127.0.0.1"), mustOpen(t, openListen, "127.0.0.1")
	gone := mustOpen(t, openListen, "127.0.0.1")
	closed := at(gone)
	gone.Close()
	const n = 100
	for i := range n {
		// The refusal of the first meets the second, which goes all the same.
		err := a.Send([]punch.Datagram{
			{Addr: closed, Data: []byte("anybody?")},
			{Addr: at(b), Data: []byte{byte(i)}},
		})
		if err != nil {
			t.Fatalf("Send: %v", err)
		}
		if got := receive(t, b, 1); got[0].data[0] != byte(i) {
			t.Fatalf("datagram %d arrived, want %d", got[0].data[0], i)
		}
	}
	st := a.Stats()
	if st.PathErrors == 0 || st.PathErrors != uint64(len(a.Errors()))+st.PathDropped {
		t.Errorf("stats %+v with %d events waiting", st, len(a.Errors()))
	}
	if len(a.Errors()) != pathErrors || st.PathDropped == 0 {
		t.Errorf("%d events wait and %d were dropped; the limit of %d was not reached", len(a.Errors()), st.PathDropped, pathErrors)
	}
}

// TestErrorQueueLocal checks the event for a datagram that does not fit the
// interface.
func TestErrorQueueLocal(t *testing.T) {
	a, b := mustOpen(t, openListen, "::1"), mustOpen(t, openListen, "::1")
	// 65,527 bytes fit a UDP datagram, but not the 65,536 bytes of lo's MTU.
	err := a.Send([]punch.Datagram{{Addr: at(b), Data: make([]byte, 65527)}, {Addr: at(b), Data: []byte("x")}})
	if err != unix.EMSGSIZE {
		t.Errorf("Send: %v, want EMSGSIZE", err)
	}
	receive(t, b, 1)
	if got, want := next(t, a), (PathError{Addr: at(b), Err: unix.EMSGSIZE, MTU: 65536}); got != want {
		t.Errorf("event %+v, want %+v", got, want)
	}
	if st := a.Stats(); st.PathErrors != 1 {
		t.Errorf("%d events, want one: the datagram was tried again in vain", st.PathErrors)
	}
}
