package main

import (
	"net/netip"
	"strings"
	"testing"
)

// TestRedactNames: a name is replaced where it is a word of its own, whatever separates
// it from others, and left where it is a part of another word.
func TestRedactNames(t *testing.T) {
	r := newRedactor(true)
	r.hide([]string{"rdv", "vm", "Alice", "rdv.example.org", "vpn", "Zoë", "Bob & Co", "old-vm"})
	mark := func(name string) string { return "name-" + r.mark(strings.ToLower(name)) }
	rdv, vm, alice := mark("rdv"), mark("vm"), mark("alice")
	for _, c := range []struct{ text, want string }{
		// Parts of other words, and what this program calls things.
		{"[NETWORK] rdv_auth = \"auto\"", "[NETWORK] rdv_auth = \"auto\""},
		{"golang.org/x/sys.recvmmsg(0x7)", "golang.org/x/sys.recvmmsg(0x7)"},
		{"kvm rdvs vm2 the RDV server", "kvm rdvs vm2 the RDV server"},
		{`"vpn_address": "x", "no_rdv"`, `"vpn_address": "x", "no_` + rdv + `"`},
		{"Žvm vmé", "Žvm vmé"},
		// Separators in logs, certificates, URLs and paths.
		{"rdv", rdv},
		{"rdv vm", rdv + " " + vm},
		{"name=rdv, (rdv) \"rdv\" 'rdv' [rdv] <rdv> rdv: rdv; rdv! rdv\n", strings.ReplaceAll("name=rdv, (rdv) \"rdv\" 'rdv' [rdv] <rdv> rdv: rdv; rdv! rdv\n", "rdv", rdv)},
		{"CN=Alice,O=VPN /CN=Alice/O=VPN CN = Alice+UID=1", strings.ReplaceAll("CN=Alice,O=VPN /CN=Alice/O=VPN CN = Alice+UID=1", "Alice", alice)},
		{"https://rdv:443/?host=vm&x#vm https://a@vm", "https://" + rdv + ":443/?host=" + vm + "&x#" + vm + " https://a@" + vm},
		{"/etc/vm/vm.pem vm_key.pem key_vm vm-key.pem C:\\vm\\x ~vm", "/etc/" + vm + "/" + vm + ".pem " + vm + "_key.pem key_" + vm + " " + vm + "-key.pem C:\\" + vm + "\\x ~" + vm},
		{"host-vm→vm…vm", "host-" + vm + "→" + vm + "…" + vm},
		// Escapes of JSON, Go, URLs and terminals end in letters and digits.
		{`"\nvm\tvm\u003cvm\u003e \x1bvm \033vm"`, `"\n` + vm + `\t` + vm + `\u003c` + vm + `\u003e \x1b` + vm + ` \033` + vm + `"`},
		{"%2Fvm%20vm \x1b[1mvm\x1b[0m", "%2F" + vm + "%20" + vm + " \x1b[1m" + vm + "\x1b[0m"},
		// Longer ones first, and other ways to write one.
		{"rdv.example.org old-vm", mark("rdv.example.org") + " " + mark("old-vm")},
		{"alice.lan.internal", alice + ".lan.internal"},
		{"Zoë Zo%C3%AB zoë Zoës", mark("zoë") + " " + mark("zoë") + " " + mark("zoë") + " Zoës"},
		{`"Bob \u0026 Co" Bob%20&%20Co Bob+%26+Co`, `"` + mark("bob & co") + `" ` + mark("bob & co") + " " + mark("bob & co")},
	} {
		if got := r.text(c.text); got != c.want {
			t.Errorf("%q becomes\n%q, want\n%q", c.text, got, c.want)
		}
	}
}

// TestRedactAddresses: an address goes, whatever is around it: names, ports, the colon of
// an error, and other addresses.
func TestRedactAddresses(t *testing.T) {
	r := newRedactor(true)
	r.hide([]string{"bob", "kit", "10", "beef", "host.203"})
	ip := func(s string) string { return r.addrMark(netip.MustParseAddr(s)) }
	v4, v6, bob := ip("203.0.113.7"), ip("2001:db8::7"), "name-"+r.mark("bob")
	for _, c := range []struct{ text, want string }{
		{"read udp 203.0.113.7:500->203.0.113.7:4000: i/o timeout", "read udp " + v4 + ":500->" + v4 + ":4000: i/o timeout"},
		{"203.0.113.7: unreachable. 203.0.113.7.", v4 + ": unreachable. " + v4 + "."},
		{"2001:db8::7: unreachable [2001:db8::7]:500: no", v6 + ": unreachable [" + v6 + "]:500: no"},
		{"bob:203.0.113.7 kit:2001:db8::7 bob=203.0.113.7", bob + ":" + v4 + " name-" + r.mark("kit") + ":" + v6 + " " + bob + "=" + v4},
		{"bob:2001:db8::7", "name-" + r.mark("bob:2001:db8::7")}, // the last letter might be of the address
		{"via203.0.113.7 203.0.113.7dev feed2001:db8::7", "via" + v4 + " " + v4 + "dev feed" + v6},
		{"fe80::1%eth0 2001:db8::", ip("fe80::1") + "%eth0 " + ip("2001:db8::")},
		{"10.9.0.2 beef::1 1::beef", ip("10.9.0.2") + " " + ip("beef::1") + " " + ip("1::beef")}, // and no names in them
		{"host.203.0.113.7", "name-" + r.mark("host.203.0.113.7")},
		{"127.0.0.1:80: [::1]:80 0.0.0.0 ::", "127.0.0.1:80: [::1]:80 0.0.0.0 ::"},
		{"12:30:45.123 1.26.8 sha256:abc 1.2.3 5.. ::: .", "12:30:45.123 1.26.8 sha256:abc 1.2.3 5.. ::: ."},
	} {
		if got := r.text(c.text); got != c.want {
			t.Errorf("%q becomes\n%q, want\n%q", c.text, got, c.want)
		}
	}
}

// TestRedactTerms: what is left alone for its underscores is what this program says.
func TestRedactTerms(t *testing.T) {
	terms := ownTerms()
	for _, want := range []string{"rdv_auth", "server_host", "local_port", "unknown_ca", "vpn_address", "rdv_not_yours"} {
		if !terms[want] {
			t.Errorf("%s is no term", want)
		}
	}
	for term := range terms {
		if len(term) >= maxTerm {
			t.Errorf("%s is longer than %d bytes", term, maxTerm)
		}
	}
	for _, no := range []string{"vm_key", "alice_rdv", ""} {
		if terms[no] {
			t.Errorf("%q is a term", no)
		}
	}
}

// TestNamesIn: of a subject each name in it is found.
func TestNamesIn(t *testing.T) {
	for subject, want := range map[string]string{
		"CN=alice":              "CN=alice|alice|alice",
		"CN=alice,O=The VPN":    "CN=alice,O=The VPN|alice,O=The VPN|alice|The VPN",
		"UID=7+CN=bob,O=The,OU": "UID=7+CN=bob,O=The,OU|UID=7+CN=bob,O=The,OU|7|bob|The",
		"":                      "|",
	} {
		if got := strings.Join(namesIn(subject), "|"); got != want {
			t.Errorf("%q: %s, want %s", subject, got, want)
		}
	}
}

// FuzzRedactAnonymous: a name between separators, and an address beside anything that is
// no part of one, are not in the result.
func FuzzRedactAnonymous(f *testing.F) {
	f.Add("alice", uint32(0xcb007107), []byte{0x20, 0x01, 0x0d, 0xb8, 7}, "rdv_", "_auth", uint8(0), uint8(3))
	f.Add("10", uint32(0x0a090002), []byte{0xfe, 0x80}, "1:2:", ".7", uint8(9), uint8(9))
	f.Add("name", uint32(1), []byte{}, "\\", "%", uint8(5), uint8(14))
	const separators = " \n\t\"'()[]<>=,;/\\|@#&?!:-+~*{}$^`_"
	f.Fuzz(func(t *testing.T, name string, v4 uint32, v6 []byte, before, after string, first, second uint8) {
		if len(name) < minName || !inWord(rune(name[0])) || name[0] > 0x7e || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" {
			return // not like the name of a host
		}
		r := newRedactor(true)
		r.hide([]string{name})
		a, b := string(separators[int(first)%len(separators)]), string(separators[int(second)%len(separators)])
		got := r.replace(before + a + name + b + after)
		if ownTerms()[identifierAround(before+a+name+b+after, len(before+a), len(before+a+name))] {
			return
		}
		// What stands for it may have it, too, as may what was there before.
		if strings.Count(got, a+name+b) > strings.Count(before+a+b+after, a+name+b)+strings.Count("name- ip4- ip6- mac-", name) {
			t.Errorf("%q is in %q", name, got)
		}
		if a == ":" || b == ":" { // of an address of another kind
			return
		}
		for _, addr := range []netip.Addr{netip.AddrFrom4([4]byte{byte(v4 >> 24), byte(v4 >> 16), byte(v4 >> 8), byte(v4)}), ipv6Of(v6)} {
			if addr.IsUnspecified() || addr.IsLoopback() {
				continue
			}
			for _, text := range []string{a + addr.String() + b, a + name + ":" + addr.String() + b, a + addr.String() + ": " + b, a + netip.AddrPortFrom(addr, 500).String() + ":" + b} {
				got := r.replace(before + text + after)
				if strings.Contains(got, addr.String()) && !strings.Contains(before+" "+after, addr.String()) && !strings.Contains(name, addr.String()) {
					t.Errorf("%s of %q is in %q", addr, before+text+after, got)
				}
			}
		}
	})
}

// ipv6Of returns an address that has bytes in it. It is no IPv4 one.
func ipv6Of(b []byte) netip.Addr {
	var a [16]byte
	copy(a[:], b)
	a[0] |= 0x20
	return netip.AddrFrom16(a)
}
