package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// large returns a policy of 1,000 rules with 500 groups of 10,000 members.
func large(t testing.TB) (*Policy, []Member) {
	t.Helper()
	const hosts, groups = 10_000, 500
	var b strings.Builder
	for g := range groups {
		fmt.Fprintf(&b, "group g%d = h%d", g, g)
		for h := g + groups; h < hosts; h += groups {
			fmt.Fprintf(&b, ", h%d", h)
		}
		b.WriteByte('\n')
	}
	for i := range 999 {
		fmt.Fprintf(&b, "%s g%d <-> g%d, 10.%d.0.0/16\n", []string{"allow", "deny"}[i%2], i%groups, (i*7+1)%groups, i%256)
	}
	b.WriteString("allow *.example <-> role:server\n")
	var members []Member
	for h := range hosts {
		members = append(members, Member{
			Names:  []string{fmt.Sprintf("h%d", h), fmt.Sprintf("h%d.example", h)},
			Addrs:  []netip.Addr{netip.AddrFrom4([4]byte{10, 200, byte(h >> 8), byte(h)})},
			Groups: []string{"server"},
		})
	}
	return parse(t, b.String()), members
}

func BenchmarkTalk(b *testing.B) {
	p, members := large(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.Talk(members[i%len(members)], members[(i*31+7)%len(members)])
		i++
	}
}

func BenchmarkDiff(b *testing.B) {
	p, members := large(b)
	now := parse(b, strings.Replace(p.Text(), "deny g1 <->", "allow g1 <->", 1))
	for b.Loop() {
		n := 0
		for range Diff(p, now, members) {
			n++
		}
		if n == 0 {
			b.Fatal("no changes")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	p, _ := large(b)
	b.SetBytes(int64(len(p.Text())))
	for b.Loop() {
		parse(b, p.Text())
	}
}

// BenchmarkReview finds what no pair reaches, as "campagnol policy check" does.
func BenchmarkReview(b *testing.B) {
	p, _ := large(b)
	for b.Loop() {
		p.Warnings()
	}
}
