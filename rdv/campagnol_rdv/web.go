package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"campagnol/internal/cli"
	"campagnol/internal/httpd"
	"campagnol/internal/logging"
	"campagnol/internal/service"
	"campagnol/pki/safefile"
	"campagnol/rdv/web"

	"github.com/spf13/pflag"
)

// webOptions say where the web page is.
type webOptions struct {
	addr     string
	password string // file; "": none

	at netip.AddrPort // by check
}

func (o *webOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.addr, "web", "", "show a page about the server and its clients at `ADDRESS:PORT`, such as\n127.0.0.1:8080; other addresses need --web-password-file")
	f.StringVar(&o.password, "web-password-file", "", "ask for the user and the password in `FILE`, which has the line USER:PASSWORD")
	cli.MarkNew(f, "web", "web-password-file")
}

// check says what is wrong with the options, given how clients are authenticated.
func (o *webOptions) check(auth *authOptions) error {
	if o.addr == "" {
		if o.password != "" {
			return cli.WithHint(errors.New("--web-password-file has no use without --web"), "say where the page is to be: --web 127.0.0.1:8080")
		}
		return nil
	}
	at, err := netip.ParseAddrPort(o.addr)
	if err != nil {
		return cli.WithHint(fmt.Errorf("--web %q is not an IP address with a port", o.addr), "for example --web 127.0.0.1:8080, or --web '[::1]:8080'")
	}
	o.at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	switch loopback := o.at.Addr().IsLoopback(); {
	case loopback:
	case o.password == "":
		return cli.WithHint(fmt.Errorf("--web %v can be reached from other hosts, and needs --web-password-file", at),
			"use a loopback address such as 127.0.0.1:8080, and reach it by \"ssh -L 8080:127.0.0.1:8080 HOST\", or write USER:PASSWORD into a file")
	case auth.certificate == "" && !auth.authority.asked():
		return cli.WithHint(fmt.Errorf("--web %v needs --certificate or --authority: the password would be readable on its way", at),
			"use a loopback address, and put a web server with TLS before it (a reverse proxy)")
	}
	return nil
}

// leastPassword is how many characters a password has at least.
const leastPassword = 12

// readPassword reads the file with user and password.
func (o *webOptions) readPassword() (user, password string, err error) {
	if o.password == "" {
		return "", "", nil
	}
	const maxFile = 4096
	if err := private(o.password); err != nil {
		return "", "", err
	}
	b, err := safefile.Read(o.password, maxFile)
	if err != nil {
		return "", "", fmt.Errorf("--web-password-file: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	user, password, found := strings.Cut(strings.TrimSuffix(line, "\r"), ":")
	switch {
	case !found || user == "":
		err = cli.WithHint(fmt.Errorf("--web-password-file: the first line of %s is not USER:PASSWORD", o.password), "write for example admin:$(openssl rand -base64 18)")
	case len(password) < leastPassword:
		err = cli.WithHint(fmt.Errorf("--web-password-file: the password in %s has less than %d characters", o.password, leastPassword), "make one: openssl rand -base64 18")
	}
	return user, password, err
}

// openWeb opens the page's port.
func (o *options) openWeb(obs *observer, s *service.Starting) (*looker, error) {
	w := &o.web
	if w.addr == "" {
		return nil, nil
	}
	user, password, err := w.readPassword()
	if err != nil {
		return nil, err
	}
	cfg := httpd.Config{Addr: w.at, Log: s.Log, Handler: web.New(web.Config{Source: obs, User: user, Password: password})}
	scheme := "http"
	if !w.at.Addr().IsLoopback() {
		scheme, cfg.TLS = "https", &tls.Config{
			MinVersion: tls.VersionTLS13,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return o.auth.certificateNow(), nil
			},
		}
	}
	server, err := httpd.Listen(cfg)
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("--web: %w", err), "another program may have the port: ss -ltnp shows it")
	}
	s.Log.Log(context.Background(), logging.LevelNotice, "The web page is at {url}", "url", fmt.Sprintf("%s://%v/", scheme, server.Addr()))
	return &looker{"web page", server.Serve, server.Close}, nil
}
