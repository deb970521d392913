package stream

import (
	"crypto/tls"
	"slices"
)

// protocols are those that a server knows by ALPN: ours, and those of RFC 7443, which
// clients of TURN may offer.
var protocols = []string{Protocol, "stun.turn", "stun.nat-discovery"}

// ServerTLS returns the configuration of a server that shows the certificate that is
// returned at the time. A client that offers none of the protocols by ALPN is let in: who
// it is shows later.
func ServerTLS(certificate func() *tls.Certificate) *tls.Config {
	cfg := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             protocols,
		SessionTicketsDisabled: true, // a connection lasts; tickets are sent for nothing
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return certificate(), nil
		},
	}
	without := cfg.Clone()
	without.NextProtos = nil
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		known := func(p string) bool { return slices.Contains(protocols, p) }
		if slices.ContainsFunc(hello.SupportedProtos, known) {
			return nil, nil
		}
		return without, nil
	}
	return cfg
}
