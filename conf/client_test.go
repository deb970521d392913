package conf

import (
	"errors"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// originalError matches the message with which the original refuses a file.
var originalError = regexp.MustCompile(`(?m)^\[[^:\]]*(?::(\w+):(\d+))?\] (?:Parameter "(\w+)")?.*$`)

// TestClientCases compares what becomes of each file with what the original
// did: accepted, with the same configuration, or refused, because of the same
// key and line.
func TestClientCases(t *testing.T) {
	for _, name := range cases(t, "[2-9]*") {
		t.Run(name, func(t *testing.T) {
			expected := string(readCase(t, name+".expected"))
			c, problems, err := ParseClient(name+".conf", readCase(t, name+".conf"))
			if err != nil {
				var p Problem
				if !errors.As(err, &p) {
					t.Fatalf("error %T, want a Problem", err)
				}
				compareProblems(t, name, append(problems, p))
			} else {
				compareProblems(t, name, problems)
			}

			_, block, accepted := strings.Cut(expected, "Configuration:\n")
			if accepted != (err == nil) {
				t.Fatalf("error %v; the original says\n%s", err, expected)
			}
			if !accepted {
				compareRefusal(t, err, expected)
				return
			}
			block, _, _ = strings.Cut("Configuration:\n"+block, "\n\n")
			block += "\n\n"
			_, local, _ := strings.Cut(block, "Local IP address: ")
			local, _, _ = strings.Cut(local, "\n")
			if got := c.Describe(netip.MustParseAddr(local)); got != block {
				t.Errorf("Describe:\n%s\nwant:\n%s", got, block)
			}
			if want := "(tun0 MTU " + strconv.Itoa(c.TunMTU) + ")"; !strings.Contains(expected, want) {
				t.Errorf("MTU %d; the original says\n%s", c.TunMTU, expected)
			}
		})
	}
}

// compareRefusal compares key and line of err with those of the original.
func compareRefusal(t *testing.T, err error, expected string) {
	t.Helper()
	var p Problem
	errors.As(err, &p)
	m := originalError.FindStringSubmatch(expected)
	if m == nil {
		t.Fatalf("no message in %q", expected)
	}
	if want := m[1] + m[3]; p.Key != want {
		t.Errorf("refused because of %q, want %q", p.Key, want)
	}
	if m[2] != "" && strconv.Itoa(p.Pos.Line) != m[2] {
		t.Errorf("refused because of line %d, want %s", p.Pos.Line, m[2])
	}
	if p.Severity != Error || p.Hint == "" || p.File == "" || p.Section == "" {
		t.Errorf("incomplete: %+v", p)
	}
}

// minimal is the shortest file that is accepted; it ends in [CLIENT], which is
// empty.
const minimal = `[NETWORK]
server_host = 203.0.113.10
[VPN]
vpn_ip = 10.9.0.3
network = 10.9.0.0/24
[SECURITY]
certificate = /c.pem
key = /k.pem
ca_certificates = /ca.pem
[CLIENT]
`

func TestDefaults(t *testing.T) {
	c, problems, err := ParseClient("f", []byte(minimal))
	if err != nil || len(problems) > 0 {
		t.Fatalf("error %v, problems:\n%s", err, list(problems))
	}
	want := &Client{
		File:           "f",
		ServerHost:     "203.0.113.10",
		ServerPort:     57888,
		TunMTU:         1419,
		Ethernet:       Ethernet{FullMesh: true, MaxMACs: 256, StormRate: 1000, MaxGroups: 1024, Unregistered: "routers"},
		UseLocalAddr:   true,
		PortMapping:    true,
		RelayMaxRate:   12_500_000,
		FallbackPort:   443,
		VPNIP:          netip.MustParseAddr("10.9.0.3"),
		Network:        netip.MustParsePrefix("10.9.0.0/24"),
		NetworkText:    "10.9.0.0/24",
		Certificate:    "/c.pem",
		Key:            "/k.pem",
		CACertificates: "/ca.pem",
		FIFOSize:       20,
		Timeout:        120 * time.Second,
		RekeyTime:      time.Hour,
		RekeyRecords:   1 << 32,
		KeepAlive:      10 * time.Second,
		MaxClients:     100,
		HardNAT:        true,
		HardNATSockets: 256,
		HardNATProbes:  1400,
		Queues:         1,
		StateDir:       "/var/lib/campagnol",
		DefaultUp:      true,
		DefaultDown:    true,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// everything sets every key.
const everything = `[NETWORK]
local_host = 192.168.1.5
local_port = 4444
server_host = rdv.example.org
server_port = 1234
rdv_auth = yes
stun_server = stun.example.org
stun_server = 192.0.2.3:3479
tun_mtu = 1300
interface = eth0
use_local_addr = on
override_local_addr = 198.51.100.7 5555
external_addr = 10.1.2.3:4444 office
external_addr = [2001:db8::5]:0
tcp_port = 8443
external_tcp = 203.0.113.9 lab
external_tcp = [2001:db8::9]:443
scope = office
scope = lab
tun_device = vpn7
tap_id = tap0902
port_mapping = no
mode = tap
relay = yes
relay = turn:turn.example.org alice pa%ss
relay = "turns:[2001:db8::7]:443?transport=tcp bob #1"
relay_only = yes
relay_never = no
relay_max_rate = 12.5
http_proxy = http://carol:s%40t@proxy.example.org:3128
fallback_port = 0
[ETHERNET]
mesh = demand
hardware_address = 02:00:00:00:00:09
max_macs = 5
pin_macs = yes
vlans = 10, 20-22
stp = yes
storm_rate = 0
fragment = yes
max_groups = 6
unregistered_multicast = flood
mrouter = yes
fast_leave = yes
[VPN]
vpn_ip = 10.9.1.3
network = 10.9.0.0/20
accept_routes = yes
route_metric = 70
forward = yes
dns_domain = VPN.example.org.
dns_serve = yes
vpn_ip6 = fd09::1
network6 = fd09::/64
[SECURITY]
dir = /etc/campagnol
certificate = ${dir}/c.pem
key = "${dir}/k.pem"
ca_certificates = ${dir}/ca.pem
ca_certificates_dir = ${dir}/ca
crl_file = ${dir}/crl.pem
verify_depth = 3
cipher_list = "AES256-SHA:!NULL"
ocsp = require
require_ip_san = yes
renew_certificate = yes
policy_file = ${dir}/policy
rekey_time = 0
rekey_records = 281474976710656
[CLIENT]
fifo_size = 7
txqueue = 9
tun_one_queue = TRUE
client_max_rate = 12.5
connection_max_rate = 1e2
timeout = 60
keepalive = 4294967295
max_clients = 3
multicast = yes
hard_nat = no
hard_nat_sockets = 7
hard_nat_probes = 77
queues = 4
state_dir = /tmp/state
control_socket = /tmp/control
control_group = adm
metrics = [::1]:9469
audit_log = /tmp/log/audit.log
user = campagnol
[COMMANDS]
default_up = no
default_down = off
dev = tun9
up = ip link set %D up # shell
up = ip route add %N dev ${dev}; true ${HOME}
down = "echo ""down"
`

func TestEverything(t *testing.T) {
	c, problems, err := ParseClient("f", []byte(everything))
	if err != nil || len(problems) > 0 {
		t.Fatalf("error %v, problems:\n%s", err, list(problems))
	}
	want := &Client{
		File:              "f",
		LocalHost:         "192.168.1.5",
		LocalPort:         4444,
		ServerHost:        "rdv.example.org",
		ServerPort:        1234,
		RDVAuth:           AutoYes,
		STUNServers:       []Server{{"stun.example.org", 3478}, {"192.0.2.3", 3479}},
		TunMTU:            1300,
		Interface:         "eth0",
		UseLocalAddr:      true,
		OverrideLocalAddr: netip.MustParseAddrPort("198.51.100.7:5555"),
		ExternalAddrs: []External{{netip.MustParseAddrPort("10.1.2.3:4444"), "office"},
			{netip.MustParseAddrPort("[2001:db8::5]:0"), ""}},
		TCPPort: 8443,
		ExternalTCP: []External{{netip.MustParseAddrPort("203.0.113.9:0"), "lab"},
			{netip.MustParseAddrPort("[2001:db8::9]:443"), ""}},
		Scopes:    []string{"office", "lab"},
		TunDevice: "vpn7",
		TapID:     "tap0902",
		Mode:      ModeTAP,
		Ethernet: Ethernet{HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}, MaxMACs: 5, PinMACs: true, VLANs: []uint16{10, 20, 21, 22},
			STP: true, Fragment: true, MaxGroups: 6, Unregistered: "flood", Router: true, FastLeave: true},
		VPNIP:             netip.MustParseAddr("10.9.1.3"),
		Network:           netip.MustParsePrefix("10.9.0.0/20"),
		NetworkText:       "10.9.0.0/20",
		VPNIP6:            netip.MustParseAddr("fd09::1"),
		Network6:          netip.MustParsePrefix("fd09::/64"),
		VPNIP6Pos:         Pos{Line: 53, Column: 11},
		AcceptRoutes:      true,
		RouteMetric:       70,
		Forward:           true,
		DNSDomain:         "vpn.example.org",
		DNSServe:          true,
		Certificate:       "/etc/campagnol/c.pem",
		Key:               "/etc/campagnol/k.pem",
		CACertificates:    "/etc/campagnol/ca.pem",
		CACertificatesDir: "/etc/campagnol/ca",
		CRLFile:           "/etc/campagnol/crl.pem",
		PolicyFile:        "/etc/campagnol/policy",
		VerifyDepth:       3,
		CipherList:        "AES256-SHA:!NULL",
		OCSP:              OCSPRequire,
		RequireIPSAN:      true,
		RenewCertificate:  true,
		RekeyRecords:      1 << 48,
		FIFOSize:          7,
		TxQueue:           9,
		TunOneQueue:       true,
		ClientMaxRate:     12500,
		ConnectionMaxRate: 100_000,
		Timeout:           60 * time.Second,
		KeepAlive:         math.MaxUint32 * time.Second,
		MaxClients:        3,
		Multicast:         true,
		HardNATSockets:    7,
		HardNATProbes:     77,
		Queues:            4,
		StateDir:          "/tmp/state",
		ControlSocket:     "/tmp/control",
		ControlGroup:      "adm",
		Metrics:           netip.MustParseAddrPort("[::1]:9469"),
		AuditLog:          "/tmp/log/audit.log",
		User:              "campagnol",
		Up:                []string{"ip link set %D up # shell", "ip route add %N dev tun9; true ${HOME}"},
		Down:              []string{"echo down"},
	}
	relaysOfEverything(want)
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	wantText := `Configuration:
  Local IP address: 192.168.1.5
  Using interface: eth0
  Send this local address to the RDV server: 198.51.100.7 5555
  Using local port: 4444
  RDV server IP address: rdv.example.org
  RDV server port: 1234
  VPN IP addres: 10.9.1.3
  VPN broadcast IP: 10.9.15.255
  VPN subnetwork: 10.9.0.0/20
  DTLS certificate file: /etc/campagnol/c.pem
  DTLS private key file: /etc/campagnol/k.pem
  DTLS root certificates chain file: /etc/campagnol/ca.pem
  DTLS root certificates directory: /etc/campagnol/ca
  DTLS cipher list: AES256-SHA:!NULL
  Using a certificate revocation list: /etc/campagnol/crl.pem
  FIFO size: 7
  Outgoing traffic: 12.500 kb/s
  Outgoing traffic per connection: 100.000 kb/s
  Timeout: 60 sec.
  Keepalive: 4294967295 sec.
  Maximum number of connections: 3

`
	if got := c.Describe(netip.MustParseAddr("192.168.1.5")); got != wantText {
		t.Errorf("Describe:\n%s\nwant:\n%s", got, wantText)
	}
}

func TestBroadcast(t *testing.T) {
	for _, c := range []struct{ vpnIP, network, want string }{
		{"10.9.0.3", "10.9.0.0/24", "10.9.0.255"},
		{"10.9.0.3", "0.0.0.0/0", "255.255.255.255"},
		{"10.9.0.3", "10.9.0.3/32", "10.9.0.3"},
		{"10.9.0.3", "10.9.0.2/31", "10.9.0.3"},
		{"10.9.0.2", "10.9.0.2/31", "10.9.0.3"},
		{"10.9.0.3", "0.0.0.0/1", "127.255.255.255"},
		{"172.16.5.1", "172.16.0.0/12", "172.31.255.255"},
	} {
		client := &Client{VPNIP: netip.MustParseAddr(c.vpnIP), Network: netip.MustParsePrefix(c.network)}
		if got := client.Broadcast().String(); got != c.want {
			t.Errorf("%s in %s: %s, want %s", c.vpnIP, c.network, got, c.want)
		}
	}
	if got := new(Client).Broadcast(); got.IsValid() {
		t.Errorf("without an address: %v, want none", got)
	}
}

func TestDescribeHostName(t *testing.T) {
	c, _, err := ParseClient("f", []byte(edit("NETWORK", "", "override_local_addr = gw.example 5")))
	if err != nil {
		t.Fatal(err)
	}
	want := "\n  Send this local address to the RDV server: gw.example 5\n"
	if got := c.Describe(netip.MustParseAddr("192.0.2.1")); !strings.Contains(got, want) {
		t.Errorf("Describe:\n%s\nwant in it:%s", got, want)
	}
}

func TestLoadClient(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("good", func(t *testing.T) {
		path := write("good.conf", minimal)
		c, problems, err := LoadClient(path)
		if err != nil || len(problems) > 0 || c.File != path {
			t.Errorf("got %+v, %v, %v, want the file %s", c, problems, err, path)
		}
	})
	t.Run("missing", func(t *testing.T) {
		path := filepath.Join(dir, "none.conf")
		c, _, err := LoadClient(path)
		if c != nil || !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("got %v, %v, want fs.ErrNotExist", c, err)
		}
		want := "read configuration: open " + path + ": no such file or directory\nhint: make the file"
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	})
	t.Run("no permission", func(t *testing.T) {
		// Root may read everything, so that the error must be made up.
		if got, want := readHint(&fs.PathError{Op: "open", Path: "f", Err: fs.ErrPermission}), "\nhint: run the program as root"; !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q…", got, want)
		}
	})
	t.Run("directory", func(t *testing.T) {
		_, _, err := LoadClient(dir)
		if want := "read configuration: read " + dir + ": is a directory"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("empty", func(t *testing.T) {
		path := write("empty.conf", "")
		_, _, err := LoadClient(path)
		if want := path + ": server_host is not set in [NETWORK]\nhint: "; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	})
	t.Run("as large as may be", func(t *testing.T) {
		path := write("large.conf", minimal+strings.Repeat("#", maxFile-len(minimal)))
		if _, _, err := LoadClient(path); err != nil {
			t.Error(err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		path := write("huge.conf", minimal)
		if err := os.Truncate(path, 100<<20); err != nil {
			t.Fatal(err)
		}
		_, _, err := LoadClient(path)
		if want := path + ": the file is larger than 1 MiB\nhint: "; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	})
	t.Run("endless", func(t *testing.T) {
		if _, _, err := LoadClient("/dev/zero"); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
			t.Errorf("got %v, want that it is too large", err)
		}
	})
}
