package lab

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/testenv"
)

// needLab skips a test that has to make a lab where that is impossible, except
// in continuous integration, which must not pass by skipping.
func needLab(t testing.TB) {
	t.Helper()
	testenv.Root(t)
	if err := Preflight(); err != nil {
		testenv.Require(t, false, "what a lab needs: "+err.Error())
	}
}

// newLab makes a lab for a test, and checks at the end that nothing of it is
// left.
func newLab(t testing.TB, o Options) *Lab {
	t.Helper()
	needLab(t)
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	l, err := New(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
		checkGone(t, l.ID(), l.Dir())
	})
	return l
}

// testContext returns a context that ends well before the test is killed.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// checkGone fails the test if anything of a lab is left.
func checkGone(t testing.TB, id, dir string) {
	t.Helper()
	names, err := namespacesNamed(namePrefix + id)
	if err != nil || len(names) != 0 {
		t.Errorf("namespaces are left: %v (%v)", names, err)
	}
	for _, path := range []string{dir, filepath.Join(registryDir, id)} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
}

// addHost and addNAT add to a lab or fail the test.
func addHost(t testing.TB, l *Lab, name string, behind *NAT) *Host {
	t.Helper()
	h, err := l.AddHost(name, behind)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func addNAT(t testing.TB, l *Lab, name string, o NATOptions) *NAT {
	t.Helper()
	n, err := l.AddNAT(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantPing checks how many of a few echo requests are answered: all or none.
func wantPing(t testing.TB, from *Host, to netip.Addr, answered bool) {
	t.Helper()
	o := PingOptions{Count: 3, Interval: 5 * ms}
	want := o.Count
	if !answered {
		o.Patience, want = 100*ms, 0
	}
	r, err := from.Ping(testContext(t), to, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Received() != want {
		t.Errorf("ping from %s to %v: %v, want %d answers", from.Name(), to, r, want)
	}
}

func TestTopology(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	nat := addNAT(t, l, "nat1", NATOptions{Kind: PortRestricted})
	inside := addHost(t, l, "inside", nat)
	neighbour := addHost(t, l, "neighbour", nat)

	for _, c := range []struct{ name, got, want string }{
		{"server", server.Addr().String(), "203.0.113.10"},
		{"nat1", nat.Addr().String(), "203.0.113.11"},
		{"the LAN", nat.LAN().String(), "192.168.1.0/24"},
		{"inside", inside.Addr().String(), "192.168.1.2"},
		{"neighbour", neighbour.Addr().String(), "192.168.1.3"},
		{"IPv6", inside.Addr6().String(), "invalid IP"},
		{"namespace", inside.Namespace(), "/run/netns/campagnol-lab-" + l.ID() + "-inside"},
		{"nodes", l.Nodes()["inside"], "campagnol-lab-" + l.ID() + "-inside"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %s, want %s", c.name, c.got, c.want)
		}
	}
	wantPing(t, inside, server.Addr(), true)
	wantPing(t, inside, neighbour.Addr(), true)
	wantPing(t, inside, netip.MustParseAddr("192.168.1.1"), true)
	wantPing(t, server, nat.Addr(), false)    // the NAT drops, it does not answer
	wantPing(t, server, inside.Addr(), false) // private addresses are unknown outside
}

func TestNames(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	addHost(t, l, "a", nil)
	for _, c := range []struct{ name, want string }{
		{"a", `there is a "a" already`},
		{"internet", `there is a "internet" already`},
		{"", "1 to 64 characters"},
		{strings.Repeat("x", 65), "1 to 64 characters"},
		{"a-b", "letters, digits"},
		{"../x", "letters, digits"},
		{"ü", "letters, digits"},
	} {
		if _, err := l.AddHost(c.name, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("AddHost(%q): error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := l.AddNAT("n", NATOptions{}); err == nil || !strings.Contains(err.Error(), "makes no NAT") {
		t.Errorf("a NAT of kind none: error %v", err)
	}
	if _, err := l.AddNAT("n", NATOptions{Kind: Symmetric, LAN: internet6}); err == nil || !strings.Contains(err.Error(), "not an IPv4 network") {
		t.Errorf("a NAT with an IPv6 LAN: error %v", err)
	}
}
