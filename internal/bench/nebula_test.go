package main

import (
	"net/netip"
	"strings"
	"testing"
)

// nebulaText returns a configuration for tests.
func nebulaText(p nebulaProfile) string {
	return nebulaConfig(p, "/run/x/a", netip.MustParseAddr("10.9.0.2"), netip.MustParseAddrPort("198.51.100.2:4242"))
}

func TestNebulaConfig(t *testing.T) {
	t.Parallel()
	const want = `pki:
  ca: "/run/x/ca.crt"
  cert: "/run/x/a.crt"
  key: "/run/x/a.key"
static_host_map:
  "10.9.0.2": ["198.51.100.2:4242"]
listen:
  host: 0.0.0.0
  port: 4242
  read_buffer: 10485760
  write_buffer: 10485760
  udp_offloads: false
cipher: aes
routines: 1
tun:
  dev: nebula1
  mtu: 1300
  tx_queue: 500
  use_offloads: false
logging:
  level: info
  format: json
local_api:
  control:
    enabled: false
firewall:
  outbound:
    - {port: any, proto: any, host: any}
  inbound:
    - {port: any, proto: any, host: any}
`
	if got := nebulaText(nebulaUsual); got != want {
		t.Errorf("the configuration is\n%s, want\n%s", got, want)
	}
}

// TestNebulaProfiles checks that the two profiles differ in what they say, and in
// nothing else.
func TestNebulaProfiles(t *testing.T) {
	t.Parallel()
	usual, tuned := strings.Split(nebulaText(nebulaUsual), "\n"), strings.Split(nebulaText(nebulaTuned), "\n")
	if len(usual) != len(tuned) {
		t.Fatalf("configurations of %d and %d lines", len(usual), len(tuned))
	}
	var changed []string
	for i := range usual {
		if usual[i] != tuned[i] {
			changed = append(changed, strings.TrimSpace(tuned[i]))
		}
	}
	if got, want := strings.Join(changed, ", "), "udp_offloads: true, routines: 2, mtu: 1440, tx_queue: 5000, use_offloads: true"; got != want {
		t.Errorf("the tuned profile has %s, want %s", got, want)
	}
	for p, want := range map[*nebulaProfile][]string{
		&nebulaUsual: {"MTU 1300", "1 routine,", "tx_queue 500"},
		&nebulaTuned: {"MTU 1440", "2 routines", "tx_queue 5000", "offloads"},
	} {
		for _, w := range want {
			if !strings.Contains(p.settings, w) {
				t.Errorf("people are told %q of %s, which has no %q", p.settings, p.tool, w)
			}
		}
	}
}
