package device

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"campagnol/tunnel/segment"
)

// A wire carries packets between the devices of two network namespaces, cut into
// what fits the MTU and joined again, as a tunnel does.
type wire struct {
	t       *testing.T
	a, b    *Kernel
	largest int // packet that was read, in bytes
	joined  int // large packets that were written
	wg      sync.WaitGroup
	mu      sync.Mutex
}

// connect makes two namespaces with a device each, connects them, and returns a
// listener in the second, and a function that dials it from the first.
func connect(t *testing.T, cfg Config) (w *wire, l net.Listener, dial func() (net.Conn, error)) {
	t.Helper()
	w = &wire{t: t}
	there := Settings{Addr: peer, Network: usual.Network, MTU: usual.MTU}
	ready := make(chan error, 1)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() { // in a namespace of its own, for as long as the test runs
		enter(t)
		var err error
		if w.b, err = Open(cfg); err == nil {
			err = w.b.Configure(there)
		}
		if err == nil {
			l, err = net.Listen("tcp4", netip.AddrPortFrom(peer, 5000).String())
		}
		ready <- err
		<-done
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	enter(t)
	w.a = mustOpen(t, cfg)
	if err := w.a.Configure(usual); err != nil {
		t.Fatal(err)
	}
	w.wg.Go(func() { w.carry(w.a, w.b) })
	w.wg.Go(func() { w.carry(w.b, w.a) })
	t.Cleanup(func() {
		l.Close()
		w.a.Close()
		w.b.Close()
		w.wg.Wait()
	})
	return w, l, func() (net.Conn, error) {
		return net.Dial("tcp4", netip.AddrPortFrom(peer, 5000).String())
	}
}

// carry moves packets in one direction until a device is closed.
func (w *wire) carry(from, to *Kernel) {
	j := segment.Joiner{UDP: to.Offloads().UDP}
	var cut segment.Cutter
	for {
		ps, err := from.Read()
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				w.t.Error(err)
			}
			return
		}
		var small [][]byte
		for _, p := range ps {
			w.note(len(p.Data), 0)
			if p.GSO.Kind == segment.None {
				small = append(small, bytes.Clone(p.Data))
				continue
			}
			if err := cut.Begin(p.Data, p.GSO); err != nil {
				w.t.Errorf("%+v: %v", p.GSO, err)
				continue
			}
			for s := cut.Next(); s != nil; s = cut.Next() {
				if len(s) > usual.MTU {
					w.t.Errorf("a segment of %d bytes", len(s))
				}
				small = append(small, bytes.Clone(s))
			}
		}
		if !to.Offloads().Large {
			for _, s := range small {
				to.Write([]Packet{{Data: s}})
			}
			continue
		}
		for _, s := range small {
			j.Add(s)
		}
		out := j.Flush()
		for _, p := range out {
			if p.GSO.Kind != segment.None {
				w.note(0, 1)
			}
		}
		if err := to.Write(out); err != nil && !errors.Is(err, os.ErrClosed) {
			w.t.Error(err)
		}
	}
}

func (w *wire) note(size, joined int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.largest = max(w.largest, size)
	w.joined += joined
}

// transfer sends n bytes over TCP and compares what arrives.
func transfer(t *testing.T, l net.Listener, dial func() (net.Conn, error), n int) {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcdef!"), n/17+1)[:n]
	got := make(chan [32]byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- [32]byte{}
			return
		}
		defer conn.Close()
		h := sha256.New()
		io.Copy(h, conn)
		got <- [32]byte(h.Sum(nil))
	}()
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	select {
	case sum := <-got:
		if sum != sha256.Sum256(data) {
			t.Error("other bytes arrived")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the bytes have not arrived")
	}
}

// TestOffloads checks that large packets really pass, both ways: a program's TCP
// data comes in packets that are larger than the MTU, and what is joined reaches
// the other program.
func TestOffloads(t *testing.T) {
	t.Parallel()
	w, l, dial := connect(t, Config{})
	if !w.a.Offloads().Large {
		t.Fatal("this kernel has no offloads")
	}
	transfer(t, l, dial, 3_000_000)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.largest < 10_000 || w.joined == 0 {
		t.Errorf("the largest packet read had %d bytes, %d large ones were written", w.largest, w.joined)
	}
	if a, b := w.a.Stats(), w.b.Stats(); a.Malformed+b.Malformed+a.Refused+b.Refused != 0 {
		t.Errorf("stats %+v and %+v", a, b)
	}
}

// TestPlain is the device without offloads, as the library opens it.
func TestPlain(t *testing.T) {
	t.Parallel()
	w, l, dial := connect(t, Config{Plain: true})
	if w.a.Offloads() != (Offloads{}) {
		t.Errorf("offloads %+v", w.a.Offloads())
	}
	transfer(t, l, dial, 300_000)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.largest > usual.MTU || w.joined != 0 {
		t.Errorf("the largest packet read had %d bytes, %d were joined", w.largest, w.joined)
	}
}
