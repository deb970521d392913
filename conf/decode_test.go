package conf

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
)

// edit returns minimal with the line that sets key taken out, and with text
// added to the section in its place or at the end.
func edit(section, key, text string) string {
	var b strings.Builder
	for line := range strings.Lines(minimal) {
		if key != "" && strings.HasPrefix(line, key+" =") {
			continue
		}
		b.WriteString(line)
		if line == "["+section+"]\n" && text != "" {
			b.WriteString(text + "\n")
		}
	}
	if section == "COMMANDS" {
		b.WriteString("[COMMANDS]\n" + text + "\n")
	}
	return b.String()
}

// refused are values that make a file unusable.
var refused = []struct {
	section, key, value string // value "" means that the key is not set
	want                string // message, from the position on
}{
	{"NETWORK", "server_host", "", ` server_host is not set in [NETWORK]`},
	{"NETWORK", "server_host", "a b", `:2:15: server_host "a b" is neither an address nor a host name`},
	{"NETWORK", "server_host", "rdv:", `:2:15: server_host "rdv:" has no port number behind the colon`},
	{"NETWORK", "server_host", "rdv:0", `:2:15: server_host "rdv:0" has no port number behind the colon`},
	{"NETWORK", "server_host", "[fd00::1]:70000", `:2:15: server_host "[fd00::1]:70000" has no port number behind the colon`},
	{"NETWORK", "server_host", "[rdv]:443", `:2:15: server_host "[rdv]:443" is neither an address nor a host name`},
	{"NETWORK", "server_host", "[fd00::g]:443", `:2:15: server_host "fd00::g" is neither an address nor a host name`},
	{"NETWORK", "server_host", "rdv:443:1", `:2:15: server_host "rdv:443:1" is neither an address nor a host name`},
	{"NETWORK", "server_host", "203.0.113.300", `:2:15: server_host "203.0.113.300" is neither an address nor a host name`},
	{"NETWORK", "server_host", "$", `:2:15: server_host "" is neither an address nor a host name`},
	{"NETWORK", "local_host", "x/y", `:2:14: local_host "x/y" is neither an address nor a host name`},
	{"NETWORK", "local_host", "0.0.0.0", `:2:14: local_host "0.0.0.0" is no address that peers can be told`},
	{"NETWORK", "local_host", "0", `:2:14: local_host "0.0.0.0" is no address that peers can be told`},
	{"NETWORK", "server_port", "70000", `:2:15: server_port "70000" is not a port number`},
	{"NETWORK", "server_port", "-1", `:2:15: server_port "-1" is not a port number`},
	{"NETWORK", "server_port", "http", `:2:15: server_port "http" is not a port number`},
	{"NETWORK", "rdv_auth", "maybe", `:2:12: rdv_auth "maybe" is not auto, yes or no`},
	{"NETWORK", "local_port", "-1", `:2:14: local_port "-1" is not a port number`},
	{"NETWORK", "local_port", "65536", `:2:14: local_port "65536" is not a port number`},
	{"NETWORK", "tun_mtu", "149", `:2:11: tun_mtu "149" is too small`},
	{"NETWORK", "tun_mtu", "big", `:2:11: tun_mtu "big" is not a whole number, or too big`},
	{"NETWORK", "tun_mtu", "2147483648", `:2:11: tun_mtu "2147483648" is not a whole number, or too big`},
	{"NETWORK", "use_local_addr", "maybe", `:2:18: use_local_addr "maybe" is not yes or no`},
	{"NETWORK", "override_local_addr", "1.2.3.4", `:2:23: override_local_addr "1.2.3.4" has no space between address and port`},
	{"NETWORK", "override_local_addr", "1.2.3.4 port", `:2:23: override_local_addr "1.2.3.4 port" has no port number`},
	{"NETWORK", "override_local_addr", "1.2.3.4: 5", `:2:23: override_local_addr "1.2.3.4: 5" does not start with an address or a host name`},
	{"NETWORK", "override_local_addr", `" 5"`, `:2:23: override_local_addr " 5" does not start with an address or a host name`},
	{"VPN", "vpn_ip", "", ` vpn_ip is not set in [VPN]`},
	{"VPN", "vpn_ip", "10.9.0.256", `:4:10: vpn_ip "10.9.0.256" is not an IPv4 address`},
	{"VPN", "vpn_ip", "fd00::1", `:4:10: vpn_ip "fd00::1" is not an IPv4 address`},
	{"VPN", "vpn_ip", "client.example.org", `:4:10: vpn_ip "client.example.org" is not an IPv4 address`},
	{"VPN", "network", "", ` network is not set in [VPN]`},
	{"VPN", "network", "10.9.0.0", `:4:11: network "10.9.0.0" has no netmask length`},
	{"VPN", "network", "10.9.0.0/", `:4:11: network "10.9.0.0/" has a malformed netmask length`},
	{"VPN", "network", "10.9.0.0/024", `:4:11: network "10.9.0.0/024" has a malformed netmask length`},
	{"VPN", "network", "10.9.0.0/2x", `:4:11: network "10.9.0.0/2x" has a malformed netmask length`},
	{"VPN", "network", "10.9.0.0/255.255.255.0", `:4:11: network "10.9.0.0/255.255.255.0" has a malformed netmask length`},
	{"VPN", "network", "10.9.0.0/33", `:4:11: network "10.9.0.0/33" has a netmask length out of range`},
	{"VPN", "network", "10.9.0.0/-1", `:4:11: network "10.9.0.0/-1" has a netmask length out of range`},
	{"SECURITY", "certificate", "", ` certificate is not set in [SECURITY]`},
	{"SECURITY", "certificate", "$", `:7:15: certificate "" is empty`},
	{"SECURITY", "key", "", ` key is not set in [SECURITY]`},
	{"SECURITY", "ca_certificates", "", ` neither ca_certificates nor ca_certificates_dir is set in [SECURITY]`},
	{"SECURITY", "verify_depth", "0", `:7:16: verify_depth "0" is too small`},
	{"SECURITY", "verify_depth", "deep", `:7:16: verify_depth "deep" is not a whole number, or too big`},
	{"SECURITY", "ocsp", "maybe", `:7:8: ocsp "maybe" is not no, yes or require`},
	{"SECURITY", "require_ip_san", "ja", `:7:18: require_ip_san "ja" is not yes or no`},
	{"SECURITY", "renew_certificate", "soon", `:7:21: renew_certificate "soon" is not yes or no`},
	{"SECURITY", "rekey_time", "-1", `:7:14: rekey_time "-1" is too small`},
	{"SECURITY", "rekey_records", "999", `:7:17: rekey_records "999" is too small`},
	{"SECURITY", "rekey_records", "9223372036854775808", `:7:17: rekey_records "9223372036854775808" is not a whole number, or too big`},
	{"SECURITY", "rekey_records", "-1", `:7:17: rekey_records "-1" is not a whole number, or too big`},
	{"SECURITY", "rekey_records", "many", `:7:17: rekey_records "many" is not a whole number, or too big`},
	{"CLIENT", "fifo_size", "0", `:11:13: fifo_size "0" is too small`},
	{"CLIENT", "txqueue", "0", `:11:11: txqueue "0" is too small`},
	{"CLIENT", "tun_one_queue", "2", `:11:17: tun_one_queue "2" is not yes or no`},
	{"CLIENT", "client_max_rate", "-0.1", `:11:19: client_max_rate "-0.1" is negative`},
	{"CLIENT", "client_max_rate", "1e99", `:11:19: client_max_rate "1e99" is not a number, or out of range`},
	{"CLIENT", "connection_max_rate", "-inf", `:11:23: connection_max_rate "-inf" is negative`},
	{"CLIENT", "connection_max_rate", "fast", `:11:23: connection_max_rate "fast" is not a number, or out of range`},
	{"CLIENT", "timeout", "4", `:11:11: timeout "4" is too small`},
	{"CLIENT", "timeout", "-120", `:11:11: timeout "-120" is too small`},
	{"CLIENT", "max_clients", "0", `:11:15: max_clients "0" is too small`},
	{"CLIENT", "keepalive", "0", `:11:13: keepalive "0" is too small`},
	{"CLIENT", "keepalive", "-1", `:11:13: keepalive "-1" is not a whole number, or too big`},
	{"CLIENT", "hard_nat", "maybe", `:11:12: hard_nat "maybe" is not yes or no`},
	{"CLIENT", "hard_nat_sockets", "0", `:11:20: hard_nat_sockets "0" is too small`},
	{"CLIENT", "hard_nat_sockets", "257", `:11:20: hard_nat_sockets "257" is too big`},
	{"CLIENT", "hard_nat_probes", "4097", `:11:19: hard_nat_probes "4097" is too big`},
	{"CLIENT", "queues", "0", `:11:10: queues "0" is too small`},
	{"CLIENT", "queues", "65", `:11:10: queues "65" is too big`},
	{"CLIENT", "state_dir", "$", `:11:13: state_dir "" is empty`},
	{"CLIENT", "control_socket", "$", `:11:18: control_socket "" is empty`},
	{"CLIENT", "control_group", "$", `:11:17: control_group "" is empty`},
	{"CLIENT", "metrics", "$", `:11:11: metrics "" is not an address with a port`},
	{"CLIENT", "metrics", "9469", `:11:11: metrics "9469" is not an address with a port`},
	{"CLIENT", "metrics", "127.0.0.1", `:11:11: metrics "127.0.0.1" is not an address with a port`},
	{"CLIENT", "metrics", "127.0.0.1:0", `:11:11: metrics "127.0.0.1:0" is not an address with a port`},
	{"CLIENT", "metrics", "localhost:9469", `:11:11: metrics "localhost:9469" is not an address with a port`},
	{"CLIENT", "user", "$", `:11:8: user "" is empty`},
}

func TestRefused(t *testing.T) {
	for _, c := range refused {
		text := ""
		if c.value != "" {
			text = c.key + " = " + c.value
		}
		client, problems, err := ParseClient("f", []byte(edit(c.section, c.key, text)))
		if err == nil || client != nil {
			t.Errorf("%s = %s: accepted, want %s", c.key, c.value, c.want)
			continue
		}
		message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
		if want := "f" + strings.Replace(":"+c.want, "::", ":", 1); message != want {
			t.Errorf("%s = %s:\ngot  %s\nwant %s", c.key, c.value, message, want)
		}
		if hint == "" {
			t.Errorf("%s: no hint", message)
		}
		if n := count(problems, Error); n > 0 {
			t.Errorf("%s: further errors:\n%s", message, list(problems))
		}
	}
}

// TestErrorText is the message that a person reads.
func TestErrorText(t *testing.T) {
	_, _, err := ParseClient("/etc/campagnol.conf", []byte(edit("NETWORK", "", "server_port = 70000")))
	want := "/etc/campagnol.conf:2:15: server_port \"70000\" is not a port number\n" +
		"hint: a port is a whole number from 0 to 65535; the default is 57888"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// warnings are settings that are accepted with a word about them.
var warnings = []struct {
	name                string
	section, key, lines string
	want                string // the only problem; "" for none
}{
	{"text behind a port", "NETWORK", "", "server_port = 57889x",
		`f:2:15: server_port "57889x" is taken as 57889; "x" is ignored` + "\nhint: a port is a whole number from 0 to 65535; the default is 57888"},
	{"unit", "CLIENT", "", "timeout = 30s",
		`f:11:11: timeout "30s" is taken as 30; "s" is ignored` + "\nhint: timeout is a whole number of at least 5 (seconds); the default is 120"},
	{"group without socket", "CLIENT", "", "control_socket = none\ncontrol_group = adm",
		`f:12:17: control_group "adm" has no effect, because control_socket is none` + "\nhint: take one of the two lines out"},
	{"comment behind a number", "CLIENT", "", "timeout = 30 # seconds",
		`f:11:11: timeout "30 # seconds" is taken as 30; "# seconds" is ignored` + "\n" + `hint: quote the value: timeout = "30" # comment`},
	{"comment behind a path", "SECURITY", "key", "key = /k.pem ; mine",
		`f:7:14: "; mine" is a part of the value of key, not a comment` + "\n" +
			`hint: quote the value: key = "/k.pem" ; comment; or quote all of it if that is what you mean`},
	{"comment behind a name of the author", "SECURITY", "key", "dir = /k # x\nkey = ${dir}",
		`f:7:10: "# x" is a part of the value of dir, not a comment` + "\n" +
			`hint: quote the value: dir = "/k" # comment; or quote all of it if that is what you mean`},
	{"blanks behind a number", "CLIENT", "", `timeout = " 30 "`, ""},
	{"port 0 of the server", "NETWORK", "", "server_port = 0",
		`f:2:15: server_port "0" is a port that nobody can listen on` + "\nhint: a port is a whole number from 0 to 65535; the default is 57888"},
	{"comment behind an address", "NETWORK", "server_host", "server_host = 203.0.113.10 # rdv",
		`f:2:15: server_host "203.0.113.10 # rdv" is taken as 203.0.113.10; "# rdv" is ignored` + "\n" +
			`hint: quote the value: server_host = "203.0.113.10" # comment`},
	{"MTU", "NETWORK", "", "tun_mtu = 65536",
		`f:2:11: tun_mtu "65536" is more than an interface can have` + "\nhint: the greatest MTU is 65535"},
	{"name of the device", "NETWORK", "", "tun_device = abcdefghijklmnop",
		`f:2:14: tun_device "abcdefghijklmnop" is too long and cut to "abcdefghijklmno"` + "\nhint: the name of an interface has at most 15 bytes"},
	{"no limit", "CLIENT", "", "client_max_rate = inf",
		`f:11:19: client_max_rate "inf" means no limit` + "\nhint: take the line out, or write 0, for no limit"},
	{"rate of nothing", "CLIENT", "", "client_max_rate = $$", `f`},
	{"override without use", "NETWORK", "", "use_local_addr = no\noverride_local_addr = x",
		`f:3:23: override_local_addr "x" has no effect, because use_local_addr is no` + "\nhint: take one of the two lines out"},
	{"override wraps", "NETWORK", "", "override_local_addr = 1.2.3.4 70000",
		`f:2:23: override_local_addr "1.2.3.4 70000" has a number that is no port and is taken as port 4464` + "\nhint: a port is a whole number from 1 to 65535"},
	{"override with more text", "NETWORK", "", "override_local_addr = 1.2.3.4 70 x",
		`f:2:23: override_local_addr "1.2.3.4 70 x" is taken as 1.2.3.4 with port 70; "x" is ignored` + "\nhint: write an address, a space and a port, such as 192.0.2.5 4444"},
	{"override with port 0", "NETWORK", "", "override_local_addr = 1.2.3.4 0",
		`f:2:23: override_local_addr "1.2.3.4 0" has port 0, which publishes no local address at all` + "\nhint: write the port that is forwarded to this client, or use_local_addr = no"},
	{"other network", "VPN", "network", "network = 10.8.0.0/24",
		`f:4:11: network "10.8.0.0/24" does not contain vpn_ip 10.9.0.3; the network in use is 10.9.0.0/24` + "\nhint: give vpn_ip an address of the network, or write 10.9.0.0/24"},
	{"network without address", "VPN", "network", "network = bogus/24",
		`f:4:11: network "bogus/24" does not start with an address` + "\nhint: write an address, a slash and a length from 0 to 32, such as 10.9.0.0/24"},
	{"host address for a network", "VPN", "network", "network = 10.9.0.77/24", ""},
	{"broadcast", "VPN", "network", "network = 10.9.0.0/30",
		`f:4:11: network "10.9.0.0/30" has vpn_ip 10.9.0.3 as its broadcast address, which means all peers` + "\nhint: give vpn_ip another address of the network"},
	{"bad bool for commands", "COMMANDS", "", "default_up = maybe",
		`f:12:14: default_up "maybe" is not yes or no and taken as yes` + "\nhint: write yes or no (on, off, true, false, 1 and 0 are understood too); the default is yes"},
	{"up without default_up", "COMMANDS", "", "up = a\nup = b",
		`f:12:1: up has no effect, because default_up is yes` + "\nhint: write default_up = no to run your commands instead of the built-in ones"},
	{"down without default_down", "COMMANDS", "", "default_down = yes\ndown = a",
		`f:13:1: down has no effect, because default_down is yes` + "\nhint: write default_down = no to run your commands instead of the built-in ones"},
	{"set twice", "CLIENT", "", "timeout = 30\ntimeout = 40",
		`f:12:1: timeout is set again; the value in line 11 is not used` + "\nhint: take one of the lines out"},
	{"misspelt key", "CLIENT", "", "time_out = 30",
		`f:11:1: time_out is not a key of [CLIENT]; it is not used` + "\nhint: did you mean timeout?"},
	{"wrong case", "CLIENT", "", "Timeout = 30",
		`f:11:1: Timeout is not a key of [CLIENT]; it is not used` + "\nhint: did you mean timeout?"},
	{"key of another section", "CLIENT", "", "tun_mtu = 1400",
		`f:11:1: tun_mtu is not a key of [CLIENT]; it is not used` + "\nhint: tun_mtu belongs to the section [NETWORK]"},
	{"misspelt key of another section", "VPN", "", "tun-mtu = 1400",
		`f:4:1: tun-mtu is not a key of [VPN]; it is not used` + "\nhint: did you mean tun_mtu? It belongs to the section [NETWORK]"},
	{"unlike any key", "VPN", "", "frobnicate = 1",
		`f:4:1: frobnicate is not a key of [VPN]; it is not used` + "\nhint: the keys of [VPN] are vpn_ip, network, vpn_ip6, network6, accept_routes, route_metric, forward, dns_domain, dns_serve"},
	{"long unknown key", "VPN", "", strings.Repeat("x", 41) + " = 1",
		`f:4:1: ` + strings.Repeat("x", 41) + ` is not a key of [VPN]; it is not used` + "\nhint: the keys of [VPN] are vpn_ip, network, vpn_ip6, network6, accept_routes, route_metric, forward, dns_domain, dns_serve"},
	{"key of the author", "CLIENT", "", "t = 30\ntimeout = ${t}", ""},
	{"unknown reference", "SECURITY", "key", "key = ${dir}/k.pem",
		`f:7:7: [SECURITY] has no key dir; ${dir} stays as it is` + "\nhint: write $${ for ${ if it is meant as it is"},
	{"unknown section", "COMMANDS", "", "default_up = yes\n[NETWRK]\na = 1\nb = 2\n[NETWRK]\nc = 2",
		`f:13:1: [NETWRK] is not a section of this file; what it sets is not used` + "\nhint: did you mean [NETWORK]?"},
	{"section in lower case", "COMMANDS", "", "default_up = yes\n[network]\ntun_mtu = 1",
		`f:13:1: [network] is not a section of this file; what it sets is not used` + "\nhint: did you mean [NETWORK]?"},
	{"section unlike any", "COMMANDS", "", "default_up = yes\n[Interface]\nPrivateKey = 1",
		`f:13:1: [Interface] is not a section of this file; what it sets is not used` + "\nhint: the sections are [NETWORK], [ETHERNET], [VPN], [SECURITY], [CLIENT], [COMMANDS]"},
}

func TestWarnings(t *testing.T) {
	for _, c := range warnings {
		t.Run(c.name, func(t *testing.T) {
			src := edit(c.section, c.key, c.lines)
			_, problems, err := ParseClient("f", []byte(src))
			if c.want == "f" { // an error is wanted
				if err == nil {
					t.Error("accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if c.want != "" {
				want = "warning: " + c.want + "\n"
			}
			if got := list(problems); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// oddities are values that are accepted although they look wrong.
var oddities = []struct {
	section, key, line string
	got                func(*Client) any
	want               any
}{
	{"NETWORK", "server_host", "server_host = 0xcb00710a", func(c *Client) any { return c.ServerHost }, "203.0.113.10"},
	{"NETWORK", "server_host", "server_host = 2001:db8:0::1", func(c *Client) any { return c.ServerHost }, "2001:db8::1"},
	{"NETWORK", "server_host", "server_host = rdv_1", func(c *Client) any { return c.ServerHost }, "rdv_1"},
	{"NETWORK", "", "local_host = my-host", func(c *Client) any { return c.LocalHost }, "my-host"},
	{"NETWORK", "", "local_port = -18446744073709551615", func(c *Client) any { return c.LocalPort }, uint16(1)},
	{"NETWORK", "", "tun_mtu = +1300", func(c *Client) any { return c.TunMTU }, 1300},
	{"NETWORK", "", "use_local_addr = 0", func(c *Client) any { return c.UseLocalAddr }, false},
	{"NETWORK", "", "use_local_addr = no\nlocal_host = 0.0.0.0", func(c *Client) any { return c.LocalHost }, "0.0.0.0"},
	{"NETWORK", "", "local_host = 0.0.0.0\noverride_local_addr = 1.2.3.4 5", func(c *Client) any { return c.LocalHost }, "0.0.0.0"},
	{"NETWORK", "", "local_host = 0.0.0.0\noverride_local_addr = gw.example 5", func(c *Client) any { return c.OverrideLocalHost }, "gw.example"},
	{"NETWORK", "", "override_local_addr = gw.example 5", func(c *Client) any { return c.OverrideLocalAddr.Port() }, uint16(5)},
	{"NETWORK", "", `override_local_addr = "1.2.3.4   5"`, func(c *Client) any { return c.OverrideLocalAddr }, netip.MustParseAddrPort("1.2.3.4:5")},
	{"NETWORK", "", `override_local_addr = 1.2.3.4 -1`, func(c *Client) any { return c.OverrideLocalAddr.Port() }, uint16(65535)},
	{"NETWORK", "", `override_local_addr = 1.2.3.4 99999999999999999999`, func(c *Client) any { return c.OverrideLocalAddr.Port() }, uint16(65535)},
	{"NETWORK", "", "tun_device = abcdefghijklmnop", func(c *Client) any { return c.TunDevice }, "abcdefghijklmno"},
	{"NETWORK", "", "tun_device = abcdefghijklmno", func(c *Client) any { return c.TunDevice }, "abcdefghijklmno"},
	{"VPN", "vpn_ip", "vpn_ip = 10.9.3", func(c *Client) any { return c.VPNIP }, netip.MustParseAddr("10.9.0.3")},
	{"VPN", "vpn_ip", "vpn_ip = 0x0a090003", func(c *Client) any { return c.VPNIP }, netip.MustParseAddr("10.9.0.3")},
	{"VPN", "vpn_ip", "vpn_ip = 012.011.0.03", func(c *Client) any { return c.VPNIP }, netip.MustParseAddr("10.9.0.3")},
	{"VPN", "vpn_ip", "vpn_ip = 10.9.0.3 text", func(c *Client) any { return c.VPNIP }, netip.MustParseAddr("10.9.0.3")},
	{"VPN", "network", "network = 10.9.0.0/+8", func(c *Client) any { return c.Network }, netip.MustParsePrefix("10.0.0.0/8")},
	{"VPN", "network", `network = "10.9.0.0/ 8"`, func(c *Client) any { return c.Network }, netip.MustParsePrefix("10.0.0.0/8")},
	{"VPN", "network", "network = /8", func(c *Client) any { return c.NetworkText }, "/8"},
	{"SECURITY", "ca_certificates", "ca_certificates_dir = /d", func(c *Client) any { return c.CACertificates + c.CACertificatesDir }, "/d"},
	{"CLIENT", "", "client_max_rate = nan", func(c *Client) any { return c.ClientMaxRate }, 0.0},
	{"CLIENT", "", "client_max_rate = -0", func(c *Client) any { return math.Signbit(c.ClientMaxRate) }, false},
	{"CLIENT", "", "client_max_rate = $", func(c *Client) any { return c.ClientMaxRate }, 0.0},
	{"CLIENT", "", "connection_max_rate = 0x1p4", func(c *Client) any { return c.ConnectionMaxRate }, 16000.0},
	{"CLIENT", "", "max_clients = 5.9", func(c *Client) any { return c.MaxClients }, 5},
	{"COMMANDS", "", "default_up = no", func(c *Client) any { return c.DefaultUp || len(c.Up) > 0 }, false},
	{"COMMANDS", "", "default_down = maybe", func(c *Client) any { return c.DefaultDown }, true},
}

func TestOddValues(t *testing.T) {
	for _, c := range oddities {
		client, _, err := ParseClient("f", []byte(edit(c.section, c.key, c.line)))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if got := c.got(client); got != c.want {
			t.Errorf("%s: got %v, want %v", c.line, got, c.want)
		}
	}
}

// TestAuto checks the values of a key that is auto, yes or no.
func TestAuto(t *testing.T) {
	for text, want := range map[string]Auto{"": AutoAuto, "auto": AutoAuto, "AUTO": AutoAuto, "yes": AutoYes, "on": AutoYes, "1": AutoYes, "no": AutoNo, "False": AutoNo} {
		line := ""
		if text != "" {
			line = "rdv_auth = " + text
		}
		c, problems, err := ParseClient("f", []byte(edit("NETWORK", "", line)))
		if err != nil || len(problems) > 0 || c.RDVAuth != want {
			t.Errorf("%q: %v, %v, %v, want %v", text, c, list(problems), err, want)
		}
	}
}

// TestOCSP checks the values of a key that is no, yes or require.
func TestOCSP(t *testing.T) {
	for text, want := range map[string]OCSP{"": OCSPNo, "no": OCSPNo, "off": OCSPNo, "yes": OCSPYes, "1": OCSPYes, "require": OCSPRequire, "Require": OCSPRequire} {
		line := ""
		if text != "" {
			line = "ocsp = " + text
		}
		c, problems, err := ParseClient("f", []byte(edit("SECURITY", "", line)))
		if err != nil || len(problems) > 0 || c.OCSP != want {
			t.Errorf("%q: %v, %v, %v, want %v", text, c, list(problems), err, want)
		}
	}
}

// TestFirstErrorWins checks the order in which keys are looked at: the error is
// about the first, and the problems hold the others in the order of the file.
func TestFirstErrorWins(t *testing.T) {
	values := []string{ // in the original's order
		"NETWORK local_host = ?", "NETWORK server_host = ?", "NETWORK server_port = ?", "NETWORK local_port = ?",
		"NETWORK tun_mtu = ?", "NETWORK use_local_addr = ?", "NETWORK override_local_addr = ?",
		"VPN vpn_ip = ?", "VPN network = ?", "SECURITY certificate = $", "SECURITY key = $", "SECURITY ca_certificates = $",
		"SECURITY verify_depth = ?", "CLIENT fifo_size = ?", "CLIENT txqueue = ?", "CLIENT tun_one_queue = ?",
		"CLIENT client_max_rate = ?", "CLIENT connection_max_rate = ?", "CLIENT timeout = ?",
		"CLIENT max_clients = ?", "CLIENT keepalive = ?",
	}
	for len(values) > 0 {
		var b strings.Builder
		b.WriteString(minimal)
		for i := len(values) - 1; i >= 0; i-- { // backwards, so that lines do not decide
			section, line, _ := strings.Cut(values[i], " ")
			b.WriteString("[" + section + "]\n" + line + "\n")
		}
		_, problems, err := ParseClient("f", []byte(b.String()))
		var p Problem
		if !errors.As(err, &p) {
			t.Fatalf("%s: accepted", values[0])
		}
		if want := strings.Fields(values[0])[1]; p.Key != want {
			t.Errorf("error about %s, want %s", p.Key, want)
		}
		errs := 0
		last := Pos{}
		for _, q := range problems {
			if q.Severity == Error {
				errs++
			}
			if q.Pos != (Pos{}) && q.Pos.Line < last.Line {
				t.Errorf("line %d after %d", q.Pos.Line, last.Line)
			}
			last = q.Pos
			if q.Key == p.Key && q.Severity == Error {
				t.Errorf("the error is among the problems too: %v", q)
			}
		}
		if errs != len(values)-1 {
			t.Errorf("%d further errors, want %d:\n%s", errs, len(values)-1, list(problems))
		}
		values = values[1:]
	}
}

// TestTooLongRefused checks that a value that cannot be expanded is refused
// where it is used, and only there.
func TestTooLongRefused(t *testing.T) {
	bomb := "b0 = 0123456789\n"
	for i := range 20 {
		bomb += fmt.Sprintf("b%d = ${b%d}${b%d}\n", i+1, i, i)
	}
	for _, c := range []struct{ section, key, line, want string }{
		{"SECURITY", "key", "key = ${b20}", `key "${b20}" is too long when its ${} are replaced`},
		{"COMMANDS", "up", "default_up = no\nup = true\nup = ${b20}", `up "${b20}" is too long when its ${} are replaced`},
		{"SECURITY", "key", "key = ${b10}", ""},
	} {
		_, problems, err := ParseClient("f", []byte(edit(c.section, c.key, bomb+c.line)))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.line, err)
			}
			continue
		}
		var p Problem
		if !errors.As(err, &p) || p.Text != c.want || p.Key != c.key {
			t.Errorf("%s: got %v, want %s", c.line, err, c.want)
		}
		if count(problems, Error) == 0 {
			t.Errorf("%s: nothing else is reported", c.line)
		}
	}
}
