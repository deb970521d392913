package main

import (
	"errors"
	"net/url"

	"github.com/spf13/pflag"

	"campagnol/conf"
)

// defaultFallbackPort is the default of fallback_port in configurations.
const defaultFallbackPort = 443

// tlsOptions say how a program reaches a rendezvous server where UDP gets no answer.
type tlsOptions struct {
	port  uint16 // where the server takes TLS; 0: nowhere
	proxy proxyOption
}

// flags adds the options to a command.
func (o *tlsOptions) flags(f *pflag.FlagSet) {
	f.Uint16Var(&o.port, "fallback-port", defaultFallbackPort, "where UDP gets no answer, use TLS to this TCP `port` of the rendezvous\nserver; 0: never")
	f.Var(&o.proxy, "http-proxy", "go through this HTTP proxy for that, http://[USER:PASSWORD@]HOST:PORT")
}

// A proxyOption is the value of an option that names an HTTP proxy.
type proxyOption struct{ url *url.URL }

// String returns the proxy without its password.
func (p *proxyOption) String() string {
	if p.url == nil {
		return ""
	}
	return p.url.Redacted()
}

// Set takes a URL.
func (p *proxyOption) Set(text string) error {
	u, ok := conf.ParseProxy(text)
	if !ok {
		return errors.New("it is not the URL of an HTTP proxy, http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")
	}
	p.url = u
	return nil
}

// Type names the value in the help.
func (*proxyOption) Type() string { return "url" }
