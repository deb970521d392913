package portmap

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// announcePort is where gateways tell all hosts that they have restarted (RFC 6887
// section 14.1, RFC 6886 section 3.2.1).
const announcePort = 5350

// The groups of all hosts.
var (
	allHosts4 = netip.MustParseAddr("224.0.0.1")
	allHosts6 = netip.MustParseAddr("ff02::1")
)

// listenAnnouncements calls heard when the gateway announces something, until ctx is
// done. What it says does not count: we ask. Where others keep the port for themselves
// we do without.
func listenAnnouncements(ctx context.Context, w Way, log *slog.Logger, heard func()) {
	ifc, err := net.InterfaceByName(w.Interface)
	if err != nil {
		log.Debug("Announcements of the gateway are not heard", "err", err)
		return
	}
	network, group := "udp4", allHosts4
	if w.Gateway.Is6() {
		network, group = "udp6", allHosts6
	}
	conn, err := net.ListenMulticastUDP(network, ifc, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group, announcePort)))
	if err != nil {
		log.Debug("Announcements of the gateway are not heard", "err", err)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, pcpMax+1)
	for ctx.Err() == nil {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if from.Addr().Unmap().WithZone("") == w.Gateway.WithZone("") && isAnnouncement(buf[:n]) {
			heard()
		}
	}
}

// isAnnouncement reports whether a datagram is an answer that nobody has asked for: of
// PCP to ANNOUNCE, or of NAT-PMP to a question for the outer address.
func isAnnouncement(b []byte) bool {
	const pmpVersion, pmpAddress, pmpSize = 0, 0x80, 12
	if len(b) == pmpSize && b[0] == pmpVersion && b[1] == pmpAddress {
		return true
	}
	a, err := parsePCP(b)
	return err == nil && a.op == opAnnounce
}
