package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/punch/nat"
	"campagnol/punch/natcheck"
	"campagnol/punch/udp"
	"campagnol/rdv/wire"
)

// ourFamily returns a report as a check of IPv4 leaves it.
func ourFamily(b nat.Behaviour) *familyReport {
	f := &familyReport{Family: "IPv4", UDP: "unknown", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.2")}}
	f.result = natcheck.Result{Behaviour: b, MappingKnown: true, FilteringKnown: true, PortsKnown: true, HairpinKnown: true,
		Servers: []natcheck.Server{{Addr: netip.MustParseAddrPort("198.51.100.1:3478"), Answered: true, RTT: 1500 * time.Microsecond,
			Public: netip.MustParseAddrPort("203.0.113.1:4000"), Software: "coturn"}},
		Public: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:4000")}}
	f.take()
	return f
}

// TestNetcheckMeaning: what a NAT means is said in words that people know.
func TestNetcheckMeaning(t *testing.T) {
	exact := nat.Behaviour{Known: true, MappingExact: true, FilteringExact: true}
	with := func(change func(b *nat.Behaviour)) nat.Behaviour {
		b := exact
		change(&b)
		return b
	}
	cone := func(filtering nat.Dependence) nat.Behaviour {
		return with(func(b *nat.Behaviour) { b.Translated, b.Filtering = true, filtering })
	}
	hard := func(filtering nat.Dependence, ports nat.PortChoice) nat.Behaviour {
		return with(func(b *nat.Behaviour) {
			b.Translated, b.Mapping, b.Filtering, b.Ports = true, nat.AddressAndPortDependent, filtering, ports
		})
	}
	for _, c := range []struct {
		b    nat.Behaviour
		want string
	}{
		{exact, "has a public address: direct paths to all peers that UDP gets out of."},
		{with(func(b *nat.Behaviour) { b.Filtering = nat.AddressAndPortDependent }), "has a public address behind a firewall: direct paths to all peers but some"},
		{with(func(b *nat.Behaviour) { b.Filtering, b.FilteringExact = nat.AddressDependent, false }), "perhaps behind a firewall"},
		{cone(nat.EndpointIndependent), "is behind a full-cone NAT: direct paths to all peers, those behind symmetric NATs included."},
		{cone(nat.AddressDependent), "is behind a restricted-cone NAT: direct paths to all peers, those"},
		{cone(nat.AddressAndPortDependent), "is behind a port-restricted-cone NAT: direct paths to all peers but some behind symmetric NATs"},
		{hard(nat.AddressDependent, nat.Random), "is behind a symmetric NAT: direct paths to peers that are not behind such a NAT"},
		{hard(nat.AddressAndPortDependent, nat.Random), "a full-cone or a restricted-cone NAT; to others its ports have to be guessed."},
		{hard(nat.AddressAndPortDependent, nat.Sequential), "can be predicted."},
		{with(func(b *nat.Behaviour) {
			b.Translated, b.Mapping, b.MappingExact, b.Filtering, b.FilteringExact = true, nat.AddressDependent, false, nat.AddressDependent, false
		}), "is behind a cone NAT: direct paths to all peers, those behind symmetric NATs included. Only one address could be asked"},
	} {
		if got := ourFamily(c.b).meaning(); !strings.HasPrefix(got, "Over IPv4 this host ") || !strings.Contains(got, c.want) {
			t.Errorf("%+v:\n%s\nwant in it: %s", c.b, got, c.want)
		}
	}
	f := ourFamily(exact)
	f.result.MappingKnown = false
	if got := f.meaning(); !strings.Contains(got, "Only one place could be asked") {
		t.Errorf("nothing to compare with: %s", got)
	}
}

// TestNetcheckJudges: what it all comes to, and whether it is well.
func TestNetcheckJudges(t *testing.T) {
	well := ourFamily(nat.Behaviour{Known: true})
	none := &familyReport{Family: "IPv6", UDP: "none"}
	blocked := ourFamily(nat.Behaviour{Known: true, Blocked: true})
	blocked.result.Servers, blocked.Servers, blocked.UDP = nil, nil, "blocked"
	reached := ourFamily(nat.Behaviour{Known: true})
	reached.RDV = &rdvReport{Reachable: true, Channel: "yes"}
	silent := ourFamily(nat.Behaviour{Known: true})
	silent.RDV = &rdvReport{Channel: "unknown"}
	plain := &familyReport{Family: "IPv4", UDP: "works", RDV: &rdvReport{Reachable: true, Channel: "unknown"}}
	for _, c := range []struct {
		name string
		rdv  string
		f    []*familyReport
		ok   bool
		want string
	}{
		{"no configuration", "", []*familyReport{well, none}, true, "Over IPv4"},
		{"the server answers", "rdv:1", []*familyReport{reached, none}, true, "Over IPv4"},
		{"the server is silent", "rdv:1", []*familyReport{silent, none}, false, "cannot be introduced"},
		{"blocked", "", []*familyReport{blocked, none}, false, "UDP over IPv4 gets no answer. No UDP packet"},
		{"one family is blocked", "", []*familyReport{blocked, well}, true, "UDP over IPv4 gets no answer. Over"},
		{"no address", "rdv:1", []*familyReport{none, none}, false, "No UDP packet"},
		{"an original server", "rdv:1", []*familyReport{plain, none}, true, "UDP over IPv4 works; no STUN server"},
	} {
		r := &netcheckReport{RDV: c.rdv, Families: c.f}
		if r.judge(); r.OK != c.ok || !strings.Contains(r.Summary, c.want) {
			t.Errorf("%s: ok %v, %q, want %v, %q", c.name, r.OK, r.Summary, c.ok, c.want)
		}
	}
}

// TestNetcheckText: the report as people see it.
func TestNetcheckText(t *testing.T) {
	f := ourFamily(nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent, Filtering: nat.AddressAndPortDependent,
		FilteringExact: true, Ports: nat.Sequential, Step: 2, Hairpin: true})
	f.RDV = &rdvReport{Addr: netip.MustParseAddrPort("198.51.100.1:57888"), Reachable: true, RTT: 21.25, Channel: "yes"}
	f.Lifetime = &lifetimeReport{Known: true, AtLeast: 30, AtMost: 45}
	f.Servers = append(f.Servers, serverReport{Addr: netip.MustParseAddrPort("192.0.2.9:3478")})
	r := &netcheckReport{RDV: "rdv.example.org:57888", Families: []*familyReport{f, {Family: "IPv6", UDP: "none"}},
		Notes: []string{"this is one"}, Summary: strings.Repeat("word ", 20)}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	want := `IPv4
  addresses            192.168.1.2
  UDP                  works
  rendezvous server    198.51.100.1:57888 answers in 21.2 ms, with an authenticated channel
  STUN server          198.51.100.1:3478 answers in 1.5 ms (coturn)
  STUN server          192.0.2.9:3478 does not answer
  seen as              203.0.113.1:4000
  address translation  yes
  mapping              address-dependent at worst
  filtering            address-and-port-dependent
  port allocation      sequential, step +2
  hairpinning          yes
  idle mappings        are kept for at least 30s, and less than 45s
IPv6
  addresses  none

Note: this is one.

word word word word word word word word word word word word word word word
word word word word word
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestNetcheckDescribes: the rest of what may stand in the table.
func TestNetcheckDescribes(t *testing.T) {
	at := netip.MustParseAddrPort("198.51.100.1:57888")
	for got, want := range map[string]string{
		(*rdvReport)(nil).describe("rdv:1", "IPv6"):                                    "rdv:1 has no IPv6 address",
		(&rdvReport{Addr: at}).describe("rdv:1", "IPv4"):                               "rdv:1 (198.51.100.1:57888) does not answer",
		(&rdvReport{Addr: at, Reachable: true, Channel: "no"}).describe("", ""):        "answers in 0.0 ms, without an authenticated channel",
		(&rdvReport{Addr: at, Reachable: true, Channel: "unknown"}).describe("", ""):   "it is one of Campagnol 0.3.5, it seems",
		(&natReport{}).ports() + ", " + (&natReport{}).hairpin():                       "not told, not told",
		(&natReport{Ports: "random"}).ports():                                          "random",
		(&lifetimeReport{}).describe():                                                 "no server could help",
		(&lifetimeReport{Known: true, AtLeast: 300}).describe():                        "at least 5m0s",
		"x" + atWorst(false, false) + atWorst(true, true) + atWorst(true, false) + "x": "x (not told) at worstx",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
}

// TestNetcheckArguments: mistakes are told with what to do.
func TestNetcheckArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--server", "a:b"}, `"a:b" is neither a host nor a host with a port`},
		{[]string{"/no/such/file"}, "no such file"},
		{[]string{"a", "b"}, "there is no use for"},
		{[]string{"--lifetimes"}, "lifetimes"},
	} {
		cmd := newNetcheckCommand()
		cmd.SetArgs(c.args)
		cmd.SetOut(new(bytes.Buffer))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
}

// TestNetcheckNames: a name that cannot be resolved is a note, and no failure.
func TestNetcheckNames(t *testing.T) {
	r := &netcheckReport{}
	ctx, stop := context.WithCancel(t.Context())
	stop() // nobody is asked
	for range 2 {
		if at, ok := r.find(ctx, conf.Server{Host: "no.such.example", Port: 1}, false); ok {
			t.Errorf("found %v", at)
		}
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no.such.example cannot be resolved") {
		t.Errorf("notes %q, want one", r.Notes)
	}
	for _, v6 := range []bool{false, true} {
		at, ok := r.find(t.Context(), conf.Server{Host: "192.0.2.1", Port: 7}, v6)
		if ok == v6 || ok && at.String() != "192.0.2.1:7" {
			t.Errorf("IPv6 %v: %v, %v", v6, at, ok)
		}
	}
}

// An oldServer is a rendezvous server on the loopback interface that answers PINGs.
type oldServer struct {
	conn *net.UDPConn
	stun atomic.Int64 // datagrams of STUN that it got
}

func startOldServer(t *testing.T, answer func(b []byte) [][]byte) *oldServer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &oldServer{conn: conn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if wire.KindOf(b[:n]) == wire.KindSTUN {
				s.stun.Add(1)
			}
			for _, a := range answer(b[:n]) {
				_, _ = conn.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-ended })
	return s
}

func (s *oldServer) port() int { return s.conn.LocalAddr().(*net.UDPAddr).Port }

// answerPing answers as a server does that does not know the sender.
func answerPing(b []byte) [][]byte {
	if m, err := wire.Parse(b); err == nil && m.Type == wire.Ping {
		return [][]byte{wire.Message{Type: wire.Reconnect}.Append(nil)}
	}
	return nil
}

// checkConf writes a configuration with a server on the loopback interface.
func checkConf(t *testing.T, port int, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "campagnol.conf")
	text := fmt.Sprintf("[NETWORK]\nserver_host = 127.0.0.1\nserver_port = %d\n%s[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n"+
		"[SECURITY]\ncertificate = c\nkey = k\nca_certificates = a\n", port, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestProbeRDV: what answers, and what does not count as an answer.
func TestProbeRDV(t *testing.T) {
	gate := func(m wire.GateMessage) []byte { return m.Append(nil) }
	for _, c := range []struct {
		name      string
		answer    func(b []byte) [][]byte
		reachable bool
		channel   string
	}{
		{"an original", answerPing, true, "unknown"},
		{"with channels", func(b []byte) [][]byte {
			if wire.KindOf(b) == wire.KindGate {
				return [][]byte{gate(wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion})}
			}
			return nil
		}, true, "yes"},
		{"without channels", func(b []byte) [][]byte {
			if wire.KindOf(b) == wire.KindGate {
				return [][]byte{gate(wire.GateMessage{Type: wire.Closed})}
			}
			return answerPing(b)
		}, true, "no"},
		{"garbage", func([]byte) [][]byte {
			return [][]byte{nil, {15}, {22, 1}, wire.Message{Type: wire.Punch}.Append(nil), gate(wire.GateMessage{Type: wire.Knock, Version: 1}), make([]byte, 1400)}
		}, false, "unknown"},
		{"nothing", func([]byte) [][]byte { return nil }, false, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startOldServer(t, c.answer)
			at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(s.port()))
			r, err := probeRDV(t.Context(), &conf.Client{}, netip.AddrPortFrom(at.Addr(), 0), at)
			if err != nil {
				t.Fatal(err)
			}
			if r.Reachable != c.reachable || r.Channel != c.channel || (r.RTT > 0) != c.reachable || r.Addr != at {
				t.Errorf("%+v, want reachable %v, channel %s", r, c.reachable, c.channel)
			}
		})
	}
}

// TestNetcheckOriginal: a server of Campagnol 0.3.5 is never sent STUN, which it would
// take for a HELLO; and a local port that is in use is no failure.
func TestNetcheckOriginal(t *testing.T) {
	original := startOldServer(t, answerPing)
	other := startOldServer(t, func([]byte) [][]byte { return nil })
	busy, err := udp.Listen(udp.Config{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := busy.LocalAddr().Port()
	file := checkConf(t, original.port(), fmt.Sprintf("local_port = %d\nstun_server = 127.0.0.1:%d\n", port, other.port()))
	cmd := newNetcheckCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{file, "--json"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var r netcheckReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	f := r.Families[0]
	if !r.OK || f.UDP != "works" || f.NAT != nil || len(f.Servers) != 1 || f.Servers[0].Answered || f.Port == port {
		t.Errorf("report %s", out.Bytes())
	}
	if original.stun.Load() != 0 || other.stun.Load() == 0 {
		t.Errorf("the original got %d datagrams of STUN, the other server %d, want none and some", original.stun.Load(), other.stun.Load())
	}
	if want := fmt.Sprintf("port %d is in use", port); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], want) {
		t.Errorf("notes %q, want %q", r.Notes, want)
	}
}
