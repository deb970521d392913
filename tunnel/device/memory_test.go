package device

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/tunnel/segment"
)

func v4(s string) []byte { return append([]byte{0x45}, s...) }

// texts returns what v4 was given for each of ps.
func texts(ps []Packet) (s []string) {
	for _, p := range ps {
		s = append(s, string(p.Data[1:]))
	}
	return s
}

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory("tun7")
		if got := m.Name(); got != "tun7" {
			t.Errorf("name %q, want tun7", got)
		}
		// A waiting Read takes the first packet; what follows comes at once.
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			m.Inject(v4("a"))
		}()
		ps, err := m.Read()
		if err != nil || len(ps) != 1 || string(ps[0].Data) != string(v4("a")) {
			t.Fatalf("Read %q, %v, want a", texts(ps), err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("Read waited %v, want 1s", got)
		}
		b := v4("b")
		m.Inject(b)
		b[1] = 'x' // the twin has its own copy
		m.Inject(v4("c"))
		if ps, err = m.Read(); err != nil || len(ps) != 2 || string(ps[0].Data) != string(v4("b")) {
			t.Errorf("Read %q, %v, want b and c", texts(ps), err)
		}

		out := v4("d")
		if err := m.Write([]Packet{{Data: out}, {Data: v4("e")}}); err != nil {
			t.Errorf("Write: %v", err)
		}
		out[1] = 'x'
		if got := <-m.Delivered(); string(got) != string(v4("d")) {
			t.Errorf("%q delivered, want d", got)
		}
		if got := <-m.Delivered(); string(got) != string(v4("e")) {
			t.Errorf("%q delivered, want e", got)
		}
		if got, want := m.Stats(), (Stats{Read: 3, Reads: 2, Written: 2}); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
	})
}

func TestMemoryRefuses(t *testing.T) {
	m := NewMemory("tun0")
	bad := [][]byte{nil, {}, {0x00}, {0x55, 1, 2}, []byte("refused")}
	for _, b := range bad {
		err := m.Write([]Packet{{Data: v4("before")}, {Data: b}, {Data: v4("after")}})
		if err != ErrRefused {
			t.Errorf("% x: %v, want ErrRefused", b, err)
		}
		for _, want := range []string{"before", "after"} {
			if got := <-m.Delivered(); !bytes.Equal(got, v4(want)) {
				t.Errorf("% x: %q delivered, want %q", b, got, want)
			}
		}
	}
	if got := m.Stats(); got.Refused != uint64(len(bad)) || got.Written != uint64(2*len(bad)) {
		t.Errorf("stats %+v, want %d refused", got, len(bad))
	}
}

func TestMemoryEthernet(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	m := NewMemoryEthernet("tap7", mac)
	got, err := m.HardwareAddr()
	if err != nil || got.String() != "02:00:00:00:00:01" {
		t.Errorf("hardware address %v, %v", got, err)
	}
	got[0], mac[1] = 9, 9 // copies of our own
	if again, _ := m.HardwareAddr(); again.String() != "02:00:00:00:00:01" {
		t.Errorf("then hardware address %v", again)
	}
	if m.Link() != segment.Ethernet || m.Name() != "tap7" {
		t.Errorf("%s of %v", m.Name(), m.Link())
	}
	frame, runt := bytes.Repeat([]byte{1}, 14), bytes.Repeat([]byte{0x45}, 13)
	if err := m.Write([]Packet{{Data: frame}, {Data: runt}, {}, {Data: frame}}); err != ErrRefused {
		t.Errorf("Write: %v, want ErrRefused", err)
	}
	for range 2 {
		if got := <-m.Delivered(); !bytes.Equal(got, frame) {
			t.Errorf("% x delivered, want the frame", got)
		}
	}
	m.Inject(frame)
	if ps, err := m.Read(); err != nil || len(ps) != 1 || !bytes.Equal(ps[0].Data, frame) {
		t.Errorf("Read: %v, %v, want the frame", ps, err)
	}
	if got, want := m.Stats(), (Stats{Read: 1, Reads: 1, Written: 2, Refused: 2}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	ip := NewMemory("tun7")
	if a, err := ip.HardwareAddr(); err == nil || ip.Link() != segment.IP {
		t.Errorf("a device of %v has the hardware address %v", ip.Link(), a)
	}
}

func TestMemoryBounds(t *testing.T) {
	m := NewMemory("tun0")
	for i := range memoryQueue + 10 {
		if got, want := m.Inject(v4("x")), i < memoryQueue; got != want {
			t.Fatalf("packet %d: Inject = %v, want %v", i, got, want)
		}
		if err := m.Write([]Packet{{Data: v4("y")}}); err != nil {
			t.Fatalf("packet %d: Write: %v", i, err)
		}
	}
	if in, out := m.Dropped(); in != 10 || out != 10 {
		t.Errorf("%d and %d dropped, want 10 each", in, out)
	}
	for want := memoryQueue; want > 0; want -= maxPackets {
		ps, err := m.Read()
		if err != nil || len(ps) != maxPackets {
			t.Fatalf("%d packets, %v, want %d", len(ps), err, maxPackets)
		}
	}
	if got := len(m.Delivered()); got != memoryQueue {
		t.Errorf("%d wait to be taken, want %d", got, memoryQueue)
	}
}

func TestMemoryStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory("tun0")
		one := []Packet{{Data: v4("x")}, {Data: v4("y")}}
		m.SetUp(false)
		if err := m.Write(one); err != ErrDown {
			t.Errorf("down: %v, want ErrDown", err)
		}
		if m.Inject(v4("x")) {
			t.Error("a packet left through an interface that is down")
		}
		m.SetUp(true)
		if err := m.Write(one[:1]); err != nil {
			t.Errorf("up again: %v", err)
		}
		if !m.Inject(v4("x")) {
			t.Error("up again: Inject = false")
		}
		if _, err := m.Read(); err != nil {
			t.Errorf("up again: %v", err)
		}

		read := make(chan error)
		go func() {
			_, err := m.Read()
			read <- err
		}()
		synctest.Wait()
		m.Remove()
		m.Remove()
		if err := <-read; err != ErrGone {
			t.Errorf("Read when the interface is deleted: %v, want ErrGone", err)
		}
		if err := m.Write(one); err != ErrGone {
			t.Errorf("gone: %v, want ErrGone", err)
		}
		if m.Inject(v4("x")) {
			t.Error("a packet left through an interface that is gone")
		}
		if got := m.Stats(); got.Down != 4 || got.Written != 1 {
			t.Errorf("stats %+v, want 4 down, 1 written", got)
		}
	})
}

func TestMemoryClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory("tun0")
		read := make(chan error)
		go func() {
			_, err := m.Read()
			read <- err
		}()
		synctest.Wait()
		for range 2 {
			if err := m.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if err := <-read; err != os.ErrClosed {
			t.Errorf("Read during Close: %v, want os.ErrClosed", err)
		}
		if _, err := m.Read(); err != os.ErrClosed {
			t.Errorf("Read after Close: %v, want os.ErrClosed", err)
		}
		if err := m.Write([]Packet{{Data: v4("x")}}); err != os.ErrClosed {
			t.Errorf("Write after Close: %v, want os.ErrClosed", err)
		}
		if m.Inject(v4("x")) {
			t.Error("Inject after Close = true")
		}
	})
}

func TestMemoryConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory("tun0")
		const writers, each = 4, 50
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if err := m.Write([]Packet{{Data: v4("out")}}); err != nil {
						t.Errorf("Write: %v", err)
					}
					m.Inject(v4("in"))
				}
			})
		}
		wg.Go(func() {
			for n := 0; n < writers*each; {
				ps, err := m.Read()
				if err != nil {
					t.Errorf("Read: %v", err)
					return
				}
				n += len(ps)
			}
		})
		for range writers * each {
			<-m.Delivered()
		}
		wg.Wait()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if _, err := m.Read(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
	})
}
