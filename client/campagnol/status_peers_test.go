package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestStatusTextNarrow: on a terminal that is too narrow for the table nothing is wider
// than it, and nothing is missing.
func TestStatusTextNarrow(t *testing.T) {
	s := sampleStatus()
	s.Peers[0].Name, s.Peers[0].PathKind, s.Peers[0].PathRTTSeconds = "bob", "wan", 0.0123
	s.Peers[0].Path = netip.MustParseAddrPort("[2001:db8:1234:5678:9abc:def0:1234:5678]:57888")
	_, got, _ := strings.Cut(statusText(s, nil, 80), "\n\n")
	got, _, _ = strings.Cut(got, "\n\n")
	const want = `PEER       STATE        OPEN FOR  IN       OUT
10.9.0.2   ESTABLISHED  3m12s     1.5 MiB  96 B
    "bob", keys for 12s, last in 4s, last out 1m15s, path
    [2001:db8:1234:5678:9abc:def0:1234:5678]:57888 (wan, 12.3 ms), we are
    client, protocol campagnol/1, cipher ECDHE-ECDSA-AES128-GCM-SHA256
10.9.0.17  NEW          -         0 B      0 B
    waiting 2`
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	earlier := sampleStatus()
	earlier.Time = earlier.Time.Add(-time.Second)
	earlier.Peers[0].BytesIn -= 2048
	text := statusText(s, earlier, 80)
	if !strings.Contains(text, "IN/S") || !strings.Contains(text, "2.0 KiB/s") {
		t.Errorf("rates are missing in\n%s", text)
	}
	if _, table, _ := strings.Cut(text, "\n\n"); widest(table) > 80 {
		t.Errorf("%d characters wide:\n%s", widest(table), table)
	}
	if wide := statusText(s, nil, 250); !strings.Contains(wide, "PATH") || strings.Contains(wide, "keys for") {
		t.Errorf("where there is room, the table is not whole:\n%s", wide)
	}
}
