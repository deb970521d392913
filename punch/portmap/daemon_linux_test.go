package portmap

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"campagnol/internal/lab"
)

// count returns how many lines of a log begin with msg.
func count(t *testing.T, p *lab.Process, msg string) (n int) {
	t.Helper()
	lines, err := p.Log()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if strings.HasPrefix(l.Message, msg) {
			n++
		}
	}
	return n
}

// TestDaemon: a real gateway forwards our port by each protocol, a stranger reaches it,
// and what was forwarded is gone when we are.
func TestDaemon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		methods []Method
		noUPnP  bool
		want    string
	}{
		{"PCP", []Method{PCP}, false, "PCP"},
		{"NAT-PMP", []Method{NATPMP}, false, "NAT-PMP"},
		{"UPnP", []Method{UPnP}, false, "UPnP"},
		{"preferred", nil, false, "PCP"},
		{"what is left", []Method{UPnP, NATPMP}, true, "NAT-PMP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, lab.Options{})
			s.daemon(lab.PortMapperOptions{NoUPnP: c.noUPnP})
			began := time.Now()
			p := s.run(hostPlan{Port: 4501, Methods: c.methods})
			external, line := s.mapped(p, time.Time{})
			t.Logf("by %s after %v", line.Attr("method"), line.Time.Sub(began))
			if got := line.Attr("method"); got != c.want {
				t.Errorf("by %s, want %s", got, c.want)
			}
			if external.Addr() != s.nat.MappedAddr() || external.Port() != 4501 {
				t.Errorf("outer address %v, want %v and the port that was asked for", external, s.nat.MappedAddr())
			}
			if status := s.await(p, time.Time{}, "Status"); status.Attr("private") != "false" || status.Attr("addresses") != "1" {
				t.Errorf("status %+v", status)
			}
			if !s.reaches(external, 10*time.Second) {
				t.Error("a stranger does not reach the port")
			}
			if n, err := s.nat.MappedPorts(); err != nil || n != 1 {
				t.Errorf("the gateway forwards %d ports (%v), want 1", n, err)
			}
			s.stop(p)
			if n, err := s.nat.MappedPorts(); err != nil || n != 0 {
				t.Errorf("the gateway forwards %d ports (%v) when we are gone", n, err)
			}
		})
	}
}

// TestPortTaken: where our port is another host's, we get another.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	for _, m := range Methods() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, lab.Options{})
			s.daemon(lab.PortMapperOptions{})
			first := s.run(hostPlan{Port: 4501})
			one, _ := s.mapped(first, time.Time{})
			other, err := s.lab.AddHost("other", s.nat)
			if err != nil {
				t.Fatal(err)
			}
			s.host = other
			two, _ := s.mapped(s.run(hostPlan{Port: 4501, Methods: []Method{m}}), time.Time{})
			if one.Port() != 4501 || two.Port() == one.Port() || two.Addr() != one.Addr() {
				t.Errorf("two hosts are reached at %v and %v", one, two)
			}
			for _, a := range []bool{s.reaches(one, 10*time.Second), s.reaches(two, 10*time.Second)} {
				if !a {
					t.Error("a stranger does not reach the port")
				}
			}
		})
	}
}

// TestDaemonRestarts: when the gateway has forgotten everything, the port is forwarded
// again at once.
func TestDaemonRestarts(t *testing.T) {
	t.Parallel()
	for _, m := range []Method{PCP, NATPMP} {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, lab.Options{})
			daemon := s.daemon(lab.PortMapperOptions{})
			p := s.run(hostPlan{Port: 4501, Methods: []Method{m}})
			external, _ := s.mapped(p, time.Time{})
			if !s.reaches(external, 10*time.Second) {
				t.Fatal("a stranger does not reach the port")
			}
			// Its clock has to be ahead of that of the next one by more than is forgiven.
			time.Sleep(4 * time.Second)
			if err := daemon.Signal(os.Kill); err != nil {
				t.Fatal(err)
			}
			<-daemon.Exited()
			if err := s.nat.ForgetMappings(); err != nil {
				t.Fatal(err)
			}
			if s.reaches(external, 300*time.Millisecond) {
				t.Fatal("a stranger reaches a port that nobody forwards")
			}
			since := time.Now()
			s.daemon(lab.PortMapperOptions{})
			if !s.reaches(external, 45*time.Second) {
				t.Fatal("the port is not forwarded again")
			}
			t.Logf("forwarded again %v after the gateway was started", time.Since(since))
			if n := count(t, p, "The gateway forwards our port"); n != 1 {
				t.Errorf("logged %d times that the port is forwarded, and nothing has changed", n)
			}
		})
	}
}

// TestRenewal: a short lease is renewed, and the port stays reachable.
func TestRenewal(t *testing.T) {
	t.Parallel()
	for _, m := range Methods() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, lab.Options{})
			s.daemon(lab.PortMapperOptions{MinLifetime: time.Second})
			p := s.run(hostPlan{Port: 4501, Methods: []Method{m}, Lifetime: 9 * time.Second})
			external, _ := s.mapped(p, time.Time{})
			for end := time.Now().Add(14 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
				if !s.reaches(external, 5*time.Second) {
					t.Fatal("a stranger does not reach the port any more")
				}
			}
			// After 4.5 s and 9 s of 14 s, if nobody is in the way.
			if n := count(t, p, "The gateway has renewed the port mapping"); n < 2 || n > 3 {
				t.Errorf("renewed %d times", n)
			}
		})
	}
}

// TestNoDaemon: a gateway that does nothing of this costs one line in the log, and the
// end is not delayed.
func TestNoDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, lab.Options{})
	p := s.run(hostPlan{Port: 4501})
	line := s.await(p, time.Time{}, "No port mapping")
	if got, want := line.Attr("why"), "the gateway 192.168.1.1 does not answer by PCP, NAT-PMP or UPnP"; got != want {
		t.Errorf("why: %s, want %s", got, want)
	}
	time.Sleep(13 * time.Second) // the next search
	s.stop(p)
	if n := count(t, p, "No port mapping"); n != 1 {
		t.Errorf("%d lines about the same", n)
	}
}

// TestProbe: what the gateway speaks is found out without an effect on it.
func TestProbe(t *testing.T) {
	t.Parallel()
	s := newSite(t, lab.Options{})
	s.daemon(lab.PortMapperOptions{})
	p := s.run(hostPlan{Probe: true})
	line := s.await(p, time.Time{}, "Probed")
	if line.Attr("gateway") != "192.168.1.1" || line.Attr("err") != "<nil>" || line.Attr("private") != "false" {
		t.Errorf("%+v", line)
	}
	for _, m := range Methods() {
		a := s.await(p, time.Time{}, "Answer of "+m.String())
		if a.Attr("speaks") != "true" {
			t.Errorf("%v: %+v", m, a)
		}
		if m != PCP && a.Attr("external") != s.nat.MappedAddr().String() {
			t.Errorf("%v: outer address %s, want %v", m, a.Attr("external"), s.nat.MappedAddr())
		}
	}
	if n, err := s.nat.MappedPorts(); err != nil || n != 0 {
		t.Errorf("the gateway forwards %d ports (%v)", n, err)
	}
}

// TestGatewayChanges: without a gateway there is no mapping, and with one again there
// is, at once.
func TestGatewayChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, lab.Options{})
	s.daemon(lab.PortMapperOptions{})
	p := s.run(hostPlan{Port: 4501})
	external, _ := s.mapped(p, time.Time{})
	route := &netlink.Route{Gw: s.nat.LAN().Masked().Addr().Next().AsSlice()}
	change := func(f func(*netlink.Route) error) time.Time {
		t.Helper()
		at := time.Now()
		if err := s.host.Do(func() error { return f(route) }); err != nil {
			t.Fatal(err)
		}
		return at
	}
	since := change(netlink.RouteDel)
	line := s.await(p, since, "No port mapping")
	if got, want := line.Attr("why"), "no gateway is known"; got != want {
		t.Errorf("why: %s, want %s", got, want)
	}
	if took := line.Time.Sub(since); took > 5*time.Second {
		t.Errorf("noticed after %v", took)
	}
	since = change(netlink.RouteAdd)
	again, line := s.mapped(p, since)
	if took := line.Time.Sub(since); again != external || took > 5*time.Second {
		t.Errorf("%v again after %v, want %v", again, took, external)
	}
	if !s.reaches(again, 10*time.Second) {
		t.Error("a stranger does not reach the port")
	}
}

// TestPinhole: with IPv6 the gateway is asked to let our port in, at our own address.
func TestPinhole(t *testing.T) {
	t.Parallel()
	s := newSite(t, lab.Options{IPv6: true})
	ours := netip.AddrPortFrom(s.host.Addr6(), 4501)
	p := s.run(hostPlan{Port: 4501, IPv6: true})
	s.await(p, time.Time{}, "No port mapping")
	if s.reaches(ours, 300*time.Millisecond) {
		t.Fatal("a stranger reaches a port that nobody has asked for")
	}
	s.stop(p)
	s.daemon(lab.PortMapperOptions{})
	p = s.run(hostPlan{Port: 4501, IPv6: true})
	isOpen := func(l lab.LogLine) bool { return l.Attr("external") == ours.String() && l.Attr("method") == "PCP" }
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		lines, err := p.Log()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(lines, isOpen) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the gateway does not let %v in", ours)
		}
	}
	if !s.reaches(ours, 10*time.Second) {
		t.Error("a stranger does not reach the port")
	}
	s.stop(p)
	if s.reaches(ours, 300*time.Millisecond) {
		t.Error("a stranger reaches the port when we are gone")
	}
}
