package rdv

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"campagnol/internal/audit"
	"campagnol/internal/logging"
	"campagnol/punch/stream"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
)

// logEvent logs a change of the registry in the words of the original.
func (s *Server) logEvent(e Event) {
	ctx := context.Background()
	level := slog.LevelInfo
	switch e.Kind {
	case TableFull:
		level = slog.LevelDebug
	case Downgraded, ObjectLost:
		level = slog.LevelWarn
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
			"addr", shown(e.Endpoint), "vpn", addr(e.VPN), "max", s.cfg.MaxClients)
	case ChannelOpened:
		s.log.InfoContext(ctx, "Authenticated channel with {name} at {addr}", "name", e.Name, "addr", shown(e.Endpoint))
	case ChannelClosed:
		s.log.InfoContext(ctx, "Channel with {name} at {addr} is over: {reason}", "name", e.Name, "addr", shown(e.Endpoint), "reason", e.Why)
	case Downgraded:
		s.log.WarnContext(ctx, "{addr} asks without authentication for the VPN address {vpn}, which belongs to a client with a certificate; refused",
			"addr", shown(e.Endpoint), "vpn", addr(e.VPN))
	case Forbidden:
		s.log.InfoContext(ctx, "{asker} is not introduced to {asked}: {reason}", "asker", addr(e.VPN), "asked", addr(e.Peer), "reason", e.Why)
	case NotRelayed:
		s.log.InfoContext(ctx, "Nothing is relayed for {asker} to {asked}: {reason}", "asker", addr(e.VPN), "asked", addr(e.Peer), "reason", e.Why)
	case AuthorityHere:
		s.log.InfoContext(ctx, "{name} at {addr} is the VPN's authority", "name", e.Name, "addr", shown(e.Endpoint))
	case AuthorityGone:
		s.log.InfoContext(ctx, "The VPN's authority {name} at {addr} is gone", "name", e.Name, "addr", shown(e.Endpoint))
	case ObjectLost:
		s.log.WarnContext(ctx, "An object of {name} at {addr} is not fetched: {reason}", "name", e.Name, "addr", shown(e.Endpoint), "reason", e.Why)
	case Refused:
		s.log.InfoContext(ctx, "{name} at {addr} does not get the VPN address {vpn}: {reason}",
			"name", e.Name, "addr", shown(e.Endpoint), "vpn", addr(e.VPN), "reason", e.Why)
	}
}

func (s *Server) logClient(ctx context.Context, msg string, e Event) {
	s.log.InfoContext(ctx, msg, "ip", stream.Real(e.Endpoint).Addr(), "port", e.Endpoint.Port(), "vpn", addr(e.VPN))
}

// logReceived logs a message before it is handled: after it, a client that says
// BYE has no VPN address any more.
func (s *Server) logReceived(ctx context.Context, in In) {
	if vpn, ok := s.registry.VPN(in.From, in.Socket); ok {
		s.log.DebugContext(ctx, "<< {type} received from {addr} ({vpn})",
			"type", in.Msg.Type.String(), "addr", shown(in.From), "vpn", addr(vpn))
	} else {
		s.log.DebugContext(ctx, "<< {type} received from {addr}", "type", in.Msg.Type.String(), "addr", shown(in.From))
	}
	s.logBytes(ctx, in.Msg)
}

// logRequest logs a message that has come over a channel.
func (s *Server) logRequest(ctx context.Context, m *Member, msg *channel.Message, err error) {
	if err != nil {
		s.log.DebugContext(ctx, "<< message that cannot be read received from {addr} ({name})", "addr", shown(m.at), "name", m.id.Name, "err", err)
		return
	}
	s.log.DebugContext(ctx, "<< {type} received from {addr} ({name})", "type", msg.Type.String(), "addr", shown(m.at), "name", m.id.Name)
	s.logFields(ctx, msg)
}

// logFields logs the content of a message of a channel.
func (s *Server) logFields(ctx context.Context, msg *channel.Message) {
	if !s.log.Enabled(ctx, logging.LevelPacket) {
		return
	}
	s.log.Log(ctx, logging.LevelPacket, "   {fields}", "fields", fmt.Sprintf("%+v", *msg))
}

// How often failed handshakes of one network are logged: anybody can fail.
const (
	failureInterval = time.Minute
	failureBurst    = 5 * time.Minute
)

// logFailure logs why a client did not get a channel.
func (s *Server) logFailure(ctx context.Context, now time.Time, at netip.AddrPort, err error) {
	e := Event{Kind: HandshakeFailed, Endpoint: at, Code: codeOf(err), Why: err.Error()}
	s.notify(now, e.blaming(err))
	n := networkOf(at.Addr())
	if !s.failures.allowNetwork(now.Sub(s.begin), uint32(n^n>>32)) {
		return
	}
	level := slog.LevelInfo
	if errors.Is(err, handshake.ErrTakeOver) {
		level = slog.LevelError
	}
	s.history.Add(now, e)
	s.log.Log(ctx, level, "DTLS handshake with {addr} failed: {reason}", "addr", shown(at), "reason", err)
}

// logRefused logs why an object was not taken, and counts it.
func (s *Server) logRefused(ctx context.Context, from string, err error) {
	s.stats.objectsRefused.Add(1)
	level := slog.LevelWarn
	var stale *staleError
	if errors.As(err, &stale) { // it is known already
		level = slog.LevelInfo
	}
	s.log.Log(audit.Mark(ctx, audit.Record{Event: audit.ObjectRefused, Outcome: audit.Refused}), level, "An object of {name} is not taken: {reason}", "name", from, "reason", err)
}

func (s *Server) logSent(ctx context.Context, o Out) {
	if o.Member != nil {
		s.log.DebugContext(ctx, ">> {type} sent to client {addr} ({name})", "type", o.Answer.Type.String(), "addr", shown(o.To), "name", o.Member.id.Name)
		s.logFields(ctx, o.Answer)
		return
	}
	if o.Gate != nil {
		s.log.DebugContext(ctx, ">> {type} sent to {addr}", "type", o.Gate.Type.String(), "addr", shown(o.To))
		return
	}
	s.log.DebugContext(ctx, ">> {type} sent to client {addr}", "type", o.Msg.Type.String(), "addr", shown(o.To))
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
