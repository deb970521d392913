package main

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

// noon is when the documents of these tests were made.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sampleStatus is the document of a client with everything that there can be.
func sampleStatus() *control.Status {
	return &control.Status{
		Version:    "1.0.0",
		ProcessID:  4711,
		Time:       noon,
		Started:    noon.Add(-3*time.Hour - 12*time.Minute),
		ConfigFile: "/etc/campagnol.conf",
		Interface:  "tun0",
		VPNAddress: netip.MustParseAddr("10.9.0.1"),
		Network:    netip.MustParsePrefix("10.9.0.0/24"),
		RDV:        control.RDV{Host: "rdv.example.org", Address: netip.MustParseAddrPort("203.0.113.10:57888"), Registered: true},
		Socket:     control.Socket{MissingFeatures: []string{"gro", "gso"}},
		Device:     control.Device{MissingOffloads: []string{"udp"}},
		Drops: control.Drops{
			Client: map[string]uint64{"auth": 1, "no_peer": 12, "queue": 3, "rate": 0, "replay": 4},
			Socket: map[string]uint64{"buffer_full": 5},
			Device: map[string]uint64{"down": 2},
		},
		Peers: []control.Peer{
			{
				VPNAddress: netip.MustParseAddr("10.9.0.2"), State: "ESTABLISHED",
				Path: netip.MustParseAddrPort("203.0.113.22:39538"), Role: "client",
				Cipher: "ECDHE-ECDSA-AES128-GCM-SHA256", Protocol: "campagnol/1",
				Since: noon.Add(-192 * time.Second), KeysSince: noon.Add(-12 * time.Second), Rekeys: 1, LastIn: noon.Add(-4 * time.Second), LastOut: noon.Add(-75 * time.Second),
				PacketsIn: 1000, BytesIn: 1_572_864, PacketsOut: 3, BytesOut: 96,
				Drops: map[string]uint64{"replay": 4, "auth": 1},
			},
			{VPNAddress: netip.MustParseAddr("10.9.0.17"), State: "NEW", WaitingPackets: 2},
		},
		Failures: []control.Failure{
			{VPNAddress: netip.MustParseAddr("10.9.0.3"), Time: noon.Add(-12 * time.Second), Reason: "the RDV server does not know the peer"},
			{VPNAddress: netip.MustParseAddr("10.9.0.4"), Time: noon.Add(-26 * time.Hour), Legacy: true,
				Reason: "the peer speaks a version of DTLS before 1.2, as Campagnol 0.3.5 does as released, so that no tunnel with it is possible"},
		},
	}
}

const sampleText = `campagnol 1.0.0, process 4711, has run for 3h12m
10.9.0.1 in 10.9.0.0/24 on tun0, configured in /etc/campagnol.conf
registered at the RDV server rdv.example.org (203.0.113.10:57888)
slower than it could be, because the system lacks: gro, gso (UDP socket); udp (virtual interface)

PEER       STATE        OPEN FOR  KEYS FOR  IN       OUT   LAST IN  LAST OUT  WAITING  PATH                WE ARE  PROTOCOL     CIPHER
10.9.0.2   ESTABLISHED  3m12s     12s       1.5 MiB  96 B  4s       1m15s     0        203.0.113.22:39538  client  campagnol/1  ECDHE-ECDSA-AES128-GCM-SHA256
10.9.0.17  NEW          -         -         0 B      0 B   -        -         2        -                   -       -            -

not reached:
  10.9.0.3, 12s ago: the RDV server does not know the peer
  10.9.0.4, 1d2h ago: the peer speaks a version of DTLS before 1.2, as Campagnol 0.3.5 does as released, so that no tunnel with it is possible

dropped:
  by the client: auth 1, no_peer 12, queue 3, replay 4
  of that, from 10.9.0.2: auth 1, replay 4
  by the UDP socket: buffer_full 5
  by the virtual interface: down 2
`

func TestStatusText(t *testing.T) {
	if got := statusText(sampleStatus(), nil, 0); got != sampleText {
		t.Errorf("got\n%s\nwant\n%s", got, sampleText)
	}
}

// TestStatusTextPath: what there is to say of the path of a session.
func TestStatusTextPath(t *testing.T) {
	for _, c := range []struct {
		peer control.Peer
		want string
	}{
		{control.Peer{}, "192.0.2.1:5"}, // an original's
		{control.Peer{PathKind: "wan"}, "192.0.2.1:5 (wan)"},
		{control.Peer{PathKind: "lan", PathRTTSeconds: 0.00042}, "192.0.2.1:5 (lan, 0.4 ms)"},
		{control.Peer{PathKind: "lan", PathMoves: 1}, "192.0.2.1:5 (lan, moved once)"},
		{control.Peer{PathKind: "wan", PathRTTSeconds: 0.1234, PathMoves: 3}, "192.0.2.1:5 (wan, 123.4 ms, moved 3 times)"},
		{control.Peer{PathKind: "wan", PathChallenges: 101, PathResponses: 95}, "192.0.2.1:5 (wan, 4.95% lost)"},
		{control.Peer{PathKind: "wan", PathChallenges: 101, PathResponses: 100}, "192.0.2.1:5 (wan)"},
		{control.Peer{PathKind: "wan", PathChallenges: 9}, "192.0.2.1:5 (wan)"},
		{control.Peer{PathKind: "\x1b[2J"}, "192.0.2.1:5 (" + human.Printable("\x1b[2J") + ")"},
	} {
		c.peer.Path = netip.MustParseAddrPort("192.0.2.1:5")
		if got := peerCells(noon, c.peer); !slices.Contains(got, c.want) {
			t.Errorf("%q, want %q among them", got, c.want)
		}
	}
}

// TestStatusTextPeerCertificates: those that are about to end are named.
func TestStatusTextPeerCertificates(t *testing.T) {
	addr := netip.MustParseAddr("10.9.0.2")
	s := &control.Status{Time: noon, Started: noon, Peers: []control.Peer{
		{VPNAddress: addr, Name: "b\x1b", Expires: noon.Add(50 * time.Hour)}, {VPNAddress: addr, Expires: noon.Add(-time.Hour)},
		{VPNAddress: addr, Name: "later", Expires: noon.Add(expiryNotice)}, {VPNAddress: addr, Name: "unknown"}}}
	got := statusText(s, nil, 0)
	for _, want := range []string{"\nthe certificate of the peer 10.9.0.2 (\"b?\") expires in 2d2h (2026-03-03 14:00:00 UTC)\n",
		"\nthe certificate of the peer 10.9.0.2 has EXPIRED (2026-03-01 11:00:00 UTC)\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "the certificate of the peer"); n != 2 {
		t.Errorf("%d certificates are named, want 2, in\n%s", n, got)
	}
}

// TestStatusTextPlain is that of a client that has just started.
func TestStatusTextPlain(t *testing.T) {
	s := &control.Status{
		Version: "1.0.0", ProcessID: 7, Time: noon, Started: noon, ConfigFile: "x.conf", Interface: "tun1",
		VPNAddress: netip.MustParseAddr("10.9.0.1"), Network: netip.MustParsePrefix("10.9.0.0/24"),
		RDV: control.RDV{Host: "203.0.113.10", Address: netip.MustParseAddrPort("203.0.113.10:57888")},
	}
	const want = `campagnol 1.0.0, process 7, has run for 0s
10.9.0.1 in 10.9.0.0/24 on tun1, configured in x.conf
NOT registered at the RDV server 203.0.113.10:57888

no tunnels; the first packet for a peer opens one
`
	if got := statusText(s, nil, 0); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestStatusTextWrapped is for a narrow terminal: sentences are wrapped, the
// table is not.
func TestStatusTextWrapped(t *testing.T) {
	got := statusText(sampleStatus(), nil, 50)
	for _, want := range []string{`
slower than it could be, because the system lacks:
  gro, gso (UDP socket); udp (virtual interface)
`, `
  10.9.0.4, 1d2h ago: the peer speaks a version of
    DTLS before 1.2, as Campagnol 0.3.5 does as
    released, so that no tunnel with it is
    possible
`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nis missing in\n%s", want, got)
		}
	}
}

// TestStatusTextRDV: how the client is registered.
func TestStatusTextRDV(t *testing.T) {
	at := netip.MustParseAddrPort("203.0.113.10:57888")
	authentic := control.RDV{
		Host: "203.0.113.10", Address: at, Registered: true, Auth: "auto", Registration: control.RegisteredAuthenticated,
		Since: noon.Add(-time.Hour), Certificate: "rdv\x1b[2J", CertificateExpires: time.Date(2027, 5, 1, 3, 4, 5, 0, time.UTC),
	}
	streamed := authentic
	streamed.Transport = control.TransportTLS
	renewing := authentic
	renewing.Refusal, renewing.RefusedAt = "no answer", noon.Add(-5*time.Second)
	for _, c := range []struct {
		name string
		rdv  control.RDV
		want string
	}{
		{"authenticated", authentic, "registered at the RDV server 203.0.113.10:57888\n" +
			`  authenticated for 1h0m: certificate "rdv?[2J", which expires 2027-05-01` + "\n"},
		{"over a stream", streamed, "registered at the RDV server 203.0.113.10:57888 over TLS (UDP gets no answer)\n" +
			`  authenticated for 1h0m: certificate "rdv?[2J", which expires 2027-05-01` + "\n"},
		{"authenticated, and the next channel fails", renewing, "registered at the RDV server 203.0.113.10:57888\n" +
			`  authenticated for 1h0m: certificate "rdv?[2J", which expires 2027-05-01` + "\n" +
			"  no authenticated channel, 5s ago: no answer\n"},
		{"in clear", control.RDV{Address: at, Registered: true, Auth: "auto", Registration: control.RegisteredInClear},
			"registered at the RDV server 203.0.113.10:57888, in clear\n"},
		{"in clear, as the configuration says", control.RDV{Address: at, Registered: true, Auth: "no", Registration: control.RegisteredInClear},
			"registered at the RDV server 203.0.113.10:57888\n"},
		{"a spare", control.RDV{Host: "rdv.example.org", Address: at, Spare: true, Auth: "no"},
			"the RDV server rdv.example.org (203.0.113.10:57888) is a spare\n"},
		{"refused", control.RDV{Address: at, Auth: "yes", Refusal: "refused: the server is full", RefusedAt: noon.Add(-time.Minute)},
			"NOT registered at the RDV server 203.0.113.10:57888\n  no authenticated channel, 1m0s ago: refused: the server is full\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &control.Status{Time: noon, Started: noon, RDV: c.rdv}
			lines := strings.SplitAfter(statusText(s, nil, 0), "\n")
			n := strings.Count(c.want, "\n")
			if got := strings.Join(lines[2:2+n], ""); got != c.want || lines[2+n] != "\n" {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, ""), c.want)
			}
		})
	}
}

// TestStatusTextRDVs: of several RDVs each has its lines.
func TestStatusTextRDVs(t *testing.T) {
	at := func(n byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, n}), 57888)
	}
	s := &control.Status{Time: noon, Started: noon,
		RDV:      control.RDV{Address: at(2), Registered: true, Auth: "no", Registration: control.RegisteredInClear},
		MoreRDVs: []control.RDV{{Address: at(1), Auth: "no"}, {Address: at(3), Auth: "no", Spare: true}},
	}
	want := "registered at the RDV server 203.0.113.2:57888\nNOT registered at the RDV server 203.0.113.1:57888\n" +
		"the RDV server 203.0.113.3:57888 is a spare\n"
	if got := statusText(s, nil, 0); !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

// tableOf returns the table of peers in a text.
func tableOf(t *testing.T, text string) []string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\nPEER ")
	table, _, ended := strings.Cut(rest, "\n\n")
	if !found || !ended {
		t.Fatalf("no table in\n%s", text)
	}
	return strings.Split("PEER "+table, "\n")
}

func TestStatusRates(t *testing.T) {
	before, now := sampleStatus(), sampleStatus()
	before.Time = noon.Add(-2 * time.Second)
	before.Peers[0].BytesIn -= 1 << 20
	before.Peers[0].BytesOut = 0
	const want = `PEER       STATE        OPEN FOR  KEYS FOR  IN       OUT   IN/S         OUT/S      LAST IN  LAST OUT  WAITING  PATH                WE ARE  PROTOCOL     CIPHER
10.9.0.2   ESTABLISHED  3m12s     12s       1.5 MiB  96 B  512.0 KiB/s  0.0 KiB/s  4s       1m15s     0        203.0.113.22:39538  client  campagnol/1  ECDHE-ECDSA-AES128-GCM-SHA256
10.9.0.17  NEW          -         -         0 B      0 B   0.0 KiB/s    0.0 KiB/s  -        -         2        -                   -       -            -`
	if got := strings.Join(tableOf(t, statusText(now, before, 0)), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	for _, c := range []struct {
		name   string
		edit   func()
		in, by string
	}{
		{"another session", func() { before.Peers[0].Since = noon.Add(-time.Hour) }, "768.0 KiB/s", "the counters of the new one"},
		{"a peer that was not there", func() { before.Peers = nil }, "768.0 KiB/s", "all that it has sent"},
		{"the clock stands still", func() { before.Time = now.Time }, "-", "no rate"},
		{"a counter that went back", func() { before = sampleStatus(); before.Time = noon.Add(-time.Second); before.Peers[0].BytesIn++ }, "-", "no rate"},
	} {
		c.edit()
		if got := rates(now.Peers[0], peerIn(before), now.Time.Sub(before.Time))[0]; got != c.in {
			t.Errorf("%s: %s, want %s: %s", c.name, got, c.in, c.by)
		}
	}
}

// peerIn returns the first peer of a document, if there is one.
func peerIn(s *control.Status) control.Peer {
	if len(s.Peers) == 0 {
		return control.Peer{}
	}
	return s.Peers[0]
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m0s",
		3*time.Minute + 12*time.Second: "3m12s", time.Hour - 1: "59m59s", 5*time.Hour + 3*time.Minute: "5h3m",
		24*time.Hour - 1: "23h59m", 53 * time.Hour: "2d5h", 1<<63 - 1: "106751d23h",
	} {
		if got := human.Age(d); got != want {
			t.Errorf("age of %v is %s, want %s", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB",
		1<<30 - 1<<20: "1023.0 MiB", 1 << 30: "1.0 GiB", 1<<64 - 1: "16.0 EiB",
	} {
		if got := human.Size(n); got != want {
			t.Errorf("size of %d is %s, want %s", n, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 10, "> \n"},
		{"one", 10, "> one\n"},
		{"one two three", 0, "> one two three\n"},
		{"one two three", 9, "> one two\n>>> three\n"},
		{"one two three", 1, "> one\n>>> two\n>>> three\n"},
		{"größe äöü x", 11, "> größe äöü\n>>> x\n"},
		{"two  blanks\nand a line", 40, "> two blanks and a line\n"},
	} {
		var b strings.Builder
		if wrap(&b, c.text, "> ", ">>> ", c.width); b.String() != c.want {
			t.Errorf("%q at %d: %q, want %q", c.text, c.width, b.String(), c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"plain, Größe": "plain, Größe", "\x1b[2Jred": "?[2Jred", "a\tb\nc\r": "a?b?c?", "\xff\u202e\u0085": "???",
	} {
		if got := human.Printable(s); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	}
}

// FuzzStatusText renders what a client might say. Whatever it is, the terminal
// gets nothing to obey, and each thing stays in its line.
func FuzzStatusText(f *testing.F) {
	seed, err := json.Marshal(sampleStatus())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, 80)
	f.Add([]byte(`{"peers":[{"vpn_address":"fe80::1%\u001b[2J","cipher":"\n","since":"0001-01-01T00:00:00Z"}]}`), 1)
	f.Add([]byte(`{"drops":{"client":{"\r":7}},"failures":[{"reason":"\u0007\t"}],"socket":{"missing_features":["\u001b"]}}`), -3)
	f.Fuzz(func(t *testing.T, b []byte, width int) {
		s := new(control.Status)
		if json.Unmarshal(b, s) != nil {
			return
		}
		text := statusText(s, s, width)
		if !utf8.ValidString(text) || !strings.HasSuffix(text, "\n") {
			t.Errorf("broken text %q", text)
		}
		for _, c := range text {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Fatalf("%q in %q", c, text)
			}
		}
		if len(s.Peers) > 0 {
			if got, want := strings.Count(text, "\n"), 5+len(s.Peers); got < want {
				t.Errorf("%d lines, want at least %d", got, want)
			}
		}
	})
}
