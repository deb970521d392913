package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A memory is a sink that remembers lines. It is safe for concurrent use.
type memory struct {
	mu     sync.Mutex
	lines  []line
	fails  error         // of writes; nil: they succeed
	stuck  chan struct{} // unless it is nil, writes wait for it
	closed bool
}

func (m *memory) write(_ *Record, text []byte) error {
	if m.stuck != nil {
		<-m.stuck
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	m.lines = append(m.lines, l)
	return nil
}

func (m *memory) renew() error { return nil }

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = err
}

// text returns the events, and the counts that are not one.
func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var words []string
	for _, l := range m.lines {
		w := string(l.Event)
		if l.Count > 1 {
			w += fmt.Sprint("*", l.Count)
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// running returns a trail that writes to a sink, and a function that ends it.
func running(t *testing.T, to sink, log *slog.Logger) (*Trail, func()) {
	t.Helper()
	trail := New("campagnol")
	var writer sync.WaitGroup
	writer.Go(trail.Run)
	if to != nil {
		if err := trail.use(to, log); err != nil {
			t.Fatal(err)
		}
	}
	return trail, func() {
		trail.Close()
		writer.Wait()
	}
}

// TestTrail: records are written in order and at once, what was counted when a minute is
// over, and the rest at the end.
func TestTrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		trail, end := running(t, m, nil)
		refused := Record{Event: HandshakeRefused, Outcome: Refused, From: netip.MustParseAddrPort("192.0.2.1:1")}
		trail.Record(Record{Event: Started})
		for range 10 {
			trail.Record(refused)
		}
		synctest.Wait()
		if got, want := m.text(), "started handshake_refused"; got != want {
			t.Errorf("at once: %s, want %s", got, want)
		}
		time.Sleep(limitTime + 2*dueInterval)
		if got, want := m.text(), "started handshake_refused handshake_refused*9"; got != want {
			t.Errorf("after a minute: %s, want %s", got, want)
		}
		trail.Record(refused)
		trail.Record(refused)
		trail.Record(Record{Event: Stopped})
		end()
		if got, want := m.text(), "started handshake_refused handshake_refused*9 stopped handshake_refused*2"; got != want || !m.closed {
			t.Errorf("in the end: %s, want %s; closed: %v", got, want, m.closed)
		}
		if trail.Lost() != 0 || trail.Written() != 5 {
			t.Errorf("%d written, %d lost", trail.Written(), trail.Lost())
		}
		trail.Record(Record{Event: Started}) // nobody minds
	})
}

// TestTrailStuck: who tells the trail something never waits for its disk; what is lost is
// counted, and said when it goes on, before what comes after it.
func TestTrailStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{stuck: make(chan struct{})}
		trail, end := running(t, m, nil)
		const more = 500
		trail.Record(Record{Event: Started})
		synctest.Wait() // it is being written
		for range queueSize + more {
			trail.Record(Record{Event: Reloaded})
		}
		if trail.Lost() != more {
			t.Errorf("%d are lost, want %d", trail.Lost(), more)
		}
		close(m.stuck)
		synctest.Wait()
		trail.Record(Record{Event: Stopped})
		end()
		if got := m.text(); !strings.HasPrefix(got, fmt.Sprintf("started records_lost*%d configuration_reloaded ", more)) || !strings.HasSuffix(got, " stopped") || strings.Count(got, "lost") != 1 {
			t.Errorf("got %.120s … %s", got, got[max(0, len(got)-60):])
		}
	})
}

// TestTrailDead: a disk that never answers does not keep the program from ending.
func TestTrailDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{stuck: make(chan struct{})}
		trail := New("campagnol")
		var writer sync.WaitGroup
		writer.Go(trail.Run)
		if err := trail.use(m, nil); err != nil {
			t.Fatal(err)
		}
		trail.Record(Record{Event: Started})
		synctest.Wait() // it is being written
		for range queueSize {
			trail.Record(Record{Event: Reloaded})
		}
		next := &memory{}
		if err := trail.use(next, nil); !errors.Is(err, errBusy) || !next.closed {
			t.Errorf("another place: %v, want errBusy", err)
		}
		began := time.Now()
		trail.Close()
		if took := time.Since(began); took != closeTime {
			t.Errorf("the end took %v, want %v", took, closeTime)
		}
		close(m.stuck)
		writer.Wait()
	})
}

// TestTrailFails: records that cannot be written are counted, the log says so now and then,
// and the trail when it goes on.
func TestTrailFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{fails: errors.New("no space left on device")}
		var out bytes.Buffer
		trail, end := running(t, m, slog.New(slog.NewTextHandler(&out, nil)))
		for range 3 {
			trail.Record(Record{Event: Reloaded})
		}
		synctest.Wait()
		if got := out.String(); strings.Count(got, "The audit log cannot be written") != 1 || !strings.Contains(got, "no space left") {
			t.Errorf("the log says %s", got)
		}
		m.fail(nil)
		time.Sleep(2 * dueInterval)
		if got, want := m.text(), "records_lost*3"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		trail.Record(Record{Event: Stopped})
		end()
		if got, want := m.text(), "records_lost*3 stopped"; got != want || trail.Lost() != 3 {
			t.Errorf("got %q, want %q; %d lost", got, want, trail.Lost())
		}
	})
}

// TestTrailMoves: what came before another place is named is in the old one, what comes
// after it in the new one, and nothing is lost.
func TestTrailMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, between := &memory{}, &memory{}, &memory{}
		trail, end := running(t, a, nil)
		trail.Record(Record{Event: Started})
		for i, to := range []sink{between, b} {
			if err := trail.use(to, nil); err != nil {
				t.Errorf("place %d: %v", i, err)
			}
		}
		trail.Record(Record{Event: Reloaded})
		if err := trail.use(nil, nil); err != nil {
			t.Error(err)
		}
		trail.Record(Record{Event: Stopped})
		end()
		if a.text() != "started" || b.text() != "configuration_reloaded" || between.text() != "" {
			t.Errorf("the first has %q, the second %q, the one between %q", a.text(), b.text(), between.text())
		}
		for i, m := range []*memory{a, between, b} {
			if !m.closed {
				t.Errorf("place %d is not closed", i)
			}
		}
	})
}

// TestTrailClosed: a trail that is not open takes records, and keeps nothing; nor does one
// that is nil.
func TestTrailClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trail, end := running(t, nil, nil)
		if err := trail.Open(Place{}, nil); err != nil {
			t.Error(err)
		}
		for range 2 * queueSize {
			trail.Record(Record{Event: Reloaded})
		}
		trail.Renew()
		end()
		if trail.Lost() != 0 || trail.Written() != 0 {
			t.Errorf("%d written, %d lost", trail.Written(), trail.Lost())
		}
		var none *Trail
		none.Record(Record{Event: Started})
		none.Renew()
		none.Close()
		if err := none.Open(Place{Where: "/x/y"}, nil); err != nil || none.Lost()+none.Written() != 0 {
			t.Errorf("of no trail: %v", err)
		}
	})
}

// TestTrailConcurrent has many tell at once.
func TestTrailConcurrent(t *testing.T) {
	m := &memory{}
	trail, end := running(t, m, nil)
	var tellers sync.WaitGroup
	for i := range 8 {
		tellers.Go(func() {
			for j := range 100 {
				trail.Record(Record{Event: ChannelOpened, Name: fmt.Sprint(i, j)})
				trail.Record(Record{Event: HandshakeRefused, From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)})
			}
		})
	}
	tellers.Wait()
	end()
	var opened, refused uint64
	for _, l := range m.lines {
		switch l.Event {
		case ChannelOpened:
			opened++
		case HandshakeRefused:
			refused += max(l.Count, 1)
		}
	}
	if opened+trail.Lost() < 800 || refused+trail.Lost() < 800 {
		t.Errorf("%d and %d are told, %d lost", opened, refused, trail.Lost())
	}
}
