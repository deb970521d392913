package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"campagnol/conf"
	"campagnol/internal/human"
	"campagnol/punch/stream"
)

// streamTime bounds the opening of a stream that shows whether there is a way for one.
const streamTime = 3 * time.Second

// probeStream finds out whether a rendezvous server that does not answer by UDP can be
// reached over TLS: it asks there as it does by UDP. Who it is stays open, as it does
// there, and no certificate is shown.
func (r *rdvReport) probeStream(ctx context.Context, cfg *conf.Client, name string) error {
	port := cfg.FallbackPort
	if r.Reachable || port == 0 {
		return nil
	}
	opening, stop := context.WithTimeout(ctx, streamTime)
	defer stop()
	conn, err := openStream(opening, stream.Config{
		Addr: netip.AddrPortFrom(r.Addr.Addr(), port), Name: streamName(name), Proxy: cfg.HTTPProxy,
		TLS: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true},
		Log: slog.New(slog.DiscardHandler),
	}, r.Addr)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.TLS = &streamReport{Port: port}
	if err != nil {
		r.TLS.Reason = err.Error()
		return nil
	}
	answered, err := probeBy(ctx, conn, r.Addr)
	if err != nil {
		return err
	}
	if r.TLS.Reachable, r.TLS.RTT = answered.Reachable, answered.RTT; !r.TLS.Reachable {
		r.TLS.Reason = "what takes the connection is no rendezvous server"
	}
	return nil
}

// A streamReport is about TLS to a rendezvous server.
type streamReport struct {
	Port      uint16  `json:"port"`
	Reachable bool    `json:"reachable"`
	RTT       float64 `json:"rtt_ms,omitempty"`
	Reason    string  `json:"reason,omitempty"` // why it is not
}

// byTLS reports whether the server can be reached over TLS, and by UDP not.
func (r *rdvReport) byTLS() bool { return r != nil && !r.Reachable && r.TLS != nil && r.TLS.Reachable }

// describe says in a line how the server is reached over TLS.
func (s *streamReport) describe() string {
	if !s.Reachable {
		return fmt.Sprintf("port %d does not help: %s", s.Port, human.Printable(s.Reason))
	}
	return fmt.Sprintf("answers at port %d in %.1f ms", s.Port, s.RTT)
}
