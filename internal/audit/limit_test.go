package audit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// stranger is somebody at an address who was refused.
func stranger(now time.Time, addr string) *Record {
	return &Record{Time: now, Event: HandshakeRefused, Outcome: Refused, Code: "unknown_ca", From: netip.MustParseAddrPort(addr)}
}

// TestLimitStranger: the first record of a source is written at once, the others are one a
// minute with their number, and after a quiet minute the source is forgotten.
func TestLimitStranger(t *testing.T) {
	l := newLimiter()
	if !l.admit(stranger(noon, "192.0.2.1:1")) {
		t.Error("the first one is not written")
	}
	for i := range 999 { // from other ports, under other names
		r := stranger(noon.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf("192.0.2.1:%d", 2+i))
		r.Name = fmt.Sprint("x", i)
		if l.admit(r) {
			t.Fatalf("number %d is written", i+2)
		}
	}
	if !l.admit(stranger(noon, "192.0.2.2:1")) {
		t.Error("another source is not written")
	}
	if out := l.due(noon.Add(limitTime-1), false, nil); len(out) != 0 {
		t.Errorf("before the minute is over: %v", out)
	}
	out := l.due(noon.Add(limitTime), false, nil)
	if len(out) != 1 || out[0].Count != 999 || !out[0].Since.Equal(noon) || out[0].From.String() != "192.0.2.1:1000" || out[0].Code != "unknown_ca" {
		t.Fatalf("after the minute: %+v", out)
	}
	later := noon.Add(limitTime + time.Second)
	if l.admit(stranger(later, "192.0.2.1:1")) {
		t.Error("in the next minute it is written at once")
	}
	out = l.due(noon.Add(2*limitTime+time.Second), false, nil)
	if len(out) != 1 || out[0].Count != 0 || !out[0].Since.IsZero() || !out[0].Time.Equal(later) {
		t.Errorf("one in the next minute: %+v", out)
	}
	l.due(noon.Add(4*limitTime), false, nil)
	if len(l.events) != 0 {
		t.Errorf("after a quiet minute it has %v", l.events)
	}
	if !l.admit(stranger(noon.Add(4*limitTime), "192.0.2.1:1")) {
		t.Error("after a quiet minute it is not written")
	}
}

// TestLimitSources: from a million places there are 32 records a minute and one for the
// rest, and no more memory.
func TestLimitSources(t *testing.T) {
	l := newLimiter()
	written := 0
	const places = 100000
	for i := range places {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if l.admit(&Record{Time: noon, Event: HandshakeRefused, Outcome: Refused, From: netip.AddrPortFrom(a, 1)}) {
			written++
		}
	}
	if written != strangerSources || len(l.events[class{HandshakeRefused, Stranger}].by) != strangerSources {
		t.Errorf("%d are written, of %d sources", written, len(l.events[class{HandshakeRefused, Stranger}].by))
	}
	out := l.due(noon.Add(limitTime), false, nil)
	if len(out) != 1 || out[0].Count != places-strangerSources || out[0].From.IsValid() || out[0].Reason != others {
		t.Errorf("the rest is %+v", out)
	}
	l.due(noon.Add(2*limitTime), false, nil)
	l.due(noon.Add(3*limitTime), false, nil)
	if len(l.events) != 0 {
		t.Error("they are not forgotten")
	}
}

// TestLimitNetworks: the addresses of one customer are one source.
func TestLimitNetworks(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true}, {"192.0.2.1:1", "192.0.2.2:1", false}, {"[::ffff:192.0.2.1]:1", "192.0.2.1:1", true},
		{"[2001:db8::1]:1", "[2001:db8::2]:1", true}, {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false}, {"[fe80::1%eth0]:1", "[fe80::1%eth1]:1", true},
	} {
		l := newLimiter()
		l.admit(stranger(noon, c.a))
		if got := !l.admit(stranger(noon, c.b)); got != c.same {
			t.Errorf("%s and %s are one source: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

// TestLimitCauses: members have twenty records a minute, each by the name of its
// certificate, and nothing of what administrators do is counted.
func TestLimitCauses(t *testing.T) {
	l := newLimiter()
	for _, name := range []string{"alice", "bob"} {
		for i := range memberBurst + 5 {
			r := &Record{Time: noon, Event: ChannelOpened, Name: name, From: netip.MustParseAddrPort("192.0.2.1:1")}
			if got, want := l.admit(r), i < memberBurst; got != want {
				t.Errorf("number %d of %s is written: %v, want %v", i, name, got, want)
			}
		}
	}
	if out := l.due(noon, true, nil); len(out) != 2 || out[0].Count != 5 || out[1].Count != 5 {
		t.Errorf("at the end: %+v", out)
	}
	for range 10000 {
		if !l.admit(&Record{Time: noon, Event: Reloaded}) {
			t.Fatal("what is done here is not written")
		}
	}
}

// TestLimitBehindOneNAT: members that have shown a certificate, and clients in clear, are
// told one by one although they come from one address; who was refused there is not.
func TestLimitBehindOneNAT(t *testing.T) {
	l := newLimiter()
	at := netip.MustParseAddrPort("192.0.2.1:1")
	for i := range 20 {
		vpn := netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)})
		member := &Record{Time: noon, Event: ClientRegistered, Name: fmt.Sprint("h", i), Key: fmt.Sprint(i), Serial: "01", VPNAddr: vpn, From: at}
		clear := &Record{Time: noon, Event: ClientRegistered, VPNAddr: vpn, From: at}
		refused := &Record{Time: noon, Event: RegistrationRefused, Outcome: Refused, VPNAddr: vpn, From: at}
		if !l.admit(member) || !l.admit(clear) || l.admit(refused) != (i == 0) {
			t.Errorf("number %d is not told as it should be", i)
		}
	}
}

// TestLimitCounts: records that count packets are added up.
func TestLimitCounts(t *testing.T) {
	l := newLimiter()
	r := &Record{Time: noon, Event: SourceSpoofed, Name: "mallory", Count: 7}
	for range memberBurst + 3 {
		l.admit(r)
	}
	if out := l.due(noon, true, nil); len(out) != 1 || out[0].Count != 21 {
		t.Errorf("got %+v, want 21 packets", out)
	}
}
