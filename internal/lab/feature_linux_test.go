package lab

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFeatureSet(t *testing.T) {
	t.Parallel()
	s := featureSet{names: make([]string, 40), words: []uint32{
		0xffff_ffff, 0, 1<<3 | 1<<31, 0,
		0xff, 0, 1 << 2, 0,
	}}
	for i, name := range map[int]string{0: "zero", 3: "three", 31: "last", 32: "next", 34: "far"} {
		s.names[i] = name
	}
	if got, want := s.active(), map[string]bool{
		"zero": false, "three": true, "last": true, "next": false, "far": true,
	}; !maps.Equal(got, want) {
		t.Errorf("active: %v, want %v", got, want)
	}
	for _, c := range []struct {
		name string
		want map[string]bool
		out  []uint32
		err  string
	}{
		{"nothing", nil, []uint32{unix.ETHTOOL_SFEATURES, 2, 0, 0, 0, 0}, ""},
		{"on and off", map[string]bool{"three": false, "zero": true}, []uint32{unix.ETHTOOL_SFEATURES, 2, 1<<3 | 1, 1, 0, 0}, ""},
		{"second word", map[string]bool{"far": true, "last": true}, []uint32{unix.ETHTOOL_SFEATURES, 2, 1 << 31, 1 << 31, 1 << 2, 1 << 2}, ""},
		{"unknown", map[string]bool{"warp": true}, nil, `no feature "warp"`},
		{"no name", map[string]bool{"": true}, nil, `no feature ""`},
	} {
		got, err := s.request(c.want)
		if !slices.Equal(got, c.out) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %x, %v, want %x, %q", c.name, got, err, c.out, c.err)
		}
	}
	// A name beyond what the kernel has words for.
	s.words = s.words[:featureBlock]
	if _, err := s.request(map[string]bool{"far": true}); err == nil {
		t.Error("a feature without a word can be requested")
	}
	if got := s.active(); len(got) != 3 {
		t.Errorf("with one word the features are %v, want three", got)
	}
}

func TestFeatureNames(t *testing.T) {
	t.Parallel()
	list := make([]byte, 3*featureName)
	copy(list, "one")
	copy(list[2*featureName:], strings.Repeat("x", featureName))
	if got, want := featureNames(list), []string{"one", "", strings.Repeat("x", featureName)}; !reflect.DeepEqual(got, want) {
		t.Errorf("names: %q, want %q", got, want)
	}
	if got := featureNames(nil); len(got) != 0 {
		t.Errorf("names of nothing: %q", got)
	}
}

// TestFeatures sends ten datagrams in one piece, and looks at how many cross
// the cable and how many pieces the receiver gets.
func TestFeatures(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addPair(t, l)
	for _, h := range []*Host{a, b} { // whose multicast would be counted, too
		if err := h.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
			t.Fatal(err)
		}
	}
	whole := map[string]bool{FeatureUDPSegmentation: true}
	cut := map[string]bool{FeatureUDPSegmentation: false, FeatureGSO: false}
	for _, name := range FeaturesTSO {
		cut[name] = false
	}
	for _, c := range []struct {
		name            string
		sender          map[string]bool
		gro             bool
		crossed, pieces int
	}{
		{"in one piece", whole, false, 1, 1},
		{"cut", cut, false, 10, 10},
		{"cut and put together", cut, true, 10, 1},
	} {
		if err := a.Link().SetFeatures(c.sender); err != nil {
			t.Fatal(err)
		}
		if err := b.Link().SetFeatures(map[string]bool{FeatureGRO: c.gro}); err != nil {
			t.Fatal(err)
		}
		got, err := a.Link().Features()
		if err != nil || got[FeatureUDPSegmentation] != c.sender[FeatureUDPSegmentation] {
			t.Errorf("%s: features %v, %v", c.name, got, err)
		}
		if crossed, pieces := sendSegments(t, a, b, 10); crossed != c.crossed || pieces != c.pieces {
			t.Errorf("%s: %d packets crossed, and arrived in %d pieces, want %d and %d", c.name, crossed, pieces, c.crossed, c.pieces)
		}
	}
}

// sendSegments has the kernel cut one message into n datagrams, and returns how
// many packets crossed the cable and in how many pieces a receiver gets them
// that takes more than one at a time.
func sendSegments(t *testing.T, from, to *Host, n int) (crossed, pieces int) {
	t.Helper()
	const size = 1000
	rx, err := to.ListenUDP(netip.AddrPortFrom(to.Addr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer rx.Close()
	setUDPOption(t, rx, unix.UDP_GRO, 1)
	tx, err := from.ListenUDP(netip.AddrPortFrom(from.Addr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	// Both ends have to know each other: what asks for a neighbour is a packet,
	// too.
	wantPing(t, from, to.Addr(), true)
	setUDPOption(t, tx, unix.UDP_SEGMENT, size)
	before, err := from.Link().Traffic()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.WriteToUDPAddrPort(make([]byte, n*size), rx.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	for got := 0; got < n*size; pieces++ {
		if err := rx.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		m, err := rx.Read(b)
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", got, n*size, err)
		}
		got += m
	}
	after, err := from.Link().Traffic()
	if err != nil {
		t.Fatal(err)
	}
	return int(after.Sub(before).TxPackets), pieces
}

func setUDPOption(t *testing.T, c *net.UDPConn, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_UDP, option, value) })
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

func TestSetFeaturesFails(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, _ := addPair(t, l)
	for _, c := range []struct{ feature, want string }{
		{"warp", `no feature "warp"`},
		{"loopback", "cannot be changed"}, // a veth has none
	} {
		if err := a.Link().SetFeatures(map[string]bool{c.feature: true}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("set feature %s: error %v, want one with %q", c.feature, err, c.want)
		}
	}
	gone := end{a.ns, "eth7"}
	err := gone.ethtool(func(d *ethtoolDevice) error {
		_, err := d.features()
		return err
	})
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("features of an interface that is not there: error %v, want %v", err, unix.ENODEV)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Link().Features(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("features after the end of the lab: error %v, want %v", err, os.ErrClosed)
	}
}
