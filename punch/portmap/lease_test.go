package portmap

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	testStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	testWay   = Way{Gateway: netip.MustParseAddr("192.168.1.1"), Local: netip.MustParseAddr("192.168.1.2"), Interface: "eth0"}
	testOuter = netip.MustParseAddrPort("11.0.0.1:4501")
)

// testGrant is for so long, from a gateway that has run for so many seconds.
func testGrant(lifetime time.Duration, epoch uint32) grant {
	return grant{testOuter, lifetime, pulse{external: testOuter.Addr(), epoch: epoch, counted: true}}
}

// newTestLease returns a lease that knows its gateway.
func newTestLease() *lease {
	l := newLease(4501, 0)
	l.moved(testStart, testWay)
	return l
}

// wantDue checks what is due, and when something is next.
func wantDue(t *testing.T, l *lease, at time.Duration, want task, next time.Duration) {
	t.Helper()
	now := testStart.Add(at)
	if got := l.due(now); got != want {
		t.Errorf("after %v: task %d, want %d", at, got, want)
	}
	if got := l.timeout(); !got.Equal(testStart.Add(next)) {
		t.Errorf("after %v: something to do after %v, want %v", at, got.Sub(testStart), next)
	}
}

// TestLeaseWithoutGateway: nothing is to be done before there is a gateway.
func TestLeaseWithoutGateway(t *testing.T) {
	l := newLease(4501, 0)
	if got := l.due(testStart); got != rest || !l.timeout().IsZero() {
		t.Errorf("task %d, timeout %v", got, l.timeout())
	}
	if got := describe(l.way, l.why); got != "no gateway is known" {
		t.Error(got)
	}
	l.moved(testStart, testWay)
	wantDue(t, l, 0, search, 0)
	l.moved(testStart, Way{})
	if got := l.due(testStart); got != rest {
		t.Errorf("task %d when the gateway is gone", got)
	}
}

// TestLeaseRenews: half of the time, and a look every 30 s.
func TestLeaseRenews(t *testing.T) {
	l := newTestLease()
	l.granted(testStart, PCP, testGrant(2*time.Hour, 100))
	wantDue(t, l, 0, rest, checkTime)
	for at := checkTime; at < time.Hour; at += checkTime {
		wantDue(t, l, at, check, at)
		l.checked(testStart.Add(at), pulse{epoch: 100 + uint32(at/time.Second), counted: true})
		if got := l.due(testStart.Add(at)); got != rest {
			t.Fatalf("after a good look, after %v: task %d", at, got)
		}
	}
	wantDue(t, l, time.Hour, renew, time.Hour)
	l.granted(testStart.Add(time.Hour), PCP, testGrant(2*time.Hour, 3700))
	wantDue(t, l, time.Hour, rest, time.Hour+checkTime)
	if got := l.expires.Sub(testStart); got != 3*time.Hour {
		t.Errorf("expires after %v", got)
	}
	if w := l.wish(); w.external != testOuter || w.lifetime != 2*time.Hour || w.port != 4501 {
		t.Errorf("asks for %+v", w)
	}
}

// TestLeaseFades: a gateway that is silent is asked again at half of what is left, and
// given up in the end.
func TestLeaseFades(t *testing.T) {
	l := newTestLease()
	l.granted(testStart, NATPMP, testGrant(64*time.Second, 100))
	for _, at := range []time.Duration{32, 48, 56, 60} {
		at *= time.Second
		if got := l.due(testStart.Add(at)); got != renew {
			t.Fatalf("after %v: task %d", at, got)
		}
		l.failed(testStart.Add(at), renew, errSilent)
	}
	if got := l.due(testStart.Add(63 * time.Second)); !l.held() || got == search {
		t.Errorf("given up before its end: task %d", got)
	}
	if got := l.due(testStart.Add(64 * time.Second)); l.held() || got != search || !errors.Is(l.why, errExpired) {
		t.Errorf("at its end: task %d, held %v, %v", got, l.held(), l.why)
	}
}

// TestLeaseRefused: a renewal that is refused ends the mapping, and another protocol
// is tried at once.
func TestLeaseRefused(t *testing.T) {
	l := newTestLease()
	l.granted(testStart, PCP, testGrant(time.Hour, 100))
	now := testStart.Add(30 * time.Minute)
	l.failed(now, renew, &Refusal{Method: PCP, Code: 2})
	if got := l.due(now); got != search || l.held() {
		t.Errorf("task %d, held %v", got, l.held())
	}
	l.failed(now, search, errSilent)
	if got := l.due(now); got != rest {
		t.Errorf("a search that has found nothing is followed by task %d", got)
	}
}

// TestLeaseForgotten: whatever shows that the gateway has forgotten makes us ask at
// once, and the mapping counts until it answers.
func TestLeaseForgotten(t *testing.T) {
	for _, c := range []struct {
		name  string
		p     pulse
		again bool
	}{
		{"all is well", pulse{epoch: 110, counted: true, external: testOuter.Addr()}, false},
		{"no count", pulse{}, false},
		{"its count is back", pulse{epoch: 3, counted: true}, true},
		{"its count is ahead", pulse{epoch: 500, counted: true}, true},
		{"another outer address", pulse{epoch: 110, counted: true, external: netip.MustParseAddr("11.0.0.2")}, true},
		{"the entry is gone", pulse{external: testOuter.Addr(), lost: true}, true},
	} {
		l := newTestLease()
		l.granted(testStart, PCP, testGrant(time.Hour, 100))
		now := testStart.Add(10 * time.Second)
		l.checked(now, c.p)
		if got := l.due(now) == renew; got != c.again {
			t.Errorf("%s: asks again %v, want %v", c.name, got, c.again)
		}
		if !l.held() {
			t.Errorf("%s: the mapping does not count", c.name)
		}
	}
}

// TestLeaseAnnounced: announcements make us look, but not as often as somebody likes.
func TestLeaseAnnounced(t *testing.T) {
	l := newTestLease()
	l.granted(testStart, PCP, testGrant(time.Hour, 100))
	looks := 0
	for at := time.Duration(0); at < 20*time.Second; at += 10 * time.Millisecond {
		now := testStart.Add(at)
		l.announced(now)
		if l.due(now) == check {
			looks++
			l.checked(now, pulse{epoch: 100 + uint32(at/time.Second), counted: true})
		}
	}
	if looks < 8 || looks > 10 {
		t.Errorf("%d looks in 20 s of announcements, want one every 2 s", looks)
	}

	l = newTestLease()
	l.failed(testStart, search, errSilent)
	l.announced(testStart.Add(5 * time.Second))
	wantDue(t, l, 5*time.Second, search, 5*time.Second)
	l.failed(testStart.Add(5*time.Second), search, errSilent)
	l.announced(testStart.Add(5 * time.Second))
	wantDue(t, l, 6*time.Second, rest, 7*time.Second)

	// One that comes when something is due anyway does not delay it.
	l = newTestLease()
	l.announced(testStart)
	wantDue(t, l, 0, search, 0)
}

// TestLeaseSearches: less and less often, or when the gateway says.
func TestLeaseSearches(t *testing.T) {
	l := newTestLease()
	now := testStart
	for i, want := range []time.Duration{10, 30, 90, 270, 600, 600} {
		if got := l.due(now); got != search {
			t.Fatalf("search %d: task %d", i, got)
		}
		l.failed(now, search, errSilent)
		if got := l.timeout().Sub(now); got != want*time.Second {
			t.Errorf("after search %d: the next in %v, want %v s", i, got, int(want))
		}
		now = l.timeout()
	}
	for _, c := range []struct{ retry, want time.Duration }{{time.Second, searchTime}, {15 * time.Minute, 15 * time.Minute}, {1 << 62, maxRetry}} {
		l := newTestLease()
		l.failed(testStart, search, &Refusal{Method: PCP, Code: 8, Text: "it has no room", Retry: c.retry})
		if got := l.timeout().Sub(testStart); got != c.want {
			t.Errorf("sent away for %v: the next search in %v, want %v", c.retry, got, c.want)
		}
		if got := describe(l.way, l.why); got != "the gateway refuses by PCP: it has no room (code 8)" {
			t.Error(got)
		}
	}
}

// TestLeaseMoves: with another gateway everything begins anew.
func TestLeaseMoves(t *testing.T) {
	l := newTestLease()
	l.granted(testStart, PCP, testGrant(time.Hour, 100))
	l.failed(testStart, check, errSilent)
	other := testWay
	other.Local = netip.MustParseAddr("192.168.1.3")
	l.moved(testStart, other)
	if l.held() || l.wish().external.IsValid() || l.way != other {
		t.Errorf("%+v", l)
	}
	wantDue(t, l, 0, search, 0)
}

// TestLeaseTimes: a gateway cannot make us ask too often, or believe it for years.
func TestLeaseTimes(t *testing.T) {
	for _, c := range []struct{ lifetime, renew, expires time.Duration }{
		{time.Second, minRenew, time.Second},
		{10 * time.Second, 5 * time.Second, 10 * time.Second},
		{1<<32*time.Second - 1, 12 * time.Hour, 24 * time.Hour},
	} {
		l := newTestLease()
		l.granted(testStart, PCP, testGrant(c.lifetime, 1))
		if got := l.renewAt.Sub(testStart); got != c.renew {
			t.Errorf("%v: renewed after %v, want %v", c.lifetime, got, c.renew)
		}
		if got := l.expires.Sub(testStart); got != c.expires {
			t.Errorf("%v: expires after %v, want %v", c.lifetime, got, c.expires)
		}
	}
	l := newTestLease()
	l.granted(testStart, UPnP, grant{external: testOuter})
	if !l.expires.IsZero() {
		t.Errorf("for ever is until %v", l.expires)
	}
	wantDue(t, l, time.Second, rest, checkTimeUPnP)
	wantDue(t, l, time.Hour, renew, checkTimeUPnP)
	l.failed(testStart.Add(time.Hour), renew, errSilent)
	if got := l.due(testStart.Add(100 * time.Hour)); !l.held() || got == search {
		t.Errorf("for ever has an end: task %d", got)
	}
}

func TestEpoch(t *testing.T) {
	for _, c := range []struct {
		name    string
		passed  time.Duration
		seconds uint32 // after 1000
		want    bool
	}{
		{"as it should be", 100 * time.Second, 1100, false},
		{"at once", 0, 1000, false},
		{"overtaken by a second", 0, 999, false},
		{"two seconds back", 0, 998, true},
		{"begun anew", 100 * time.Second, 5, true},
		{"begun anew before we had asked first", 2000 * time.Second, 1500, true},
		{"a slow clock", 160 * time.Second, 1150, false},
		{"too slow", 160 * time.Second, 1140, true},
		{"a fast clock", 160 * time.Second, 1171, false},
		{"too fast", 160 * time.Second, 1180, true},
		{"wrapped", time.Second, 0xffffffff, true},
	} {
		var e epoch
		if e.forgotten(testStart, 1000) {
			t.Errorf("%s: forgotten at first sight", c.name)
		}
		if got := e.forgotten(testStart.Add(c.passed), c.seconds); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if e.seconds != c.seconds {
			t.Errorf("%s: remembers %d", c.name, e.seconds)
		}
	}
}

// TestChoice: the preferred protocol is used if it answers in time, and the next if it
// does not, or refuses.
func TestChoice(t *testing.T) {
	no := errSilent
	for _, c := range []struct {
		name string
		do   func(c *choice)
		want Method // before the grace is over
		then Method // after it
		over bool
	}{
		{"nothing yet", func(*choice) {}, 0, 0, false},
		{"PCP", func(c *choice) { c.heard(PCP, nil) }, PCP, PCP, false},
		{"NAT-PMP waits for PCP", func(c *choice) { c.heard(NATPMP, nil) }, 0, NATPMP, false},
		{"NAT-PMP, no PCP", func(c *choice) { c.heard(NATPMP, nil); c.heard(PCP, errOldPCP) }, NATPMP, NATPMP, false},
		{"UPnP before the others are over", func(c *choice) { c.heard(UPnP, nil); c.heard(PCP, no) }, 0, UPnP, false},
		{"UPnP alone", func(c *choice) { c.heard(UPnP, nil); c.heard(PCP, no); c.heard(NATPMP, no) }, UPnP, UPnP, false},
		{"PCP refuses", func(c *choice) { c.heard(PCP, nil); c.heard(NATPMP, nil); c.failed(PCP, no) }, NATPMP, NATPMP, false},
		{"none", func(c *choice) { c.heard(PCP, no); c.heard(NATPMP, no); c.heard(UPnP, no) }, 0, 0, true},
	} {
		x := newChoice(Methods())
		c.do(x)
		if got, then := x.next(false), x.next(true); got != c.want || then != c.then || x.over() != c.over {
			t.Errorf("%s: %v, then %v, over %v; want %v, %v, %v", c.name, got, then, x.over(), c.want, c.then, c.over)
		}
	}
}

// TestChoiceError: what the gateway has said is worth more than that it was silent.
func TestChoiceError(t *testing.T) {
	refused := &Refusal{Method: NATPMP, Code: 2, Text: "this host may not ask for that"}
	x := newChoice(Methods())
	x.heard(PCP, errOldPCP)
	x.heard(NATPMP, refused)
	x.heard(UPnP, errors.New("something else"))
	if err := x.err(); err != error(refused) {
		t.Errorf("%v, want %v", err, refused)
	}
	x = newChoice(Methods())
	for _, m := range Methods() {
		x.heard(m, errSilent)
	}
	if got, want := describe(testWay, x.err()), "the gateway 192.168.1.1 does not answer by PCP, NAT-PMP or UPnP"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPrivate(t *testing.T) {
	for text, want := range map[string]bool{
		"11.0.0.1": false, "203.0.113.1": false, "2001:db8::1": false,
		"10.1.2.3": true, "172.16.0.1": true, "192.168.1.1": true, "100.64.0.1": true, "100.127.255.255": true, "240.0.0.1": true, "fd00::1": true,
	} {
		s := Status{Method: PCP, External: netip.AddrPortFrom(netip.MustParseAddr(text), 1)}
		if got := s.Private(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		r := Report{Answers: []Answer{{Method: PCP, Speaks: true}, {Method: NATPMP, External: s.External.Addr()}}}
		if got := r.Private(); got != want {
			t.Errorf("%s reported: %v, want %v", text, got, want)
		}
	}
	if (Status{}).Private() {
		t.Error("no mapping is private")
	}
}

// TestNames: what people read.
func TestNames(t *testing.T) {
	var names []string
	for _, m := range append(Methods(), 9) {
		names = append(names, m.String())
	}
	if got, want := strings.Join(names, " "), "PCP NAT-PMP UPnP method 9"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestFamilies: a mapping for each family that the socket takes, as far as a protocol
// does it.
func TestFamilies(t *testing.T) {
	four, six := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("2001:db8::7")
	for _, c := range []struct {
		name string
		cfg  Config
		want []bool // IPv6
	}{
		{"IPv4", Config{}, []bool{false}},
		{"both", Config{IPv6: true}, []bool{false, true}},
		{"all addresses", Config{Local: netip.IPv6Unspecified(), IPv6: true}, []bool{false, true}},
		{"bound to IPv4", Config{Local: four, IPv6: true}, []bool{false}},
		{"bound to IPv6", Config{Local: six, IPv6: true}, []bool{true}},
		{"no PCP", Config{IPv6: true, Methods: []Method{UPnP, NATPMP}}, []bool{false}},
	} {
		m := New(c.cfg)
		got := m.families()
		if len(got) != len(c.want) || len(got) > 0 && got[len(got)-1] != c.want[len(c.want)-1] {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		for i, s := range m.Status() {
			if s.IPv6 != c.want[i] || s.Method != 0 || s.Reason == "" {
				t.Errorf("%s: status %+v", c.name, s)
			}
		}
	}
}

func TestIsAnnouncement(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     bool
	}{
		{"PCP", "02 80 00 00 00000000 00000005 000000000000000000000000", true},
		{"NAT-PMP", "00 80 0000 00000005 0b000001", true},
		{"NAT-PMP, a mapping", "00 81 0000 00000005 119511950000 1c20", false},
		{"PCP, a mapping", mapAnswer, false},
		{"a question", "00 00", false},
		{"nothing", "", false},
	} {
		if got := isAnnouncement(bytesOf(t, c.in)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
