package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/pki/pkitest"
	"campagnol/pki/policy"
)

// TestMayRelay: the policy decides for whom this host relays, by their certificates; one
// of the two has to be allowed to ask.
func TestMayRelay(t *testing.T) {
	ca := pkitest.NewCA(t, "CA", time.Now())
	shown := func(name, addr string) client.Shown {
		return client.Shown{VPNAddr: netip.MustParseAddr(addr), Chain: ca.Issue(t, name, pkitest.Addrs(addr)).Raw()}
	}
	alice, bob, hub := shown("alice", "10.9.0.1"), shown("bob", "10.9.0.2"), shown("hub", "10.9.0.3")
	self, err := shownMember(hub)
	if err != nil {
		t.Fatal(err)
	}
	if f := (&trust{}).mayRelay(); f != nil {
		t.Error("without a policy it is asked whether we may relay")
	}
	for _, c := range []struct {
		policy string
		want   bool
	}{
		{"default allow\n", false},
		{"default allow\nallow relay: all <-> all through hub\n", true},
		{"default allow\nallow relay: alice -> bob through hub\n", true},
		{"default allow\nallow relay: bob -> alice through hub\n", true},
		{"default allow\nallow relay: alice <-> bob through alice\n", false},
		{"default allow\ndeny relay: bob <-> all through hub\nallow relay: all <-> all through all\n", false},
		{"allow alice <-> hub\nallow bob <-> hub\nallow relay: all <-> all through all\n", false},
		{"allow 10.9.0.1 -> 10.9.0.2\nallow relay: 10.9.0.1 <-> all through 10.9.0.3\n", true},
	} {
		tr := &trust{self: self}
		if tr.rules, err = policy.Parse("policy", c.policy); err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]client.Shown{{alice, bob}, {bob, alice}} {
			if got := tr.mayRelay()(pair[0], pair[1]); got != c.want {
				t.Errorf("%q, %v and %v: %v, want %v", c.policy, pair[0].VPNAddr, pair[1].VPNAddr, got, c.want)
			}
		}
		if tr.mayRelay()(alice, client.Shown{VPNAddr: bob.VPNAddr, Chain: [][]byte{[]byte("no certificate")}}) {
			t.Errorf("%q: relays for a certificate that cannot be read", c.policy)
		}
	}
}

// TestRelayingShown: status says what is relayed for whom, and for whom not.
func TestRelayingShown(t *testing.T) {
	if d := relayingDocument(nil); d.Pairs != nil || d.Packets != 0 {
		t.Errorf("no relay: %+v", d)
	}
	a, b, c := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.3")
	d := &control.Status{Relaying: relayingDocument(&client.RelayStatus{
		RelayCount: client.RelayCount{Packets: 12, Bytes: 3 << 20, Drops: 2},
		Pairs: []client.RelayedPair{
			{A: a, B: b, Allowed: true, RelayCount: client.RelayCount{Packets: 1, Bytes: 2 << 20}},
			{A: a, B: c, RelayCount: client.RelayCount{Drops: 2}},
		},
	})}
	var text strings.Builder
	statusRelaying(&text, d, 0)
	const want = "relays for others (relay): 12 packets, 3.0 MiB, 2 dropped\n" +
		"  10.9.0.1 and 10.9.0.2: 1 packet, 2.0 MiB\n" +
		"  10.9.0.1 and 10.9.0.3: not allowed by the policy, 0 packets, 0 B, 2 dropped\n"
	if text.String() != want {
		t.Errorf("text:\n%s\nwant:\n%s", &text, want)
	}
	j, err := json.Marshal(d.Relaying)
	if err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{"packets":12,"bytes":3145728,"drops":2,"pairs":[` +
		`{"a":"10.9.0.1","b":"10.9.0.2","allowed":true,"packets":1,"bytes":2097152,"drops":0},` +
		`{"a":"10.9.0.1","b":"10.9.0.3","allowed":false,"packets":0,"bytes":0,"drops":2}]}`
	if string(j) != wantJSON {
		t.Errorf("JSON %s, want %s", j, wantJSON)
	}
	text.Reset()
	if statusRelaying(&text, &control.Status{}, 0); text.Len() > 0 {
		t.Errorf("a host that is no relay says %q", &text)
	}
}
