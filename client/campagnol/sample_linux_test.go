package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sampleConf is a configuration in the manner of the sample that came with
// Campagnol 0.3.5 and of what people made of it, with everything that its parser
// lets pass. The test puts in what is in <angle brackets>.
const sampleConf = `; the VPN of our club
# [OLD] is never read: nobody asks for it
[OLD]
server_host = 192.0.2.1

[NETWORK]
	# the last of several counts
server_host = 192.0.2.1
server_host = "<server>"	# behind a quoted value, this is a comment
server_port = 57888 # behind a number, this is text that nobody reads
local_port=<port>
tun_device = "vp\x6e0"
tun_mtu = 1400bytes
use_local_addr = YeS
no such key = neither here
nor on this line, which has no value

[ VPN ] # blanks do not matter
vpn_ip = <address>
network = "10.9.0.0"/24

[SECURITY]
root = <dir>
dir = ${root}/${name}
name = peer\x4e<number>
certificate = "${dir}/cert.pem"
key = ${dir}/\
      key.pem
ca_certificates = "${root}/ca.pem" ; also a comment
verify_depth = 9th

[CLIENT]
state_dir = <dir>
fifo_size = 1e1
txqueue = 77 packets
timeout = +60s
keepalive = 	10.9
max_clients = 5; not more
client_max_rate = 1e6 kB/s

[NETWORK]
# a section may be opened again
use_local_addr = 1
[COMMANDS]
default_up = tRuE
default_down = oN
up = echo not run > <dir>/ran-<number>
down = echo not run >> <dir>/ran-<number>`

// sampleAddrs are the VPN addresses 10.9.0.1 and 10.9.0.2 as inet_aton reads them.
var sampleAddrs = []string{"0x0a090001 the first one", "012.9.2"}

// useSample replaces the peer's configuration by the sample.
func (p *meshPeer) useSample(number int) (localPort int) {
	p.m.t.Helper()
	dir := p.m.lab.Dir()
	own := filepath.Join(dir, fmt.Sprintf("peerN%d", number))
	if err := os.MkdirAll(own, 0o700); err != nil {
		p.m.t.Fatal(err)
	}
	for key, file := range map[string]string{
		"certificate": filepath.Join(own, "cert.pem"), "key": filepath.Join(own, "key.pem"),
		"ca_certificates": filepath.Join(dir, "ca.pem"),
	} {
		b, err := os.ReadFile(confValue(p.m.t, p.conf, key))
		if err == nil {
			err = os.WriteFile(file, b, 0o600)
		}
		if err != nil {
			p.m.t.Fatal(err)
		}
	}
	localPort = 4000 + number
	text := strings.NewReplacer(
		"<server>", p.m.server.Addr().String(), "<port>", fmt.Sprint(localPort), "<address>", sampleAddrs[number-1],
		"<dir>", dir, "<number>", fmt.Sprint(number),
	).Replace(sampleConf)
	if number == 2 { // from another system
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if err := os.WriteFile(p.conf, []byte(text), 0o600); err != nil {
		p.m.t.Fatal(err)
	}
	return localPort
}

// linkState describes an interface on the peer's host.
func (p *meshPeer) linkState(name string) (state string) {
	p.m.t.Helper()
	err := p.Do(func() error {
		nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer nl.Close()
		link, err := nl.LinkByName(name)
		if err != nil {
			return err
		}
		addrs, err := nl.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		routes, err := nl.RouteList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		var lines []string
		for _, a := range addrs {
			lines = append(lines, a.IPNet.String())
		}
		for _, r := range routes {
			lines = append(lines, fmt.Sprintf("route %v src %v", r.Dst, r.Src))
		}
		slices.Sort(lines)
		attrs := link.Attrs()
		state = fmt.Sprintf("mtu %d up %v txqueue %d; %s", attrs.MTU, attrs.Flags&net.FlagUp != 0, attrs.TxQLen, strings.Join(lines, "; "))
		return nil
	})
	if err != nil {
		p.m.t.Fatal(err)
	}
	return state
}

// TestSampleConfiguration runs two clients with configurations as they are found
// on machines with Campagnol 0.3.5. What its default commands did, the client does
// by itself: the interface has its address, MTU, queue and route.
func TestSampleConfiguration(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	for i, p := range m.peers {
		port := p.useSample(i + 1)
		since := time.Now()
		p.start()
		want := fmt.Sprintf("mtu 1400 up true txqueue 77; %v/32; route 10.9.0.0/24 src %v", p.vpn, p.vpn)
		if got := p.linkState("vpn0"); got != want {
			t.Errorf("%s: the interface is %q, want %q", p.Name(), got, want)
		}
		if added := m.awaitSince(m.rdv, since, "Adding new client"); added.Attr("port") != fmt.Sprint(port) || added.Attr("vpn") != p.vpn.String() {
			t.Errorf("%s registers as %v, want %v from port %d", p.Name(), added, p.vpn, port)
		}
		checkShown(t, p, []string{
			"Configuration:",
			fmt.Sprintf("  Local IP address: %v", p.Addr()),
			fmt.Sprintf("  Using local port: %d", port),
			fmt.Sprintf("  RDV server IP address: %v", m.server.Addr()),
			"  RDV server port: 57888",
			fmt.Sprintf("  VPN IP addres: %v", p.vpn),
			"  VPN broadcast IP: 10.9.0.255",
			"  VPN subnetwork: 10.9.0.0/24",
			fmt.Sprintf("  DTLS certificate file: %s/peerN%d/cert.pem", m.lab.Dir(), i+1),
			fmt.Sprintf("  DTLS private key file: %s/peerN%d/key.pem", m.lab.Dir(), i+1),
			fmt.Sprintf("  DTLS root certificates chain file: %s/ca.pem", m.lab.Dir()),
			"  FIFO size: 1",
			"  Outgoing traffic: 1000000.000 kb/s",
			"  Timeout: 60 sec.",
			"  Keepalive: 10 sec.",
			"  Maximum number of connections: 5",
			"",
		})
	}
	a, b := m.peers[0], m.peers[1]
	a.ping(b, 3)
	b.ping(a, 3)
	for _, p := range m.peers {
		if err := p.process.Stop(); err != nil {
			t.Error(err)
		}
	}
	if ran, err := filepath.Glob(filepath.Join(m.lab.Dir(), "ran-*")); err != nil || len(ran) > 0 {
		t.Errorf("commands were run although the defaults are chosen: %v %v", ran, err)
	}
}

// checkShown checks that the peer's client has shown lines, one after the other.
func checkShown(t *testing.T, p *meshPeer, want []string) {
	t.Helper()
	log, err := os.ReadFile(p.process.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(want, "\n") + "\n"; !strings.Contains(string(log), text) {
		_, shown, _ := strings.Cut(string(log), want[0])
		t.Errorf("%s shows\n%.900s\nwant\n%s", p.Name(), want[0]+shown, text)
	}
}

// TestSampleCommands has one client whose device is made part of the VPN by
// commands of its user, with every variable, and one that leaves it to nobody: the
// user does it by hand.
func TestSampleCommands(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "ip", "iproute2")
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	seen := filepath.Join(m.lab.Dir(), "seen")
	a.configure(`[NETWORK]
local_port = 4001
tun_mtu = 1380
[COMMANDS]
default_up = no
default_down = no
log = ` + seen + `
up = echo 1 %D %V %M %N %n %P %I %% %x %d > ${log}
down = "echo 4 %D %V %M %N %n %P %I %% %x %d >> ${log}"
up = "ip address add %V dev %D && ip link set dev %D mtu %M up; echo 2 $? >> ${log}"
up = false
up = ip route replace %N via %V || echo no route >> ${log}
up = "echo \"3 $$(ip -o link show dev %D | wc -l)\" >> ${log}"
down = exit 3
down = ip -o -4 address show dev %D | wc -l >> ${log}
`)
	b.configure("[COMMANDS]\ndefault_up = no\ndefault_down = no\n")
	a.start()
	b.start()
	if got, want := b.linkState("tun0"), "mtu 1500 up false txqueue 500; "; got != want {
		t.Errorf("without commands the interface is %q, want it as the kernel makes it: %q", got, want)
	}
	if err := b.AddAddress("tun0", netip24(b)); err != nil {
		t.Fatal(err)
	}
	a.ping(b, 3)
	b.ping(a, 3)

	values := fmt.Sprintf("tun0 10.9.0.1 1380 10.9.0.0/24 255.255.255.0 4001 %v %% %%x %%d\n", a.Addr())
	want := "1 " + values + "2 0\n3 1\n"
	if got := readText(t, seen); got != want {
		t.Errorf("the up commands have written\n%swant\n%s", got, want)
	}
	if err := a.process.Stop(); err != nil {
		t.Fatal(err)
	}
	want += "4 " + values + "1\n"
	if got := readText(t, seen); got != want {
		t.Errorf("all commands have written\n%swant\n%s", got, want)
	}
}

// TestEchoOfPipe: a configuration that comes from a pipe can be read only once; it
// is not spent on the log.
func TestEchoOfPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// Who opened it would wait for a writer, for ever.
	if got := echoed(pipe, slog.LevelDebug); got != "" {
		t.Errorf("echoed %q of a pipe", got)
	}
}
