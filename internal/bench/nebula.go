package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// A nebulaProfile is how Nebula is set up.
type nebulaProfile struct {
	tool     string
	title    string
	settings string // for people
	mtu      int
	routines int
	txQueue  int
	offloads bool // those of Nebula 1.12, which earlier versions do not know
}

var (
	nebulaUsual = nebulaProfile{
		tool: toolNebula, title: "Nebula",
		settings: "AES-256-GCM, 10 MB socket buffers, else the defaults of 1.11: MTU 1300, 1 routine, tx_queue 500",
		mtu:      1300, routines: 1, txQueue: 500,
	}
	// nebulaTuned is what served Nebula best of what was tried: the largest MTU
	// that fits (its overhead is 60 bytes over IPv4), and long queues.
	nebulaTuned = nebulaProfile{
		tool: toolNebulaTuned, title: "Nebula, tuned",
		settings: "AES-256-GCM, 10 MB socket buffers, MTU 1440, 2 routines, tx_queue 5000, from version 1.12 on with offloads",
		mtu:      1440, routines: 2, txQueue: 5000, offloads: true,
	}
)

const nebulaPort = 4242

// nebulaConfig returns the configuration file of a host, whose files begin with
// prefix. The other host is known by its address: nothing has to be looked up.
func nebulaConfig(p nebulaProfile, prefix string, otherInside netip.Addr, other netip.AddrPort) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("pki:")
	line("  ca: %q", nebulaCA(prefix)+".crt")
	line("  cert: %q", prefix+".crt")
	line("  key: %q", prefix+".key")
	line("static_host_map:")
	line("  %q: [%q]", otherInside, other)
	line("listen:")
	line("  host: 0.0.0.0")
	line("  port: %d", nebulaPort)
	line("  read_buffer: 10485760")
	line("  write_buffer: 10485760")
	line("  udp_offloads: %v", p.offloads)
	line("cipher: aes")
	line("routines: %d", p.routines)
	line("tun:")
	line("  dev: nebula1")
	line("  mtu: %d", p.mtu)
	line("  tx_queue: %d", p.txQueue)
	line("  use_offloads: %v", p.offloads)
	line("logging:")
	line("  level: info")
	line("  format: json")
	// Its socket would be at the same place for both hosts.
	line("local_api:")
	line("  control:")
	line("    enabled: false")
	line("firewall:")
	for _, direction := range []string{"outbound", "inbound"} {
		line("  %s:", direction)
		line("    - {port: any, proto: any, host: any}")
	}
	return b.String()
}

// nebulaCA returns what the names of the authority's files begin with, beside
// those of a host.
func nebulaCA(prefix string) string { return prefix[:strings.LastIndexByte(prefix, '/')+1] + "ca" }
