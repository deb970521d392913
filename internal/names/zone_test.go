package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var (
	net4 = netip.MustParsePrefix("10.9.0.0/24")
	net6 = netip.MustParsePrefix("fd09::/64")
	own  = addrs("10.9.0.1", "fd09::1")
)

func addrs(text ...string) (list []netip.Addr) {
	for _, a := range text {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

// entry is a member: name, then addresses. A name that begins with "?" is not verified.
func entry(name string, list ...string) Entry {
	bare, told := strings.CutPrefix(name, "?")
	return Entry{Name: bare, Addrs: addrs(list...), Verified: !told}
}

func zoneOf(entries ...Entry) *Zone {
	return NewZone("VPN.example.", []netip.Prefix{net4, net6}, own, append([]Entry{entry("me", "10.9.0.1", "fd09::1")}, entries...))
}

func TestLabel(t *testing.T) {
	z := zoneOf()
	for _, c := range []struct {
		name, want string
	}{
		{"alice", "alice"},
		{"Alice", "alice"},
		{"alice-2", "alice-2"},
		{"alice.vpn.example", "alice"},
		{"ALICE.VPN.EXAMPLE.", "alice"},
		{"42", "42"},
		{strings.Repeat("x", 63), strings.Repeat("x", 63)},
		{strings.Repeat("x", 64), ""},
		{"", ""},
		{"ns", ""},
		{"-alice", ""},
		{"alice-", ""},
		{"alice bob", ""},
		{"alice_bob", ""},
		{"alice.bob", ""},
		{"alice.example.org", ""},
		{"ålice", ""},
		{"al\x00ice", ""},
		{"*", ""},
	} {
		got, ok := z.Label(c.name)
		if !ok {
			got = ""
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestWhoHasAName: certificates that were seen go before what was told.
func TestWhoHasAName(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []Entry
		ask     string
		want    string // addresses
		problem string
	}{
		{"seen", []Entry{entry("bob", "10.9.0.2", "fd09::2")}, "bob", "10.9.0.2 fd09::2", ""},
		{"told", []Entry{entry("?bob", "10.9.0.2")}, "bob.vpn.example", "10.9.0.2", ""},
		{"both say the same", []Entry{entry("?bob", "10.9.0.2"), entry("bob", "10.9.0.2", "fd09::2")}, "bob", "10.9.0.2 fd09::2", ""},
		{"told another address", []Entry{entry("?bob", "10.9.0.0"), entry("bob", "10.9.0.9")}, "bob", "10.9.0.9", `10.9.0.0 has the name "bob", too`},
		{"told another name for an address", []Entry{entry("?bank", "10.9.0.2"), entry("bob", "10.9.0.2")}, "bank", "", ""},
		{"told that we are another", []Entry{entry("?bank", "10.9.0.1", "10.9.0.3")}, "bank", "10.9.0.3", ""},
		{"told our name", []Entry{entry("?me", "10.9.0.3")}, "me", "10.9.0.1 fd09::1", `10.9.0.3 has the name "me", too`},
		{"two are seen", []Entry{entry("bob", "10.9.0.7"), entry("Bob", "10.9.0.2")}, "bob", "10.9.0.2", `10.9.0.7 has the name "bob", too`},
		{"not in the VPN", []Entry{entry("bob", "192.0.2.1", "2001:db8::1")}, "bob", "", ""},
		{"partly in the VPN", []Entry{entry("?bob", "192.0.2.1", "10.9.0.2", "10.9.0.2")}, "bob", "10.9.0.2", ""},
		{"IPv4 in disguise", []Entry{entry("bob", "::ffff:10.9.0.2")}, "bob", "10.9.0.2", ""},
		{"no label", []Entry{entry("bob the builder", "10.9.0.2")}, "bob", "", `"bob the builder", which cannot be a name`},
		{"the server's", []Entry{entry("ns", "10.9.0.2")}, "ns", "", `"ns", which cannot be`},
		{"none", nil, "bob", "", ""},
	} {
		z := zoneOf(c.entries...)
		var got []string
		for _, a := range z.Resolve(c.ask) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
		if p := strings.Join(z.Problems(), "; "); !strings.Contains(p, c.problem) || c.problem == "" && p != "" {
			t.Errorf("%s: problems %q, want %q", c.name, p, c.problem)
		}
	}
}

func TestReverse(t *testing.T) {
	for _, a := range addrs("10.9.0.2", "0.0.0.0", "fd09::1", "2001:db8:1234:5678:9abc:def0:1234:5678", "::") {
		name, err := dns.ReverseAddr(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := reverse(name); !ok || got != a {
			t.Errorf("%s: %v, %v, want %v", name, got, ok, a)
		}
	}
	for _, name := range []string{"", ".", "in-addr.arpa.", "9.10.in-addr.arpa.", "x.0.9.10.in-addr.arpa.", "1.2.0.9.10.in-addr.arpa.", "300.0.9.10.in-addr.arpa.",
		"010.0.9.10.in-addr.arpa.", "ip6.arpa.", strings.Repeat("0.", 31) + "ip6.arpa.", strings.Repeat("0", 63) + ".ip6.arpa.",
		strings.Repeat("g.", 32) + "ip6.arpa.", strings.Repeat("0.", 33) + "ip6.arpa.",
		strings.Repeat("0:", 31) + "0.ip6.arpa."} {
		if a, ok := reverse(name); ok {
			t.Errorf("%q is %v", name, a)
		}
	}
}

func TestReverseDomain(t *testing.T) {
	for _, c := range [][2]string{
		{"10.9.0.0/24", "0.9.10.in-addr.arpa."},
		{"10.9.0.0/20", "9.10.in-addr.arpa."},
		{"10.9.0.7/32", "7.0.9.10.in-addr.arpa."},
		{"0.0.0.0/0", "in-addr.arpa."},
		{"fd09::/64", "0.0.0.0.0.0.0.0.0.0.0.0.9.0.d.f.ip6.arpa."},
		{"fd09::/62", "0.0.0.0.0.0.0.0.0.0.0.9.0.d.f.ip6.arpa."},
	} {
		if got := ReverseDomain(netip.MustParsePrefix(c[0])); got != c[1] {
			t.Errorf("%s: %s, want %s", c[0], got, c[1])
		}
	}
}

// said renders what an answer says.
func said(m *dns.Msg) string {
	if m == nil {
		return "nothing"
	}
	text := dns.RcodeToString[m.Rcode]
	if m.Authoritative {
		text += " aa"
	}
	for _, part := range []struct {
		name string
		rrs  []dns.RR
	}{{"", m.Answer}, {" |", m.Ns}} {
		text += part.name
		for _, rr := range part.rrs {
			text += " " + dns.TypeToString[rr.Header().Rrtype]
			switch rr := rr.(type) {
			case *dns.SOA:
				text += " " + rr.Hdr.Name
			case *dns.A:
				text += " " + rr.A.String()
			case *dns.AAAA:
				text += " " + rr.AAAA.String()
			case *dns.PTR:
				text += " " + rr.Ptr
			case *dns.NS:
				text += " " + rr.Ns
			}
		}
	}
	return strings.TrimSuffix(text, " |")
}

func TestAnswer(t *testing.T) {
	z := zoneOf(entry("bob", "10.9.0.2", "fd09::2"), entry("?carol", "10.9.0.3"))
	const nodata = "NOERROR aa | SOA vpn.example."
	const back6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.0.d.f.ip6.arpa."
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"bob.vpn.example.", dns.TypeA, "NOERROR aa A 10.9.0.2"},
		{"BoB.VPN.example.", dns.TypeAAAA, "NOERROR aa AAAA fd09::2"},
		{"carol.vpn.example.", dns.TypeA, "NOERROR aa A 10.9.0.3"},
		{"carol.vpn.example.", dns.TypeAAAA, nodata},
		{"bob.vpn.example.", dns.TypeMX, nodata},
		{"bob.vpn.example.", dns.TypeANY, "NOERROR aa HINFO"},
		{"dave.vpn.example.", dns.TypeA, "NXDOMAIN aa | SOA vpn.example."},
		{"x.bob.vpn.example.", dns.TypeA, "NXDOMAIN aa | SOA vpn.example."},
		{`b\.ob.vpn.example.`, dns.TypeA, "NXDOMAIN aa | SOA vpn.example."},
		{"vpn.example.", dns.TypeSOA, "NOERROR aa SOA vpn.example."},
		{"vpn.example.", dns.TypeNS, "NOERROR aa NS ns.vpn.example."},
		{"vpn.example.", dns.TypeA, nodata},
		{"vpn.example.", dns.TypeANY, "NOERROR aa HINFO"},
		{"ns.vpn.example.", dns.TypeA, "NOERROR aa A 10.9.0.1"},
		{"ns.vpn.example.", dns.TypeAAAA, "NOERROR aa AAAA fd09::1"},
		{"example.", dns.TypeA, "REFUSED"},
		{"notvpn.example.", dns.TypeA, "REFUSED"},
		{"bob.vpn.example.org.", dns.TypeA, "REFUSED"},
		{".", dns.TypeNS, "REFUSED"},
		{"2.0.9.10.in-addr.arpa.", dns.TypePTR, "NOERROR aa PTR bob.vpn.example."},
		{back6, dns.TypePTR, "NOERROR aa PTR bob.vpn.example."},
		{"2.0.9.10.in-addr.arpa.", dns.TypeA, "NOERROR aa | SOA 0.9.10.in-addr.arpa."},
		{"9.0.9.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN aa | SOA 0.9.10.in-addr.arpa."},
		{"2.1.9.10.in-addr.arpa.", dns.TypePTR, "REFUSED"},
		{"0.9.10.in-addr.arpa.", dns.TypePTR, "REFUSED"},
	} {
		if got := said(z.Answer(new(dns.Msg).SetQuestion(c.name, c.qtype), true)); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, dns.TypeToString[c.qtype], got, c.want)
		}
	}
}

// TestOddQueries: what is not a plain question gets the answer that says so.
func TestOddQueries(t *testing.T) {
	z := zoneOf(entry("bob", "10.9.0.2"))
	for _, c := range []struct {
		name string
		edit func(*dns.Msg)
		want string
	}{
		{"a response", func(q *dns.Msg) { q.Response = true }, "nothing"},
		{"an update", func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }, "NOTIMP"},
		{"no question", func(q *dns.Msg) { q.Question = nil }, "FORMERR"},
		{"two questions", func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }, "FORMERR"},
		{"of another class", func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }, "REFUSED"},
		{"a transfer", func(q *dns.Msg) { q.Question[0].Qtype = dns.TypeAXFR }, "NOERROR aa | SOA vpn.example."},
		{"EDNS", func(q *dns.Msg) { q.SetEdns0(4096, true) }, "NOERROR aa A 10.9.0.2"},
		{"a later EDNS", func(q *dns.Msg) { q.SetEdns0(4096, true); q.IsEdns0().SetVersion(7) }, dns.RcodeToString[dns.RcodeBadVers]},
	} {
		q := new(dns.Msg).SetQuestion("bob.vpn.example.", dns.TypeA)
		c.edit(q)
		m := z.Answer(q, true)
		if got := said(m); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if m != nil && (m.RecursionAvailable || m.Id != q.Id || (q.IsEdns0() != nil) != (m.IsEdns0() != nil)) {
			t.Errorf("%s: %v", c.name, m)
		}
		if z.Knows(q) != true {
			t.Errorf("%s: there is nothing to wait for", c.name)
		}
	}
	if z.Knows(new(dns.Msg).SetQuestion("dave.vpn.example.", dns.TypeA)) {
		t.Error("a host that is not there is known")
	}
}

// TestAnswerSize: an answer by UDP has the size that was asked for, or less, and says
// that there is more.
func TestAnswerSize(t *testing.T) {
	var list []string
	for i := range 200 {
		list = append(list, fmt.Sprintf("10.9.0.%d", i+2))
	}
	z := zoneOf(entry("bob", list...))
	for _, c := range []struct {
		edns uint16
		udp  bool
		most int
		cut  bool
	}{{0, true, 512, true}, {100, true, 512, true}, {1000, true, 1000, true}, {65535, true, maxUDP, true}, {0, false, 65535, false}} {
		q := new(dns.Msg).SetQuestion("bob.vpn.example.", dns.TypeA)
		if c.edns > 0 {
			q.SetEdns0(c.edns, false)
		}
		m := z.Answer(q, c.udp)
		b, err := m.Pack()
		if err != nil || len(b) > c.most || m.Truncated != c.cut {
			t.Errorf("%+v: %d bytes, cut %v, %v", c, len(b), m.Truncated, err)
		}
		if !c.cut && len(m.Answer) != 200 {
			t.Errorf("%+v: %d addresses", c, len(m.Answer))
		}
	}
}

// FuzzAnswer: whatever is asked, the answer can be sent, is short, and gives away no
// address but members'.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"bob.vpn.example.", "vpn.example.", "2.0.9.10.in-addr.arpa.", "example.org.", strings.Repeat("a.", 120) + "vpn.example."} {
		for _, t := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeANY, dns.TypeNS} {
			q := new(dns.Msg).SetQuestion(name, t)
			q.SetEdns0(1232, true)
			b, err := q.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	z := zoneOf(entry("bob", "10.9.0.2", "fd09::2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q := new(dns.Msg)
		if q.Unpack(b) != nil {
			return
		}
		m := z.Answer(q, true)
		if m == nil {
			return
		}
		out, err := m.Pack()
		if err != nil && len(q.Question) < 2 {
			t.Fatalf("%v: the answer to %v cannot be sent", err, q)
		}
		if len(out) > maxUDP {
			t.Errorf("%d bytes", len(out))
		}
		for _, rr := range m.Answer {
			if a, ok := rr.(*dns.A); ok && !slices.Contains([]string{"10.9.0.1", "10.9.0.2"}, a.A.String()) {
				t.Errorf("%v is nobody's", a.A)
			}
		}
	})
}
