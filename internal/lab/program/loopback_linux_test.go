package program

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/internal/testenv"

	"golang.org/x/sys/unix"
)

// inBackground runs a program in this process until the end of the test, and
// returns the file of its socket.
func inBackground(t *testing.T, run func(ctx context.Context, path string) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := run(ctx, path); err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	return path
}

// freePort returns a UDP port that nobody uses.
func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// TestSendAndReceive plays both programs in this process, over the loopback
// interface, where a group is joined, left, and joined again.
func TestSendAndReceive(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	port := freePort(t)
	groups := []netip.Addr{netip.MustParseAddr("239.255.77.1"), netip.MustParseAddr("239.255.77.2")}
	r, err := NewReceiver(ctx, inBackground(t, func(ctx context.Context, path string) error {
		return receive(ctx, ReceiverOptions{Port: port, Control: path})
	}))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSender(ctx, inBackground(t, func(ctx context.Context, path string) error {
		return send(ctx, SenderOptions{Interface: "lo", Groups: groups, Port: port, Rate: 200, Control: path})
	}))
	if err != nil {
		t.Fatal(err)
	}
	m := Membership{Interface: "lo", Group: groups[1]}
	for round := range 2 {
		joined, err := r.Join(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.AwaitReception(ctx, func(g Reception) bool { return g.Sent >= joined }); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, err := r.Leave(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	sent, err := s.Pause(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Got(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		if g.Group != groups[1] || g.Run != sent.Run || g.Seq >= sent.Count || g.At < g.Sent {
			t.Fatalf("received %+v, of %+v", g, sent)
		}
	}
	if _, err := r.c.do(ctx, request{Do: "pause"}); err == nil || !strings.Contains(err.Error(), "a receiver does not know") {
		t.Errorf("a receiver that is told to pause: error %v", err)
	}
	if _, err := s.c.do(ctx, request{Do: "join"}); err == nil || !strings.Contains(err.Error(), "a sender does not know") {
		t.Errorf("a sender that is told to join: error %v", err)
	}
	for _, from := range []int{-5, len(got), len(got) + 100} {
		response, err := r.c.do(ctx, request{Do: "report", From: from})
		if want := max(len(got)-max(from, 0), 0); err != nil || len(response.Got) < want {
			t.Errorf("from number %d there are %d receptions (%v), want %d", from, len(response.Got), err, want)
		}
	}
	short, stop := context.WithTimeout(ctx, 30*ms)
	defer stop()
	if _, err := r.AwaitReception(short, func(Reception) bool { return false }); err == nil {
		t.Error("what never comes was received")
	}
}

// TestApply does everything that can be done with a membership, in an order in
// which the kernel accepts it, and what nobody accepts.
func TestApply(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("239.255.77.3"), netip.MustParseAddr("ff15::7703")
	s4, s6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	for _, c := range []struct {
		verbs  string
		m      Membership
		source netip.Addr // of what is blocked
		want   string     // of the error of the last verb
	}{
		{"join leave", Membership{Group: v4}, s4, ""},
		{"join leave", Membership{Group: v4, Source: s4}, s4, ""},
		{"join leave", Membership{Group: v4, Old: true}, s4, ""},
		{"join leave", Membership{Group: v4, Source: s4, Old: true}, s4, ""},
		{"join leave", Membership{Group: v6}, s6, ""},
		{"join leave", Membership{Group: v6, Source: s6}, s6, ""},
		{"join leave", Membership{Group: v6, Old: true}, s6, ""},
		{"join block unblock leave", Membership{Group: v4}, s4, ""},
		{"join block unblock leave", Membership{Group: v4, Old: true}, s4, ""},
		{"join block unblock leave", Membership{Group: v6}, s6, ""},
		{"join join", Membership{Group: v4}, s4, "address already in use"},
		{"leave", Membership{Group: v4, Old: true}, s4, "cannot assign requested address"},
		{"join", Membership{Group: v6, Source: s6, Old: true}, s6, "IPv6 has sources with the options of RFC 3678 only"},
		{"block", Membership{Group: v4}, netip.Addr{}, "block needs a source"},
		{"unblock", Membership{Group: v4, Old: true}, netip.Addr{}, "unblock needs a source"},
		{"block", Membership{Group: v6, Old: true}, netip.Addr{}, "block needs a source"},
		{"join", Membership{Group: s4}, s4, "127.0.0.1 is not a group"},
	} {
		family := unix.AF_INET
		if c.m.Group.Is6() {
			family = unix.AF_INET6
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.m.Interface = "lo"
		verbs := strings.Fields(c.verbs)
		for i, verb := range verbs {
			m := c.m
			if strings.HasSuffix(verb, "block") {
				m.Source = c.source
			}
			err := m.apply(fd, verb)
			last := i == len(verbs)-1
			if want := c.want; last && want != "" && (err == nil || !strings.Contains(err.Error(), want)) || (!last || want == "") && err != nil {
				t.Errorf("%s of %+v: error %v, want %q", verb, m, err, want)
			}
		}
		unix.Close(fd)
	}
	if err := (Membership{Interface: "nowhere0", Group: v4}).apply(-1, "join"); err == nil || !strings.Contains(err.Error(), "no such network interface") {
		t.Errorf("an interface that is not there: error %v", err)
	}
}
