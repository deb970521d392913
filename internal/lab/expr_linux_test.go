package lab

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// describe writes a rule in short, one expression after the other.
func describe(rule []expr.Any) string {
	var parts []string
	for _, e := range rule {
		switch e := e.(type) {
		case *expr.Meta:
			parts = append(parts, fmt.Sprintf("meta %d > r%d", e.Key, e.Register))
		case *expr.Payload:
			parts = append(parts, fmt.Sprintf("payload %d+%d %d > r%d", e.Base, e.Offset, e.Len, e.DestRegister))
		case *expr.Cmp:
			parts = append(parts, fmt.Sprintf("r%d %s %x", e.Register, map[expr.CmpOp]string{expr.CmpOpEq: "==", expr.CmpOpNeq: "!=", expr.CmpOpLt: "<"}[e.Op], bytes.TrimRight(e.Data, "\x00")))
		case *expr.Bitwise:
			parts = append(parts, fmt.Sprintf("r%d & %x", e.SourceRegister, e.Mask))
		case *expr.Numgen:
			parts = append(parts, fmt.Sprintf("random %d > r%d", e.Modulus, e.Register))
		case *expr.Byteorder:
			parts = append(parts, "hton")
		case *expr.Counter:
			parts = append(parts, "counter")
		case *expr.Verdict:
			parts = append(parts, map[expr.VerdictKind]string{expr.VerdictAccept: "accept", expr.VerdictDrop: "drop"}[e.Kind])
		default:
			parts = append(parts, strings.TrimPrefix(fmt.Sprintf("%T", e), "*expr."))
		}
	}
	return strings.Join(parts, "; ")
}

// TestMatchRules checks what matches are made of. Base 1 is the network header,
// base 2 that of the transport protocol; r1 is a register of 16 bytes and r8
// the first of 4.
func TestMatchRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		m    Match
		want string
	}{
		{"everything", Match{}, ""},
		{"a protocol", Match{Protocol: unix.IPPROTO_UDP}, "meta 16 > r8; r8 == 11"},
		{"a network", Match{Src: netip.MustParsePrefix("203.0.113.77/24")},
			"meta 1 > r8; r8 == 08; payload 1+12 4 > r1; r1 & ffffff00; r1 == cb0071"},
		{"a host", Match{Dst: netip.MustParsePrefix("203.0.113.10/32")},
			"meta 1 > r8; r8 == 08; payload 1+16 4 > r1; r1 & ffffffff; r1 == cb00710a"},
		{"an IPv6 network", Match{Dst: netip.MustParsePrefix("2001:db8::1/64")},
			"meta 1 > r8; r8 == 86dd; payload 1+24 16 > r1; r1 & ffffffffffffffff0000000000000000; r1 == 20010db8"},
		{"an IPv6 source", Match{Src: netip.MustParsePrefix("2001:db8::1/128")},
			"meta 1 > r8; r8 == 86dd; payload 1+8 16 > r1; r1 & ffffffffffffffffffffffffffffffff; r1 == 20010db8000000000000000000000001"},
		{"ports", Match{Protocol: unix.IPPROTO_TCP, SrcPort: 0x1234, DstPort: 80},
			"meta 16 > r8; r8 == 06; payload 2+0 2 > r8; r8 == 1234; payload 2+2 2 > r8; r8 == 0050"},
	} {
		got, err := c.m.exprs()
		if err != nil || describe(got) != c.want {
			t.Errorf("%s: %s (%v), want %s", c.name, describe(got), err, c.want)
		}
	}
}

func TestPieces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rule []expr.Any
		want string
	}{
		{"loss", rule(chance(50_000), counted(), drop()), "random 1000000 > r8; hton; r8 < 0000c350; counter; drop"},
		{"interfaces", rule(from("lan"), to("wan"), accept()), "meta 6 > r1; r1 == 6c616e; meta 7 > r1; r1 == 77616e; accept"},
		{"translation", rule(masquerade(true), destinationNAT(reg2)), "Masq; NAT"},
		{"nothing", rule(nil, nil), ""},
	} {
		if got := describe(c.rule); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := ifname("a-name-that-is-too-long"); len(got) != unix.IFNAMSIZ || got[unix.IFNAMSIZ-1] != 0 {
		t.Errorf("the name of an interface is %q, want %d bytes of which the last is zero", got, unix.IFNAMSIZ)
	}
}

func TestCounterOf(t *testing.T) {
	t.Parallel()
	r := &nftables.Rule{Exprs: rule(protocol(1), exprs{&expr.Counter{Packets: 3, Bytes: 400}}, drop())}
	if p, b := counterOf(r); p != 3 || b != 400 {
		t.Errorf("counterOf = %d, %d, want 3, 400", p, b)
	}
	if p, b := counterOf(&nftables.Rule{Exprs: rule(drop())}); p != 0 || b != 0 {
		t.Errorf("counterOf a rule without counter = %d, %d, want 0, 0", p, b)
	}
}

// TestNATKeys checks what the maps of hosts are about.
func TestNATKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  Kind
		bytes uint32 // of the key; 0: no map
		load  string // of an incoming packet's key
	}{
		{FullCone, 2, "payload 2+2 2 > r8"},
		{Restricted, 8, "payload 1+12 4 > r8; payload 2+2 2 > r9"},
		{PortRestricted, 0, ""},
		{Symmetric, 0, ""},
		{Sequential, 0, ""},
	} {
		r := newNATRules(NATOptions{Kind: c.kind})
		if (r.hosts != nil) != (c.bytes != 0) {
			t.Errorf("%v has a map of hosts: %v", c.kind, r.hosts != nil)
		}
		if r.hosts == nil {
			continue
		}
		if r.hosts.KeyType.Bytes != c.bytes || r.hosts.Timeout != defaultMappingTimeout {
			t.Errorf("%v: keys of %d bytes that live %v, want %d, %v", c.kind, r.hosts.KeyType.Bytes, r.hosts.Timeout, c.bytes, defaultMappingTimeout)
		}
		if got := describe(r.key(offSource4, offDestPort)); got != c.load {
			t.Errorf("%v: the key is loaded by %s, want %s", c.kind, got, c.load)
		}
	}
}
