package conf

import (
	"fmt"
	"net/netip"
	"strings"
)

// Describe returns what the original prints with --verbose before it starts:
// the block from "Configuration:" to the empty line behind it. local is the
// local address in use.
//
// Scripts read the block, so it is the same byte for byte, with the spelling of
// "VPN IP addres". The original prints the address that it resolved server_host
// and override_local_addr to; a caller who has done that sets the addresses in
// a copy of c.
func (c *Client) Describe(local netip.Addr) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	optional := func(label, text string) {
		if text != "" {
			line("%s: %s", label, text)
		}
	}
	b.WriteString("Configuration:\n")
	line("Local IP address: %s", local)
	optional("Using interface", c.Interface)
	if c.OverrideLocalHost != "" {
		line("Send this local address to the RDV server: %s %d", c.OverrideLocalHost, c.OverrideLocalAddr.Port())
	} else if c.OverrideLocalAddr.IsValid() {
		line("Send this local address to the RDV server: %s %d", c.OverrideLocalAddr.Addr(), c.OverrideLocalAddr.Port())
	}
	if c.LocalPort != 0 {
		line("Using local port: %d", c.LocalPort)
	}
	line("RDV server IP address: %s", c.ServerHost)
	line("RDV server port: %d", c.ServerPort)
	line("VPN IP addres: %s", c.VPNIP)
	line("VPN broadcast IP: %s", c.Broadcast())
	line("VPN subnetwork: %s", c.NetworkText)
	line("DTLS certificate file: %s", c.Certificate)
	line("DTLS private key file: %s", c.Key)
	optional("DTLS root certificates chain file", c.CACertificates)
	optional("DTLS root certificates directory", c.CACertificatesDir)
	optional("DTLS cipher list", c.CipherList)
	optional("Using a certificate revocation list", c.CRLFile)
	line("FIFO size: %d", c.FIFOSize)
	if c.ClientMaxRate > 0 {
		line("Outgoing traffic: %.3f kb/s", c.ClientMaxRate/1000)
	}
	if c.ConnectionMaxRate > 0 {
		line("Outgoing traffic per connection: %.3f kb/s", c.ConnectionMaxRate/1000)
	}
	line("Timeout: %d sec.", int64(c.Timeout.Seconds()))
	line("Keepalive: %d sec.", int64(c.KeepAlive.Seconds()))
	line("Maximum number of connections: %d", c.MaxClients)
	b.WriteString("\n")
	return b.String()
}
