package main

import (
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/punch/udp"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/mcast"
)

func TestPeerDocuments(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second).In(berlin) }
	got := peerDocuments([]client.PeerStatus{
		{VPNAddr: netip.MustParseAddr("10.9.0.2"), State: "PUNCHING", Waiting: 3},
		{
			VPNAddr: netip.MustParseAddr("10.9.0.3"), State: "ESTABLISHED", Addr: netip.MustParseAddrPort("192.0.2.1:5"), PathMTU: 1400,
			Path: "wan", Found: "observed", RTT: 23_400 * time.Microsecond, Moves: 2, Asked: 9, Answered: 8, Ends: at(60),
			Server: true, Cipher: "C", Protocol: tunnel.ProtocolName, Since: at(1), LastIn: at(2), LastOut: at(3), Waiting: 1,
			Keys: at(2), Rekeys: 6, RekeyFailures: 7,
			PacketsIn: 1, BytesIn: 2, PacketsOut: 3, BytesOut: 4, Drops: map[string]uint64{"auth": 5},
		},
		{VPNAddr: netip.MustParseAddr("10.9.0.4"), State: "ESTABLISHED", Addr: netip.MustParseAddrPort("192.0.2.1:6"), Since: at(1), Keys: at(1)},
	})
	b, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `[
 {
  "vpn_address": "10.9.0.2",
  "state": "PUNCHING",
  "path_moves": 0,
  "rekeys": 0,
  "rekey_failures": 0,
  "waiting_packets": 3,
  "packets_in": 0,
  "bytes_in": 0,
  "packets_out": 0,
  "bytes_out": 0
 },
 {
  "vpn_address": "10.9.0.3",
  "certificate_expires": "2026-03-01T12:01:00Z",
  "state": "ESTABLISHED",
  "path": "192.0.2.1:5",
  "path_mtu_bytes": 1400,
  "path_kind": "wan",
  "path_found": "observed",
  "path_rtt_seconds": 0.0234,
  "path_moves": 2,
  "path_challenges": 9,
  "path_responses": 8,
  "role": "server",
  "cipher": "C",
  "protocol": "campagnol/1",
  "since": "2026-03-01T12:00:01Z",
  "keys_since": "2026-03-01T12:00:02Z",
  "rekeys": 6,
  "rekey_failures": 7,
  "last_in": "2026-03-01T12:00:02Z",
  "last_out": "2026-03-01T12:00:03Z",
  "waiting_packets": 1,
  "packets_in": 1,
  "bytes_in": 2,
  "packets_out": 3,
  "bytes_out": 4,
  "drops": {
   "auth": 5
  }
 },
 {
  "vpn_address": "10.9.0.4",
  "state": "ESTABLISHED",
  "path": "192.0.2.1:6",
  "path_moves": 0,
  "role": "client",
  "protocol": "original",
  "since": "2026-03-01T12:00:01Z",
  "keys_since": "2026-03-01T12:00:01Z",
  "rekeys": 0,
  "rekey_failures": 0,
  "waiting_packets": 0,
  "packets_in": 0,
  "bytes_in": 0,
  "packets_out": 0,
  "bytes_out": 0
 }
]`
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
}

func TestFailureDocuments(t *testing.T) {
	addr := netip.MustParseAddr("10.9.0.3")
	got := failureDocuments([]client.Failure{{VPNAddr: addr, Time: noon, Reason: "r", Legacy: true}})
	if want := []control.Failure{{VPNAddress: addr, Time: noon, Reason: "r", Legacy: true}}; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// A list without entries is a list for programs, too.
	for _, v := range []any{failureDocuments(nil), peerDocuments(nil)} {
		if b, err := json.Marshal(v); err != nil || string(b) != "[]" {
			t.Errorf("nothing becomes %s (%v), want []", b, err)
		}
	}
}

func TestSocketDocument(t *testing.T) {
	addr := netip.MustParseAddrPort("0.0.0.0:57888")
	features := udp.Features{IPv4: true, IPv6: true, GRO: true, DontFragment: true, RcvBuf: 11, SndBuf: 12}
	got := socketDocument(addr, features, udp.Stats{
		Received: 1, Reads: 2, Joined: 3, Sent: 4, Writes: 5, Cut: 6, Rerouted: 7, PathErrors: 8,
	})
	want := control.Socket{
		LocalAddress: addr, Features: []string{"ipv4", "ipv6", "gro", "df"},
		MissingFeatures:    strings.Fields(features.Missing()),
		ReceiveBufferBytes: 11, SendBufferBytes: 12,
		ReceivedDatagrams: 1, ReceiveCalls: 2, JoinedMessages: 3, SentDatagrams: 4, SendCalls: 5, CutMessages: 6,
		ReroutedMessages: 7, PathErrors: 8,
	}
	if !reflect.DeepEqual(got, want) || !slices.Contains(got.MissingFeatures, "gso") {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDeviceDocument(t *testing.T) {
	got := deviceDocument(1419, device.Offloads{Large: true}, device.Stats{Read: 1, Reads: 2, Written: 3})
	want := control.Device{MTUBytes: 1419, Offloads: []string{"tcp"}, MissingOffloads: []string{"udp"}, ReadPackets: 1, ReadCalls: 2, WrittenPackets: 3}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOccurred(t *testing.T) {
	if got := occurred(map[string]uint64{"a": 0, "b": 1}); !maps.Equal(got, map[string]uint64{"b": 1}) {
		t.Errorf("got %v, want b alone", got)
	}
}

// TestReasonsAreDocumented: every reason of a drop is in docs/control.md.
func TestReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n### Reasons\n")
	if !found {
		t.Fatal("docs/control.md has no section \"Reasons\"")
	}
	var drops tunnel.Drops
	for d := range len(drops) {
		drops.Add(tunnel.Drop(d))
	}
	reasons := slices.Collect(maps.Keys(drops.Snapshot()))
	if len(reasons) != len(drops)-1 {
		t.Fatalf("%d reasons, want %d", len(reasons), len(drops)-1)
	}
	for _, reason := range append(reasons, "truncated", "unsent", "buffer_full", "down", "malformed") {
		if !strings.Contains(table, "\n| `"+reason+"` | ") {
			t.Errorf("the reason %s is not documented", reason)
		}
	}
	for _, f := range append(familyNames(udp.Features{IPv4: true, IPv6: true}), strings.Fields(udp.Features{}.Missing())...) {
		if !strings.Contains(string(text), "`"+f+"`") {
			t.Errorf("the feature %s is not documented", f)
		}
	}
}

// TestSwitchIsDocumented: every reason of the switch and every counter of groups is in
// docs/control.md.
func TestSwitchIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	last := len(l2.Drops{})
	names := []string{}
	for d := l2.Kept + 1; int(d) < last; d++ {
		names = append(names, d.String())
	}
	var s mcast.Stats
	for v, i := reflect.ValueOf(&s).Elem(), 0; i < v.NumField(); i++ {
		v.Field(i).SetUint(uint64(i + 1))
	}
	counters := groupCounters(&s)
	if want := reflect.TypeFor[mcast.Stats]().NumField(); len(counters) != want {
		t.Errorf("%d counters of groups, want %d", len(counters), want)
	}
	for _, name := range slices.Concat(names, slices.Collect(maps.Keys(counters))) {
		if !strings.Contains(string(text), "\n| `"+name+"` | ") {
			t.Errorf("%s is not documented", name)
		}
	}
	for class := range l2.Class(6) {
		if !strings.Contains(string(text), "`"+class.String()+"`") {
			t.Errorf("the class %v is not documented", class)
		}
	}
}

func TestNoDoor(t *testing.T) {
	n := &node{parts: &parts{cfg: &conf.Client{ControlSocket: conf.NoControlSocket}}}
	d, err := n.openDoor(func(msg, _ string) { t.Errorf("a warning: %s", msg) })
	if d != nil || err != nil {
		t.Errorf("control_socket = none: %v, %v, want no socket", d, err)
	}
	d.serve(t.Context(), n)
	d.close()
}
