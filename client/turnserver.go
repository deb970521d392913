package client

import (
	"log/slog"
	"net/netip"
)

// The transports of a TURNServer.
const (
	TransportUDP = "udp"
	TransportTCP = "tcp"
)

// A TURNServer is a relay that the configuration names (RFC 8656).
type TURNServer struct {
	Name      string           // its host, which its certificate has to name
	Addrs     []netip.AddrPort // the ones to be preferred first; at least one
	Transport string           // TransportUDP or TransportTCP
	TLS       bool             // over TCP

	User, Password string
}

// String returns the server for people, without the password.
func (s TURNServer) String() string {
	scheme, at := "turn:", s.Name
	if s.TLS {
		scheme = "turns:"
	}
	if len(s.Addrs) > 0 {
		at = s.Addrs[0].String()
	}
	return scheme + at + "?transport=" + s.Transport + " " + s.User
}

// GoString is String, so that no way to print the server shows its password.
func (s TURNServer) GoString() string { return s.String() }

// LogValue is String, for the same reason: handlers of JSON go by fields.
func (s TURNServer) LogValue() slog.Value { return slog.StringValue(s.String()) }
