package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestServices(t *testing.T) {
	for _, c := range []struct {
		text string
		want Service
		form string // if it differs
	}{
		{"tcp", Service{TCP, 0, 65535}, ""},
		{"TCP/22", Service{TCP, 22, 22}, "tcp/22"},
		{"tcp/1-65535", Service{TCP, 1, 65535}, ""},
		{"udp/8000-8080", Service{UDP, 8000, 8080}, ""},
		{"udp/53-53", Service{UDP, 53, 53}, "udp/53"},
		{"udp/65535", Service{UDP, 65535, 65535}, ""},
		{"icmp", Service{ICMP, 0, 65535}, ""},
		{"icmpv6", Service{ICMPv6, 0, 65535}, ""},
		{"0", Service{0, 0, 65535}, ""},
		{"47", Service{47, 0, 65535}, ""},
		{"255", Service{255, 0, 65535}, ""},
		{"6", Service{TCP, 0, 65535}, "tcp"},
		{"17/53", Service{UDP, 53, 53}, "udp/53"},
	} {
		got, m := parseService(token{kind: word, text: c.text})
		if m != nil || got != c.want {
			t.Errorf("%q = %+v, %v, want %+v", c.text, got, m, c.want)
			continue
		}
		form := c.form
		if form == "" {
			form = c.text
		}
		if got.String() != form {
			t.Errorf("%q is written %q, want %q", c.text, got, form)
		}
	}
	for _, text := range []string{"", "tcp/", "tcp/0", "tcp/-5", "tcp/5-", "tcp/65536", "tcp/22-21", "tcp/022", "tcp/1-2-3", "tcp/ssh", "tcp/22/23", "icmp/8", "47/1", "256", "-1", "047", "sctp", "any"} {
		if got, m := parseService(token{kind: word, text: text}); m == nil {
			t.Errorf("%q = %+v, want a mistake", text, got)
		}
	}
	if _, m := parseService(token{kind: comma, text: ","}); m == nil {
		t.Error("a comma is a service")
	}
}

// TestFilter has what the lines of a policy are for one pair.
func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name, text string
		from, to   string
		want       string // line, verb, networks of both sides and services of each rule
	}{
		{"none", "allow all <-> all", "a", "b", ""},
		{"names", "filter a -> b: allow tcp/22, udp\nfilter all -> b: deny", "a", "b", "1 allow [] [] [tcp/22 udp]; 2 deny [] [] []"},
		{"other way", "filter a -> b: allow tcp/22\nfilter all -> b: deny", "b", "a", ""},
		{"both ways", "filter a <-> b: deny", "b", "a", "1 deny [] [] []"},
		{"both ways, once", "filter all <-> all: deny", "b", "a", "1 deny [] [] []"},
		{"groups and roles", "group g = a, role:r\nfilter g -> role:r: deny icmp", "a", "x role:r", "2 deny [] [] [icmp]"},
		{"whole host by address", "filter 10.9.0.0/28 -> 10.9.0.7: deny", "10.9.0.3", "10.9.0.7", "1 deny [] [] []"},
		{"one address of two", "filter all -> 10.9.0.7: deny", "a", "b 10.9.0.7 10.9.0.8", "1 deny [] [10.9.0.7/32] []"},
		{"both addresses of two", "filter all -> 10.9.0.0/28: deny", "a", "b 10.9.0.7 10.9.0.8", "1 deny [] [] []"},
		{"the network behind a host", "filter a -> 192.168.7.0/24: deny", "a", "b 10.9.0.7 192.168.7.0/24", "1 deny [] [192.168.7.0/24] []"},
		{"a part of it", "filter a -> 192.168.7.64/26, 192.168.7.1: deny", "a", "b 10.9.0.7 192.168.7.0/24", "1 deny [] [192.168.7.64/26 192.168.7.1/32] []"},
		{"more than it", "filter a -> 192.168.0.0/16: deny", "a", "b 10.9.0.7 192.168.7.0/24", "1 deny [] [192.168.0.0/16] []"},
		{"not it", "filter a -> 192.168.8.0/24: deny", "a", "b 10.9.0.7 192.168.7.0/24", ""},
		{"name beside a network", "filter a -> 192.168.7.1, b: deny", "a", "b 10.9.0.7 192.168.7.0/24", "1 deny [] [] []"},
		{"network in a group", "group g = 192.168.7.1, x\nfilter 10.9.0.1 -> g: deny", "10.9.0.1 fd00::1", "b 10.9.0.7 192.168.7.0/24", "2 deny [10.9.0.1/32] [192.168.7.1/32] []"},
		{"each way its own networks", "filter 10.9.0.1 <-> 192.168.7.1: deny", "b 10.9.0.7 192.168.7.0/24", "a 10.9.0.1 10.9.0.2", "1 deny [192.168.7.1/32] [10.9.0.1/32] []"},
		{"both sides mean both", "filter 10.9.0.0/24 <-> 10.9.0.7, a: deny", "a 10.9.0.1 10.8.0.1", "10.9.0.7", "1 deny [10.9.0.0/24] [] []; 1 deny [] [] []"},
		{"a host without address", "filter 10.9.0.0/24 -> all: deny", "a", "b", ""},
	} {
		var got []string
		for _, r := range parse(t, c.text).Filter(member(t, c.from), member(t, c.to)) {
			if want := strings.Split(c.text, "\n")[r.Line-1]; r.Text != want {
				t.Errorf("%s: text %q, want %q", c.name, r.Text, want)
			}
			got = append(got, fmt.Sprint(r.Line, " ", verb(r.Allow), " ", r.From, " ", r.To, " ", r.Services))
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}
