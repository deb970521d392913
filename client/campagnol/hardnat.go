package main

import (
	"fmt"
	"net/netip"
	"strings"

	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/udp"
)

// hardBudget returns what looking for a way through a hard NAT may cost.
func hardBudget(cfg *conf.Client) hard.Budget {
	if !cfg.HardNAT {
		return hard.Budget{}
	}
	return hard.Budget{Sockets: cfg.HardNATSockets, Probes: cfg.HardNATProbes}
}

// An extra socket is one of hundreds, until one of them becomes a tunnel's.
const (
	extraBuffer = 512 << 10 // bytes; 4 ms at 1 Gbit/s
	extraBatch  = 2         // of what the kernel has joined, 64 KiB each
)

// openSocket opens another socket at a port of its own, in all else like that of p.
func (p *parts) openSocket() (punch.Conn, error) {
	return openSocket(p.cfg, netip.AddrPortFrom(p.where.bind.Addr(), 0))
}

// openSocket opens an extra socket.
func openSocket(cfg *conf.Client, bind netip.AddrPort) (punch.Conn, error) {
	conn, err := udp.Listen(udp.Config{Addr: bind, Dual: true, Device: cfg.Interface, RcvBuf: extraBuffer, SndBuf: extraBuffer, Batch: extraBatch})
	if err != nil {
		return nil, err // not a nil *udp.Conn in an interface
	}
	return conn, nil
}

// statusHardNAT says what ways through hard NATs have cost, if any was looked for.
func statusHardNAT(b *strings.Builder, s *control.Status, width int) {
	if h := s.HardNAT; h.Attempts > 0 {
		wrap(b, fmt.Sprintf("ways through symmetric NATs (hard_nat): looked for %s, found %d; %s opened, %s sent",
			plural(int(h.Attempts), "time"), h.Successes, plural(int(h.Sockets), "socket"), plural(int(h.Probes), "packet")), "", "  ", width)
	}
}

// statusNAT says what is between this host and the Internet.
func statusNAT(b *strings.Builder, s *control.Status, width int) {
	if s.NAT.Description != "" {
		wrap(b, "this host "+natLine(s.NAT), "", "  ", width)
	}
}
