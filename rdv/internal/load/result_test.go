package load

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	hundred := newLatencies(0)
	for _, i := range rand.Perm(100) {
		hundred.add(time.Duration(i+1) * ms)
	}
	one := newLatencies(1)
	one.add(7 * ms)
	for _, c := range []struct {
		name string
		l    *Latencies
		q    float64
		want time.Duration
	}{
		{"of none", newLatencies(0), 0.5, 0},
		{"of one", one, 0.5, 7 * ms},
		{"of one", one, 1, 7 * ms},
		{"least", hundred, 0, ms},
		{"median", hundred, 0.5, 50 * ms},
		{"p99", hundred, 0.99, 99 * ms},
		{"p99.9", hundred, 0.999, 100 * ms},
		{"greatest", hundred, 1, 100 * ms},
	} {
		if got := c.l.Quantile(c.q); got != c.want {
			t.Errorf("%s: quantile %v is %v, want %v", c.name, c.q, got, c.want)
		}
	}
	hundred.add(time.Second) // after the others have been sorted
	hundred.add(0)
	if got, want := hundred.String(), "p50 50ms, p99 100ms, max 1s"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	if got := hundred.Len(); got != 102 {
		t.Errorf("Len = %d, want 102", got)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Nanosecond:      "1µs",
		9876543 * time.Nanosecond:   "9.877ms",
		12345678 * time.Nanosecond:  "12.3ms",
		12345678 * time.Microsecond: "12.3457s",
	} {
		if got := short(d).String(); got != want {
			t.Errorf("short(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestResult(t *testing.T) {
	r := Result{
		Register: 1500 * ms, HellosLost: 1,
		Serve: 10 * sec, Pings: 100, Lost: 2, Pong: newLatencies(0),
		Asks: 5, Answer: newLatencies(0), Forward: newLatencies(0),
		Rejects: 3, Reconnects: 4, Unexpected: 6, Late: 5 * ms, Missed: 7,
		Server: Usage{User: sec, System: 3 * sec, RSS: 25_000_000, Dropped: 8},
	}
	r.Pong.add(ms)
	r.Answer.add(2 * ms)
	r.Forward.add(3 * ms)
	if got, want := r.Cores(), 0.4; got != want {
		t.Errorf("%v cores, want %v", got, want)
	}
	if got, want := r.Unanswered(), 8; got != want {
		t.Errorf("%d unanswered, want %d", got, want)
	}
	want := `registered in 1.5s (1 HELLOs lost)
100 PINGs in 10s, 2 lost; PONG after p50 1ms, p99 1ms, max 1ms
5 ASKs, 8 answers lost; ANS after p50 2ms, p99 2ms, max 2ms; FWD after p50 3ms, p99 3ms, max 3ms
REJ 3, RECONNECT 4, unexpected 6
fleet: at most 5ms late, 7 datagrams dropped
server: 0.400 cores (user 0.100, system 0.300), 25.0 MB, 8 datagrams dropped`
	if got := r.String(); got != want {
		t.Errorf("String:\n%s\nwant\n%s", got, want)
	}
	earlier := Usage{User: sec / 2, System: sec, RSS: 1, Dropped: 3}
	if got, want := r.Server.Sub(earlier), (Usage{sec / 2, 2 * sec, 25_000_000, 5}); got != want {
		t.Errorf("Sub = %+v, want %+v", got, want)
	}
}
