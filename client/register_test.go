package client

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
)

var (
	rdvAddr = netip.MustParseAddrPort("198.51.100.1:57888")
	began   = time.Unix(0, 0)
)

func half() float64 { return 0.5 } // a jitter in the middle: none

func newReg() *registration {
	return newRegistration(began, rdvAddr, wire.Message{Type: wire.Hello, IP1: netip.MustParseAddr("10.9.0.1")}, half)
}

var eventNames = map[regEvent]string{
	regTrying: "trying", regDone: "done", regRefused: "refused", regFailed: "failed",
	regStrange: "strange", regSilent: "silent", regBack: "back",
}

// line renders what a step led to: what was sent, then what was reported.
func line(t *testing.T, out []punch.Out, ev regEvent) string {
	t.Helper()
	var s []string
	for _, o := range out {
		if o.To.Addr != rdvAddr {
			t.Errorf("sent to %v", o.To)
		}
		s = append(s, o.Msg.Type.String())
	}
	if ev != regNothing {
		s = append(s, eventNames[ev])
	}
	return strings.Join(s, " ")
}

// play runs r until the given second and returns what it did, with the times in
// milliseconds. replies are the RDV's messages, by the time of arrival in
// milliseconds.
func play(t *testing.T, r *registration, until time.Duration, replies map[int]wire.Type) []string {
	t.Helper()
	var log []string
	for ms := 0; ms <= int(until.Milliseconds()); ms++ {
		now := began.Add(time.Duration(ms) * time.Millisecond)
		note := func(s string) {
			if s != "" {
				log = append(log, fmt.Sprintf("%d: %s", ms, s))
			}
		}
		if typ, ok := replies[ms]; ok {
			out, ev := r.handle(now, wire.Message{Type: typ}, nil)
			note(line(t, out, ev))
		}
		for !r.timeout().After(now) {
			out, ev := r.advance(now, nil)
			note(line(t, out, ev))
		}
	}
	return log
}

func TestRegistration(t *testing.T) {
	for _, c := range []struct {
		name    string
		until   time.Duration
		replies map[int]wire.Type
		want    []string
	}{
		{"at once, then pings", 7 * time.Second, map[int]wire.Type{20: wire.OK},
			[]string{"0: HELLO trying", "20: done", "3020: PING", "6020: PING"}},
		{"the first HELLO is lost", 5 * time.Second, map[int]wire.Type{1020: wire.OK},
			[]string{"0: HELLO trying", "1000: HELLO", "1020: done", "4020: PING"}},
		{"nobody answers: four tries, BYE, back-off, for ever", 32 * time.Second, nil,
			[]string{
				"0: HELLO trying", "1000: HELLO", "3000: HELLO", "5000: HELLO", "7000: BYE failed",
				"9000: HELLO trying", "10000: HELLO", "12000: HELLO", "14000: HELLO", "16000: BYE failed",
				"20000: HELLO trying", "21000: HELLO", "23000: HELLO", "25000: HELLO", "27000: BYE failed",
			}},
		{"refused until the old entry is gone", 9 * time.Second,
			map[int]wire.Type{10: wire.NOK, 1020: wire.NOK, 2030: wire.NOK, 3040: wire.OK},
			[]string{"0: HELLO trying", "1010: HELLO", "2020: HELLO", "3030: HELLO", "3040: done", "6040: PING"}},
		{"refused for long", 8 * time.Second,
			map[int]wire.Type{10: wire.NOK, 1020: wire.NOK, 2030: wire.NOK, 3040: wire.NOK},
			[]string{"0: HELLO trying", "1010: HELLO", "2020: HELLO", "3030: HELLO", "4040: BYE refused", "6040: HELLO trying", "7040: HELLO"}},
		{"an old server refuses the repetition after a lost OK: BYE undoes it", 8 * time.Second,
			map[int]wire.Type{1010: wire.NOK, 2020: wire.NOK, 3030: wire.NOK, 6040: wire.OK},
			[]string{"0: HELLO trying", "1000: HELLO", "2010: HELLO", "3020: HELLO", "4030: BYE refused", "6030: HELLO trying", "6040: done"}},
		{"the RDV was restarted", 7 * time.Second,
			map[int]wire.Type{10: wire.OK, 3020: wire.Reconnect, 3030: wire.OK},
			[]string{"0: HELLO trying", "10: done", "3010: PING", "3020: HELLO trying", "3030: done", "6030: PING"}},
		{"RECONNECT too often", 6 * time.Second,
			map[int]wire.Type{10: wire.OK, 500: wire.Reconnect, 1500: wire.Reconnect, 1600: wire.Reconnect, 1700: wire.OK},
			[]string{"0: HELLO trying", "10: done", "1500: HELLO trying", "1700: done", "4700: PING"}},
		{"stray answers", 3 * time.Second, map[int]wire.Type{10: wire.OK, 20: wire.NOK, 30: wire.OK, 40: wire.Pong},
			[]string{"0: HELLO trying", "10: done"}},
		{"something else answers: reported once a round", 12 * time.Second,
			map[int]wire.Type{10: wire.Punch, 20: wire.Hello, 1010: wire.Punch, 9010: wire.Ping, 9020: wire.OK, 9030: wire.Punch},
			[]string{"0: HELLO trying", "10: strange", "1000: HELLO", "3000: HELLO", "5000: HELLO", "7000: BYE failed",
				"9000: HELLO trying", "9010: strange", "9020: done"}},
		{"late answers while a HELLO is out are nothing strange", 3 * time.Second,
			map[int]wire.Type{10: wire.Pong, 20: wire.Forward, 30: wire.Answer, 40: wire.Reject, 50: wire.OK},
			[]string{"0: HELLO trying", "50: done"}},
		{"the RDV is away for a while", 20 * time.Second,
			map[int]wire.Type{10: wire.OK, 3015: wire.Pong, 18100: wire.Pong},
			[]string{"0: HELLO trying", "10: done", "3010: PING", "6010: PING", "9010: PING", "12010: PING",
				"15010: PING silent", "18010: PING", "18100: back"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := play(t, newReg(), c.until, c.replies)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestRegistrationJitter: clients that failed together do not come back together.
func TestRegistrationJitter(t *testing.T) {
	var at []string
	for _, j := range []float64{0, 0.5, 1} {
		r := newRegistration(began, rdvAddr, wire.Message{}, func() float64 { return j })
		log := play(t, r, 12*time.Second, nil)
		at = append(at, log[5])
	}
	want := []string{"8500: HELLO trying", "9000: HELLO trying", "9500: HELLO trying"}
	if fmt.Sprint(at) != fmt.Sprint(want) {
		t.Errorf("second rounds %v, want %v", at, want)
	}
}

func TestRegistrationBackoffIsBounded(t *testing.T) {
	log := play(t, newReg(), time.Hour, nil)
	last := log[len(log)-1]
	rounds := 0
	for _, l := range log {
		if strings.HasSuffix(l, "HELLO trying") {
			rounds++
		}
	}
	// A round of 7 s and a pause of 30 s.
	if rounds < 95 || rounds > 100 {
		t.Errorf("%d rounds in an hour, last %q, want about 97", rounds, last)
	}
	if r := newReg(); r.registered() {
		t.Error("registered from the start")
	}
}

func TestBye(t *testing.T) {
	b := newReg().bye()
	if b.To.Addr != rdvAddr || b.Msg != (wire.Message{Type: wire.Bye, IP1: netip.MustParseAddr("10.9.0.1")}) {
		t.Errorf("bye = %+v", b)
	}
}

// TestRegistrationHeld: between hold and start nothing is said or heard.
func TestRegistrationHeld(t *testing.T) {
	for _, c := range []struct {
		name    string
		replies map[int]wire.Type // before it is held, at 50 ms
		want    []string          // after it is started again, at 100 s
	}{
		{"waiting", nil, []string{"0: HELLO trying", "1000: HELLO"}},
		{"registered", map[int]wire.Type{20: wire.OK}, []string{"0: HELLO trying", "1000: HELLO"}},
	} {
		r := newReg()
		play(t, r, 50*time.Millisecond, c.replies)
		r.hold()
		if !r.timeout().IsZero() || r.registered() || !r.held() {
			t.Errorf("%s: held, but with time-out %v, registered %v", c.name, r.timeout(), r.registered())
		}
		for _, typ := range []wire.Type{wire.OK, wire.NOK, wire.Reconnect, wire.Pong, wire.Punch} {
			if out, ev := r.handle(began.Add(time.Second), wire.Message{Type: typ}, nil); len(out) > 0 || ev != regNothing {
				t.Errorf("%s: %v led to %v, %v", c.name, typ, out, ev)
			}
		}
		if out, ev := r.advance(began.Add(time.Hour), nil); len(out) > 0 || ev != regNothing {
			t.Errorf("%s: time led to %v, %v", c.name, out, ev)
		}
		r.start(began)
		if got := play(t, r, 2*time.Second, nil); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: started again: %q, want %q", c.name, got, c.want)
		}
	}
}
