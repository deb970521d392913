package rdv

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net/netip"

	"campagnol/internal/logging"
	"campagnol/rdv/wire"
)

// logEvent logs a change of the registry in the words of the original.
func (s *Server) logEvent(e Event) {
	ctx := context.Background()
	level := slog.LevelInfo
	if e.Kind == TableFull {
		level = slog.LevelDebug
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	switch e.Kind {
	case ClientAdded:
		s.logClient(ctx, "Adding new client [{ip}/{port}] {vpn}", e)
	case ClientRemoved:
		s.logClient(ctx, "Deleting the client [{ip}/{port}] {vpn}", e)
	case SessionAdded:
		s.log.InfoContext(ctx, "New connection from {asker} to {asked}", "asker", addr(e.VPN), "asked", addr(e.Peer))
	case SessionRemoved:
		s.log.InfoContext(ctx, "Remove connection from {asker} to {asked}", "asker", addr(e.VPN), "asked", addr(e.Peer))
	case TableFull:
		s.log.DebugContext(ctx, "Cannot register a new client: maximum number of clients reached",
			"addr", e.Endpoint, "vpn", addr(e.VPN), "max", s.cfg.MaxClients)
	}
}

func (s *Server) logClient(ctx context.Context, msg string, e Event) {
	s.log.InfoContext(ctx, msg, "ip", e.Endpoint.Addr(), "port", e.Endpoint.Port(), "vpn", addr(e.VPN))
}

// logReceived logs a message before it is handled: after it, a client that says
// BYE has no VPN address any more.
func (s *Server) logReceived(ctx context.Context, in In) {
	if vpn, ok := s.registry.VPN(in.From); ok {
		s.log.DebugContext(ctx, "<< {type} received from {addr} ({vpn})",
			"type", in.Msg.Type.String(), "addr", in.From, "vpn", addr(vpn))
	} else {
		s.log.DebugContext(ctx, "<< {type} received from {addr}", "type", in.Msg.Type.String(), "addr", in.From)
	}
	s.logBytes(ctx, in.Msg)
}

func (s *Server) logSent(ctx context.Context, o Out) {
	s.log.DebugContext(ctx, ">> {type} sent to client {addr}", "type", o.Msg.Type.String(), "addr", o.To)
	s.logBytes(ctx, o.Msg)
}

// logBytes logs the content of a message.
func (s *Server) logBytes(ctx context.Context, m wire.Message) {
	if !s.log.Enabled(ctx, logging.LevelPacket) {
		return
	}
	s.log.Log(ctx, logging.LevelPacket, "   {bytes}", "bytes", hex.EncodeToString(m.Append(nil)),
		"type", uint8(m.Type), "port", m.Port, "ip1", addr(m.IP1), "ip2", addr(m.IP2))
}

// addr returns a with 0.0.0.0 for the zero Addr.
func addr(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv4Unspecified()
	}
	return a
}
