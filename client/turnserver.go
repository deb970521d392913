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

// A TURNServer is a relay (RFC 8656): one that the configuration names, or an RDV's.
type TURNServer struct {
	Name      string           // its host, which its certificate has to name
	Addrs     []netip.AddrPort // the ones to be preferred first; at least one
	Transport string           // TransportUDP or TransportTCP
	TLS       bool             // over TCP
	RDV       bool             // its certificate is one of the VPN, for an RDV

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
