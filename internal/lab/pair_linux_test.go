package lab

import (
	"net/netip"
	"os"
	"strings"
	"testing"
)

func addPair(t testing.TB, l *Lab) (a, b *Host) {
	t.Helper()
	a, b, err := l.AddPair("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestPair(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addPair(t, l)
	public := addHost(t, l, "public", nil)
	if got, want := a.Addr().String()+" "+b.Addr().String(), "198.51.100.1 198.51.100.2"; got != want {
		t.Errorf("the addresses are %s, want %s", got, want)
	}
	wantPing(t, a, b.Addr(), true)
	wantPing(t, b, a.Addr(), true)
	if _, err := a.Ping(testContext(t), public.Addr(), PingOptions{Count: 1, Patience: 100 * ms}); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("ping from a pair to the Internet: error %v, want network is unreachable", err)
	}
	if _, _, err := l.AddPair("c", "a"); err == nil || !strings.Contains(err.Error(), `there is a "a" already`) {
		t.Errorf("a second pair with a host a: error %v", err)
	}
	// Another pair has the same addresses, and is somewhere else.
	c, _, err := l.AddPair("d", "e")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Link().SetUp(false); err != nil {
		t.Fatal(err)
	}
	wantPing(t, b, a.Addr(), false)
	wantPing(t, c, b.Addr(), true)
	if err := b.Link().SetUp(true); err != nil {
		t.Fatal(err)
	}
	wantPing(t, a, b.Addr(), true)
}

// TestPairRules checks that the rules of the two views of one cable, which meet
// at the same ends, are told apart.
func TestPairRules(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addPair(t, l)
	lost, err := a.Link().Drop(FromNode, Match{Protocol: 17})
	if err != nil {
		t.Fatal(err)
	}
	counted, err := b.Link().Count(ToNode, Match{Protocol: 1})
	if err != nil {
		t.Fatal(err)
	}
	wantPing(t, a, b.Addr(), true)
	for _, c := range []struct {
		rule *Rule
		want uint64
	}{{lost, 0}, {counted, 3}} {
		if n, _, err := c.rule.Hits(); err != nil || n != c.want {
			t.Errorf("rule %s has %d hits (%v), want %d", c.rule.tag, n, err, c.want)
		}
	}
	if err := counted.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := lost.Hits(); err != nil {
		t.Errorf("with the rule of one view, that of the other is gone: %v", err)
	}
}

func TestSetSysctl(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addPair(t, l)
	const key = "net/ipv4/ip_default_ttl"
	if err := a.SetSysctl(key, "77"); err != nil {
		t.Fatal(err)
	}
	for h, want := range map[*Host]string{a: "77", b: "64"} {
		var got []byte
		err := h.Do(func() (err error) {
			got, err = os.ReadFile("/proc/sys/" + key)
			return err
		})
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("on %s %s is %q (%v), want %s", h.Name(), key, got, err, want)
		}
	}
	for _, c := range []struct{ key, value, want string }{
		{"net/ipv4/no_such_key", "1", "net.ipv4.no_such_key"},
		{key, "much", "invalid argument"},
		{"kernel/hostname", "x", "not one of a network"},
		{"net/../kernel/hostname", "x", "not one of a network"},
		{"/proc/sys/" + key, "1", "not one of a network"},
		{"", "1", "not one of a network"},
	} {
		if err := a.SetSysctl(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("set %q to %q: error %v, want one with %q", c.key, c.value, err, c.want)
		}
	}
}

func TestAddAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addPair(t, l)
	second := netip.MustParsePrefix("10.1.0.2/30")
	if err := b.AddAddress("eth0", second); err != nil {
		t.Fatal(err)
	}
	if err := a.AddAddress("eth0", netip.MustParsePrefix("10.1.0.1/30")); err != nil {
		t.Fatal(err)
	}
	wantPing(t, a, second.Addr(), true)
	for ifname, want := range map[string]string{"eth0": "file exists", "eth7": "eth7"} {
		if err := b.AddAddress(ifname, second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the same address on %s: error %v, want one with %q", ifname, err, want)
		}
	}
}

// TestEnv checks what processes find in their environment.
func TestEnv(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{Env: []string{"GOMAXPROCS=1", "HOME=/nowhere"}})
	a, _ := addPair(t, l)
	p := startHelper(t, a.Node, "env", "env", "GOMAXPROCS", "HOME", "PATH", "PWD")
	if err := p.Wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	lines, err := p.Log()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range lines {
		got = append(got, line.Message)
	}
	want := []string{"1", "/nowhere", os.Getenv("PATH"), l.Dir()}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the environment is %q, want %q", got, want)
	}
}
