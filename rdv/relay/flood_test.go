package relay

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

// TestFloodAside: while one member asks for allocations, a thousand times a second, with
// an allocation and from where it has none, another one loses neither data nor requests,
// and none of it comes later than without the flood.
func TestFloodAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		b := w.raw("203.0.113.2:5000", bob)
		b.want("allocate", 0, b.ask(stun.MethodAllocate, overUDP))
		b.want("channel", 0, b.ask(stun.MethodChannelBind, numbered(0x4000), peer("203.0.113.9:6000")))
		echo := w.socket("203.0.113.9:6000")
		go echoAll(echo)

		calm := converseFor(t, b, 2*time.Second)
		stop, busy := w.flood(), used(t)
		loud := converseFor(t, b, 5*time.Second)
		sent := stop()
		took := (used(t) - busy) / time.Duration(sent)

		t.Logf("calm: %+v; under %d requests: %+v; a request of the flood takes %v of the processor", calm, sent, loud, took)
		for _, x := range []talk{calm, loud} {
			if x.lost != 0 || x.unanswered != 0 {
				t.Errorf("%+v, want nothing lost", x)
			}
		}
		if d := loud.worst - calm.worst; d > 2*time.Millisecond { // the network differs by that
			t.Errorf("data comes back %v later than without the flood", d)
		}
		if d := loud.answer - calm.answer; d > 2*time.Millisecond {
			t.Errorf("an answer comes %v later than without the flood", d)
		}
		most := 2 * time.Millisecond
		if raceEnabled {
			most *= 10
		}
		if took > most {
			t.Errorf("a request of the flood takes %v of the processor, want %v at most", took, most)
		}
		if s := w.Stats(); sent < 8000 || s.Allocations > 2+DefaultPerMember || s.Dropped.Queue == 0 {
			t.Errorf("%d requests sent, counted %+v", sent, s)
		}
	})
}

// flood has a member ask for allocations until stop is called, which returns how many
// requests there were.
func (w *world) flood() (stop func() int) {
	in, out := w.raw("203.0.113.1:5000", alice), w.raw("203.0.113.1:5001", alice)
	in.want("allocate", 0, in.ask(stun.MethodAllocate, overUDP))
	out.ask(stun.MethodRefresh) // for the nonce
	done, sent := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-tick.C:
			case <-done:
				tick.Stop()
				sent <- n
				return
			}
			for _, c := range []*raw{in, out} {
				if _, err := c.conn.WriteTo(c.signed(stun.MethodAllocate, overUDP).Raw, c.to); err == nil {
					n++
				}
			}
		}
	}()
	return func() int {
		close(done)
		return <-sent
	}
}

// echoAll sends back what comes.
func echoAll(c *packetConn) {
	b := make([]byte, 2000)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if _, err := c.WriteTo(b[:n], from); err != nil {
			return
		}
	}
}

// A talk is what became of data by a channel to somebody who sends it back, and of
// requests.
type talk struct {
	sent, lost, unanswered int
	worst, answer          time.Duration // round trips, the longest ones
}

// converseFor talks by channel 0x4000, a hundred times a second.
func converseFor(t *testing.T, c *raw, length time.Duration) (x talk) {
	t.Helper()
	begin := time.Now()
	for time.Since(begin) < length {
		time.Sleep(10 * time.Millisecond)
		x.sent++
		took, ok := bounce(t, c, byte(x.sent))
		x.worst = max(x.worst, took)
		if !ok {
			x.lost++
		}
		if x.sent%20 != 0 {
			continue
		}
		start := time.Now()
		if codeOf(c.ask(stun.MethodRefresh, lasting(10*time.Minute))) != 0 {
			x.unanswered++
		}
		x.answer = max(x.answer, time.Since(start))
	}
	return x
}

// bounce sends data and waits for it to come back.
func bounce(t *testing.T, c *raw, number byte) (took time.Duration, ok bool) {
	t.Helper()
	data := []byte{0x40, 0, 0, 4, 'd', 'a', 't', number}
	start := time.Now()
	say(t, c.conn, c.to, string(data))
	late := time.After(time.Second)
	for {
		select {
		case b := <-c.inbox:
			if slices.Equal(b, data) {
				return time.Since(start), true
			}
		case <-late:
			return time.Since(start), false
		}
	}
}
