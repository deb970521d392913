package punch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func cand(addr string, kind CandidateKind, scope string) Candidate {
	return Candidate{Addr: netip.MustParseAddrPort(addr), Kind: kind, Scope: scope}
}

func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		c    Candidate
		want Class
	}{
		{cand("10.1.2.3:4", Configured, "office"), Scoped},
		{cand("192.168.1.2:5", Host, "lab"), Scoped},
		{cand("192.168.1.2:5", Host, ""), Near},
		{cand("100.64.0.9:5", Host, ""), Near},
		{cand("[fd00::1]:5", Host, ""), Near},
		{cand("[::ffff:10.0.0.1]:5", Host, ""), Near},
		{cand("[2001:db8::1]:5", Host, ""), Direct6},
		{cand("203.0.113.1:5", Host, ""), Direct4},
		{cand("[::ffff:203.0.113.1]:5", Host, ""), Direct4},
		{cand("203.0.113.1:5", Observed, ""), Seen},
		{cand("[2001:db8::1]:5", Reflexive, ""), Seen},
		{cand("100.64.0.9:5", Mapped, ""), Forwarded},
		{cand("10.0.0.1:5", Configured, ""), Named},
		{cand("10.0.0.1:5", Stream, ""), Streamed},
		{cand("10.0.0.1:5", Stream, "office"), Streamed},
		{cand("203.0.113.1:5", Relayed, ""), Through},
		{cand("10.0.0.1:5", 0, ""), Unknown},
		{cand("10.0.0.1:5", 99, ""), Unknown},
	} {
		if got := ClassOf(c.c); got != c.want {
			t.Errorf("%v: class %d, want %d", c.c, got, c.want)
		}
	}
}

// TestChoose: nearest first, each address once, the order within a class kept, and no
// class leaves out the others.
func TestChoose(t *testing.T) {
	list := []Candidate{
		cand("203.0.113.7:5", Configured, ""),
		cand("203.0.113.8:5", Observed, ""),
		cand("192.168.1.2:5", Host, ""),
		cand("203.0.113.8:5", Mapped, ""), // the same place again
		cand("[2001:db8::1]:5", Host, ""),
		cand("10.1.2.3:5", Configured, "office"),
		cand("192.168.1.1:5", Host, ""),
	}
	var got []string
	for _, c := range Choose(list) {
		got = append(got, c.Addr.String())
	}
	want := "10.1.2.3:5 192.168.1.2:5 192.168.1.1:5 [2001:db8::1]:5 203.0.113.8:5 203.0.113.7:5"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("%s, want %s", s, want)
	}
	if len(Choose(nil)) != 0 {
		t.Error("chosen from nothing")
	}
}

// TestChooseManyOfAClass: whoever names hundreds of places of his choice does not make
// us leave out the one that the RDV sees.
func TestChooseManyOfAClass(t *testing.T) {
	seen := cand("203.0.113.8:5", Observed, "")
	for kind := CandidateKind(0); kind < 8; kind++ {
		for _, scope := range []string{"", "office"} {
			var list []Candidate
			for i := range 300 {
				for _, ip := range []string{"10.0.0.1", "203.0.113.9", "2001:db8::1", "fd00::1"} {
					list = append(list, Candidate{Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(i+1)), Kind: kind, Scope: scope})
				}
			}
			list = append(list, seen)
			got := Choose(list)
			if len(got) > maxCandidates {
				t.Errorf("%v %q: %d chosen, want at most %d", kind, scope, len(got), maxCandidates)
			}
			if kind != Observed && kind != Reflexive && !slices.Contains(got, seen) {
				t.Errorf("%v %q: %v, without %v", kind, scope, got, seen.Addr)
			}
		}
	}
	total := 0
	for class, n := range perClass {
		if total += n; Class(class) == Seen && total > maxCandidates {
			t.Errorf("%d candidates come before those that the RDV sees, of %d", total, maxCandidates)
		}
	}
}

func TestIsPrivate(t *testing.T) {
	for text, want := range map[string]bool{
		"10.0.0.1": true, "172.31.255.255": true, "192.168.0.1": true, "100.64.0.1": true, "100.127.255.255": true,
		"fd00::1": true, "fe80::1": true, "127.0.0.1": true, "::ffff:10.0.0.1": true, "169.254.1.1": true,
		"100.128.0.1": false, "172.32.0.1": false, "203.0.113.1": false, "2001:db8::1": false,
	} {
		if got := IsPrivate(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if IsPrivate(netip.Addr{}) {
		t.Error("no address is private")
	}
}

func ExampleOutcome_String() {
	fmt.Println(Outcome{Candidate: Candidate{Addr: netip.MustParseAddrPort("192.168.1.3:5000"), Kind: Host}, Heard: true, Chosen: true})
	// Output: 192.168.1.3:5000 (host): heard, chosen
}
