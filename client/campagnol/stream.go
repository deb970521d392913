package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/punch"
	"campagnol/punch/stream"
)

// dialStream opens a stream: a Conn whose only other end is at the address of cfg. Tests
// replace it.
var dialStream = func(ctx context.Context, cfg stream.Config) (punch.Conn, error) {
	conn, err := stream.Dial(ctx, cfg)
	if err != nil {
		return nil, err // not a nil *stream.Conn in an interface
	}
	return conn, nil
}

// errNoCertificate is why there is no stream to a server that shows nothing.
var errNoCertificate = errors.New("the server shows no certificate")

// withStreams returns servers with the port at which they take streams.
func withStreams(cfg *conf.Client, list []client.Server) []client.Server {
	var with []client.Server
	for _, s := range list {
		s.TLSPort = cfg.FallbackPort
		with = append(with, s)
	}
	return with
}

// streamOpener returns how the client opens streams to RDVs.
func (n *node) streamOpener() func(context.Context, client.Server, netip.AddrPort) (punch.Conn, error) {
	return func(ctx context.Context, s client.Server, at netip.AddrPort) (punch.Conn, error) {
		v := n.view.Load() // who is trusted may have changed since the last
		cfg := stream.Config{Addr: netip.AddrPortFrom(at.Addr(), s.TLSPort), Name: streamName(s.Name), TLS: v.trust.streamTLS(), Proxy: v.cfg.HTTPProxy, Log: n.log}
		return openStream(ctx, cfg, at)
	}
}

// openStream opens a stream to an RDV, whose datagrams are those of a UDP endpoint.
func openStream(ctx context.Context, cfg stream.Config, at netip.AddrPort) (punch.Conn, error) {
	conn, err := dialStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &streamConn{Conn: conn, other: cfg.Addr, as: at}, nil
}

// streamName returns the name in the name of a server, if that is not an address.
func streamName(server string) string {
	host, _, err := net.SplitHostPort(server)
	if _, isIP := netip.ParseAddr(host); err != nil || isIP == nil {
		return ""
	}
	return host
}

// streamTLS returns how both ends of a stream show who they are: as in the channel that
// goes over it. So whoever else answers at the port learns nothing of the VPN.
func (t *trust) streamTLS() *tls.Config {
	own := t.identity.TLS()
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
		// Not by the system's authorities, and not by its name, but by ours.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errNoCertificate
			}
			_, err := t.verifyServer(time.Now(), rawChain(s.PeerCertificates))
			return err
		},
	}
}

// rawChain returns certificates in DER.
func rawChain(list []*x509.Certificate) (chain [][]byte) {
	for _, c := range list {
		chain = append(chain, c.Raw)
	}
	return chain
}

// A streamConn is a stream whose other end is known by another address.
type streamConn struct {
	punch.Conn
	other netip.AddrPort // as the Conn has it
	as    netip.AddrPort
}

// Receive waits for datagrams, see [punch.Conn].
func (c *streamConn) Receive() ([]punch.Datagram, error) {
	ds, err := c.Conn.Receive()
	for i := range ds {
		if ds[i].Addr == c.other {
			ds[i].Addr = c.as
		}
	}
	return ds, err
}

// Send sends datagrams, see [punch.Conn].
func (c *streamConn) Send(ds []punch.Datagram) error {
	out := make([]punch.Datagram, len(ds))
	for i, d := range ds {
		if out[i] = d; d.Addr == c.as {
			out[i].Addr = c.other
		}
	}
	return c.Conn.Send(out)
}
