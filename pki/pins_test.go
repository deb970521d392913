package pki

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// A pinPeers makes peers with and without addresses.
type pinPeers struct {
	t    testing.TB
	root *pkitest.CA
}

func newPinPeers(t testing.TB) pinPeers { return pinPeers{t, pkitest.NewCA(t, "root", now)} }

func (p pinPeers) peer(name string, addrs ...string) *Peer {
	p.t.Helper()
	return PeerOf(p.root.Issue(p.t, name, pkitest.Addrs(addrs...)).Cert)
}

func openPins(t testing.TB, path string) *Pins {
	t.Helper()
	p, err := OpenPins(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Flush) // before the folder is removed
	return p
}

// wantPins checks what is pinned, as "address name" separated by commas.
func wantPins(t testing.TB, p *Pins, want string) {
	t.Helper()
	var got []string
	for _, pin := range p.List() {
		got = append(got, fmt.Sprintf("%v %s", pin.Addr, pin.Name))
	}
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("pins = %q, want %q", s, want)
	}
}

func TestPinsCheck(t *testing.T) {
	peers := newPinPeers(t)
	old, intruder := peers.peer("old"), peers.peer("intruder")
	san, renewed := peers.peer("san", "10.9.0.1", "fd00::1"), peers.peer("renewed", "10.9.0.1")
	type step struct {
		addr       string
		peer       *Peer
		requireSAN bool
		want       Reason // 0: accepted
		parts      []string
	}
	for _, c := range []struct {
		name  string
		steps []step
		pins  string // at the end
	}{
		{"first sight", []step{
			{addr: "10.9.0.1", peer: old},
			{addr: "10.9.0.1", peer: old},
			{addr: "10.9.0.1", peer: intruder, want: OtherKey, parts: []string{`CN=intruder`, `"old"`, "campagnol forget 10.9.0.1", old.Key.String(), intruder.Key.String()}},
			{addr: "10.9.0.2", peer: intruder},
		}, "10.9.0.1 old, 10.9.0.2 intruder"},
		{"the same certificate twice", []step{
			{addr: "10.9.0.1", peer: old}, {addr: "10.9.0.2", peer: old},
		}, "10.9.0.1 old, 10.9.0.2 old"},
		{"address in the certificate", []step{
			{addr: "10.9.0.1", peer: san},
			{addr: "fd00::1", peer: san},
			{addr: "::ffff:10.9.0.1", peer: san},
			{addr: "10.9.0.2", peer: san, want: AddressMismatch, parts: []string{"10.9.0.1, fd00::1", "10.9.0.2"}},
		}, "10.9.0.1 san, fd00::1 san"},
		{"it wins over a pin, and keeps the address", []step{
			{addr: "10.9.0.1", peer: intruder},
			{addr: "10.9.0.1", peer: san},
			{addr: "10.9.0.1", peer: intruder, want: OtherKey},
			{addr: "10.9.0.1", peer: renewed},
			{addr: "10.9.0.1", peer: san},
		}, "10.9.0.1 san"},
		{"required", []step{
			{addr: "10.9.0.1", peer: old, requireSAN: true, want: NoAddress, parts: []string{"require_ip_san", "campagnol ca issue"}},
			{addr: "10.9.0.1", peer: san, requireSAN: true},
			{addr: "10.9.0.2", peer: san, requireSAN: true, want: AddressMismatch},
		}, ""},
		{"no address", []step{
			{addr: "fe80::1%eth0", peer: old, want: AddressMismatch},
		}, ""},
	} {
		for _, path := range []string{"", filepath.Join(t.TempDir(), "state", "pins")} {
			t.Run(fmt.Sprintf("%s, file %t", c.name, path != ""), func(t *testing.T) {
				p := openPins(t, path)
				for i, s := range c.steps {
					err := p.Check(now, ip(s.addr), s.peer, s.requireSAN)
					if s.want == 0 && err != nil {
						t.Errorf("step %d: %v", i, err)
					} else if s.want != 0 {
						wantRefusal(t, err, s.want, s.parts...)
					}
				}
				wantPins(t, p, c.pins)
				p.Flush()
				if path != "" {
					wantPins(t, openPins(t, path), c.pins)
				}
				for _, w := range p.Warnings() {
					if !strings.Contains(w, "10.9.0.1 belongs to key") { // of another certificate with the address
						t.Errorf("warning %q, want none", w)
					}
				}
			})
		}
	}
	wantRefusal(t, openPins(t, "").Check(now, netip.Addr{}, old, false), AddressMismatch)
}

// A peer that a test of another package made by hand has no certificate.
func TestPinsWithoutLeaf(t *testing.T) {
	p := openPins(t, "")
	err := p.Check(now, ip("10.9.0.1"), &Peer{Name: "x", Addrs: []netip.Addr{ip("10.9.0.2")}}, false)
	wantRefusal(t, err, AddressMismatch, "certificate x refused")
}

func TestPinsFile(t *testing.T) {
	peers := newPinPeers(t)
	path := filepath.Join(t.TempDir(), "pins")
	bob := peers.peer(`Bob "the" one`)
	if err := openPins(t, path).Check(now, ip("10.9.0.1"), bob, false); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := bob.Key.MarshalText()
	want := pinHeader + "10.9.0.1 " + string(key) + ` 2026-03-01T12:00:00Z "Bob \"the\" one"` + "\n"
	if string(data) != want {
		t.Errorf("file = %q, want %q", data, want)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", fi.Mode(), err)
	}
	pins := openPins(t, path).List()
	if len(pins) != 1 || pins[0] != (Pin{Addr: ip("10.9.0.1"), Key: bob.Key, Since: now, Name: `Bob "the" one`}) {
		t.Errorf("pins = %v, want one that is the same", pins)
	}
}

func TestPinsForget(t *testing.T) {
	peers := newPinPeers(t)
	path := filepath.Join(t.TempDir(), "pins")
	p := openPins(t, path)
	a, b := peers.peer("a"), peers.peer("b")
	if err := p.Check(now, ip("10.9.0.1"), a, false); err != nil {
		t.Fatal(err)
	}
	// What "campagnol forget" does, while the client runs.
	other := openPins(t, path)
	if ok, err := other.Forget(ip("10.9.0.2")); ok || err != nil {
		t.Errorf("forget an unknown address = %t, %v, want false", ok, err)
	}
	if ok, err := other.Forget(ip("::ffff:10.9.0.1")); !ok || err != nil {
		t.Errorf("forget = %t, %v, want true", ok, err)
	}
	if err := p.Check(now, ip("10.9.0.1"), b, false); err != nil {
		t.Errorf("after forget: %v", err)
	}
	wantPins(t, other, "10.9.0.1 b")
	wantRefusal(t, other.Check(now, ip("10.9.0.1"), a, false), OtherKey)
	// Removing the file forgets everything.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantPins(t, p, "")
	if ok, err := openPins(t, "").Forget(ip("10.9.0.1")); ok || err != nil {
		t.Errorf("forget in memory = %t, %v, want false", ok, err)
	}
}

// A person edited the file; what cannot be understood stays where it is.
func TestPinsBrokenLines(t *testing.T) {
	peers := newPinPeers(t)
	path := filepath.Join(t.TempDir(), "pins")
	a := peers.peer("a")
	key, _ := a.Key.MarshalText()
	content := "# mine\r\n\n" +
		"10.9.0.1 " + string(key) + " 2026-01-01T00:00:00Z \"a\"\n" +
		"10.9.0.2 123 2026-01-01T00:00:00Z \"short key\"\n" +
		"10.9.0.1 " + strings.Repeat("0", 64) + " 2026-01-01T00:00:00Z \"again\"\n" +
		"fe80::1%eth0 " + string(key) + " 2026-01-01T00:00:00Z\n" +
		"10.9.0.4 " + string(key) + " yesterday\n" +
		"10.9.0.5 " + string(key) + " 2026-01-01T00:00:00Z no quotes\n" +
		"  10.9.0.3\t" + string(key) + "  2026-01-01T01:00:00+01:00\n" +
		"10.9.0.6"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p := openPins(t, path)
	w := p.Warnings()
	wantWarnings(t, w, "line 4:", "line 5: 10.9.0.1 is pinned", "line 6:", "line 7:", "line 8:", "line 10:")
	for _, s := range w {
		if !strings.HasPrefix(s, path) {
			t.Errorf("warning %q, want it to start with the path", s)
		}
	}
	wantPins(t, p, "10.9.0.1 a, 10.9.0.3 ")
	if err := p.Check(now, ip("10.9.0.9"), peers.peer("new"), false); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, "\r\n")
		if strings.Contains(line, "10.9.0.3") { // a pin, written in its own form now
			line = "10.9.0.3 " + string(key) + ` 2026-01-01T00:00:00Z ""`
		}
		if !slices.Contains(strings.Split(string(after), "\n"), line) {
			t.Errorf("line %q got lost:\n%s", line, after)
		}
	}
	if w := p.Warnings(); len(w) != 0 {
		t.Errorf("warnings again: %q", w)
	}
}

func TestOpenPinsErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenPins(dir); err == nil {
		t.Error("a directory was taken for a pin file")
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxPinFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenPins(large)
	wantError(t, err, "pki: pin file", "too large")
}

// Where the disk cannot be written, pins live in memory, and one warning says
// so. (A parent that is a file does it, even for root.)
func TestPinsReadOnly(t *testing.T) {
	peers := newPinPeers(t)
	parent := filepath.Join(t.TempDir(), "state")
	p := openPins(t, filepath.Join(parent, "pins"))
	if err := os.WriteFile(parent, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := peers.peer("a"), peers.peer("b")
	for range 2 {
		if err := p.Check(now, ip("10.9.0.1"), a, false); err != nil {
			t.Error(err)
		}
		if err := p.Check(now, ip("10.9.0.2"), a, false); err != nil {
			t.Error(err)
		}
	}
	wantRefusal(t, p.Check(now, ip("10.9.0.1"), b, false), OtherKey)
	wantWarnings(t, p.Warnings(), "in memory only")
	wantPins(t, p, "10.9.0.1 a, 10.9.0.2 a")
	if ok, err := p.Forget(ip("10.9.0.2")); !ok || err != nil {
		t.Errorf("forget a pin in memory = %t, %v, want true", ok, err)
	}
	// The disk is back: the next pin takes the others along.
	if err := os.Remove(parent); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(now, ip("10.9.0.3"), b, false); err != nil {
		t.Fatal(err)
	}
	wantPins(t, p, "10.9.0.1 a, 10.9.0.3 b")
	wantPins(t, openPins(t, p.path), "10.9.0.1 a, 10.9.0.3 b")
}

// An address pinned in memory, then claimed by a certificate that names it
// while the disk is back.
func TestPinsReadOnlyOverride(t *testing.T) {
	peers := newPinPeers(t)
	parent := filepath.Join(t.TempDir(), "state")
	p := openPins(t, filepath.Join(parent, "pins"))
	if err := os.WriteFile(parent, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(now, ip("10.9.0.1"), peers.peer("first"), false); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(parent); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(now, ip("10.9.0.1"), peers.peer("san", "10.9.0.1"), false); err != nil {
		t.Fatal(err)
	}
	p.Flush()
	wantPins(t, openPins(t, p.path), "10.9.0.1 san")
}

func TestPinsLimits(t *testing.T) {
	peers := newPinPeers(t)
	greedy, other, san := peers.peer("greedy"), peers.peer("other"), peers.peer("san", "10.9.9.9")
	p := openPins(t, "")
	addr := ip("10.9.0.1")
	for range maxPinsPerKey {
		if err := p.Check(now, addr, greedy, false); err != nil {
			t.Fatal(err)
		}
		addr = addr.Next()
	}
	wantRefusal(t, p.Check(now, addr, greedy, false), OtherKey, "64 VPN addresses")
	if err := p.Check(now, addr, other, false); err != nil {
		t.Errorf("another key: %v", err)
	}
	// A full table, made by hand: 16384 checks would take long.
	var lines []pinLine
	for range maxPins {
		lines = append(lines, pinLine{pin: &Pin{Addr: addr, Key: KeyID{byte(len(lines)), byte(len(lines) >> 8)}}})
		addr = addr.Next()
	}
	p.index(lines)
	wantRefusal(t, p.Check(now, addr, other, false), OtherKey, "16384 pinned")
	if err := p.Check(now, ip("10.9.9.9"), san, false); err != nil {
		t.Errorf("a certificate with the address needs no pin: %v", err)
	}
	if got := len(p.List()); got != maxPins {
		t.Errorf("%d pins, want %d", got, maxPins)
	}
}

// TestPinsTwoProcesses lets two users of one file race for the same addresses.
func TestPinsTwoProcesses(t *testing.T) {
	peers := newPinPeers(t)
	path := filepath.Join(t.TempDir(), "pins")
	const addrs = 20
	won := make([]map[netip.Addr]bool, 4)
	var wg sync.WaitGroup
	for i := range won {
		won[i] = map[netip.Addr]bool{}
		peer, p := peers.peer(fmt.Sprint("peer", i)), openPins(t, path)
		wg.Go(func() {
			addr := ip("10.9.0.1")
			for range addrs {
				if p.Check(now, addr, peer, false) == nil {
					won[i][addr] = true
				}
				addr = addr.Next()
			}
		})
	}
	wg.Wait()
	p := openPins(t, path)
	if got := len(p.List()); got != addrs {
		t.Errorf("%d pins, want %d", got, addrs)
	}
	for _, pin := range p.List() {
		winners := 0
		for i := range won {
			if won[i][pin.Addr] {
				winners++
				if pin.Name != fmt.Sprint("peer", i) {
					t.Errorf("%v is pinned to %s, and peer%d was let in", pin.Addr, pin.Name, i)
				}
			}
		}
		if winners != 1 {
			t.Errorf("%v: %d peers were let in, want 1", pin.Addr, winners)
		}
	}
	if w := p.Warnings(); len(w) != 0 {
		t.Errorf("warnings = %q", w)
	}
}

// TestPinsNewer: of two keys whose certificates name an address, that of the newer
// certificate has it, whoever comes first and whichever process looks.
func TestPinsNewer(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	addr := ip("10.9.0.1")
	issue := func(name string, age time.Duration, opts ...pkitest.Edit) *Peer {
		t.Helper()
		from := func(c *x509.Certificate) { c.NotBefore = now.Add(-age) }
		return PeerOf(root.Issue(t, name, append(opts, from)...).Cert)
	}
	san := pkitest.Addrs("10.9.0.1")
	lost, found, plain := issue("lost", 48*time.Hour, san), issue("found", time.Hour, san), issue("plain", 0)
	path := filepath.Join(t.TempDir(), "pins")
	p := openPins(t, path)
	for _, step := range []struct {
		peer    *Peer
		refused bool
		warns   bool
	}{
		{plain, false, false},
		{lost, false, false}, // the CA outranks what was seen first
		{plain, true, false},
		{lost, false, false},
		{found, false, true},
		{lost, true, false},
		{found, false, false},
		{plain, true, false},
	} {
		err := p.Check(now, addr, step.peer, false)
		if step.refused {
			want := OtherKey
			if step.peer == lost {
				want = NewerCertificate
			}
			wantRefusal(t, err, want, "10.9.0.1 belongs to")
		} else if err != nil {
			t.Errorf("%s: %v", step.peer.Name, err)
		}
		if w := p.Warnings(); step.warns != (len(w) == 1) {
			t.Errorf("%s: warnings %q, want one: %v", step.peer.Name, w, step.warns)
		}
		p.Flush()
		p = openPins(t, path) // what is remembered is in the file
	}
	wantRefusal(t, p.Check(now, addr, lost, false), NewerCertificate, "whose certificate was issued on", "campagnol forget 10.9.0.1")

	// The same key with a newer certificate: nobody need know, and what was first
	// seen stays.
	renewed := *found
	leaf := *found.Leaf
	leaf.NotBefore = now
	renewed.Leaf = &leaf
	if err := p.Check(now.Add(time.Hour), addr, &renewed, false); err != nil {
		t.Error(err)
	}
	if pins := p.List(); len(pins) != 1 || !pins[0].Issued.Equal(now) || !pins[0].Since.Equal(now) {
		t.Errorf("pins = %+v, want a newer certificate since the same time", pins)
	}
	if _, err := p.Forget(addr); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(now, addr, lost, false); err != nil {
		t.Errorf("after campagnol forget: %v", err)
	}
}
