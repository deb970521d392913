package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"

	"campagnol/internal/cli"
	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv"

	"github.com/spf13/pflag"
)

// streamOptions say on which ports of TCP clients come whose UDP does not get through.
type streamOptions struct {
	tls, tcp ports
}

func (o *streamOptions) flags(f *pflag.FlagSet) {
	f.Var(&o.tls, "tls-port", "serve clients with a certificate by TLS as well, on TCP port `PORT`, where\ntheir UDP does not get through; 443 is let out nearly everywhere;\nseveral times for several ports")
	f.Var(&o.tcp, "tcp-port", "serve clients with a certificate in plain TCP as well, on TCP port `PORT`;\nseveral times for several ports")
	cli.MarkNew(f, "tls-port", "tcp-port")
}

// ports are the values of an option that is given several times.
type ports []uint16

func (p *ports) String() string { return "" }

// Type returns what the values are called in help.
func (p *ports) Type() string { return "string" }

// Set adds a port.
func (p *ports) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return cli.WithHint(fmt.Errorf("%q is not a port number", text), "a port is a whole number from 1 to 65535, such as 443")
	}
	if !slices.Contains(*p, uint16(n)) {
		*p = append(*p, uint16(n))
	}
	return nil
}

// check returns what is wrong with the options, given how clients are authenticated, and
// how many ports of UDP there are.
func (o *streamOptions) check(mode rdv.Mode, udp int) error {
	n := len(o.tls) + len(o.tcp)
	switch {
	case n == 0:
		return nil
	case mode == rdv.Open:
		return cli.WithHint(errors.New("--tls-port and --tcp-port need --certificate, --key and --ca, or --authority: nobody registers without a certificate over TCP"), howTo)
	case udp+n > rdv.MaxSockets:
		return cli.WithHint(fmt.Errorf("--port, --tls-port and --tcp-port are given %d times", udp+n),
			"the server listens on %d ports at most; one port for TLS, 443, lets nearly everybody in", rdv.MaxSockets)
	}
	for _, p := range o.tls {
		if slices.Contains(o.tcp, p) {
			return cli.WithHint(fmt.Errorf("--tcp-port: %d is the port of --tls-port", p), "choose another one, or leave --tcp-port out: TLS does all that it does")
		}
	}
	return nil
}

// open opens the sockets, or none.
func (o *streamOptions) open(certificate func() *tls.Certificate, log *slog.Logger) (conns []punch.Conn, err error) {
	listen := func(option string, port uint16, cfg stream.ListenConfig) error {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(int(port)))
		if err != nil {
			closeAll(conns)
			return cli.WithHint(fmt.Errorf("%s: %w", option, err), "another program may have TCP port %d, a web server for instance: ss -ltnp shows it", port)
		}
		conns = append(conns, stream.Listen(l, cfg))
		return nil
	}
	for _, port := range o.tls {
		if err := listen("--tls-port", port, stream.ListenConfig{TLS: stream.ServerTLS(certificate), Log: log}); err != nil {
			return nil, err
		}
	}
	for _, port := range o.tcp {
		if err := listen("--tcp-port", port, stream.ListenConfig{Log: log}); err != nil {
			return nil, err
		}
	}
	return conns, nil
}

// certificateNow returns the certificate that the server has now, which is another one
// after its file has changed.
func (a *authOptions) certificateNow() *tls.Certificate { return a.trust.Load().Certificate() }
