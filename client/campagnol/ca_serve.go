package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"campagnol/client"
	"campagnol/internal/audit"
	"campagnol/internal/cli"
	"campagnol/internal/logging"
	"campagnol/internal/service"
	"campagnol/internal/version"
	"campagnol/pki/ca"
	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv/channel"
)

const (
	caServeName = "campagnol_ca" // in messages, and in the system's log
	caServePID  = "/var/run/campagnol_ca.pid"
)

const caServeHelp = `Serve the authority of the VPN from this computer: answer hosts that join or
renew their certificate, and give all hosts the revocation lists and the
bulletin, by the rendezvous server. This computer only opens a connection to
that server; it needs no public address, and no port that others can reach, and
where UDP gets no answer it goes by TLS, if the server has --tls-port. What
other commands change in the directory of the CA counts within two seconds.

The rendezvous server needs a certificate of the CA (campagnol ca issue NAME
--rdv). The authority makes one for itself, which is kept in memory and lasts a
day.

If the CA may be on the same computer as the rendezvous server, campagnol_rdv
--authority does all this without another program.

The key of the CA is kept in memory while the program runs. The pass phrase of
one that is encrypted is asked for on the terminal, or in the background read
from --passphrase-file.`

// caServeFlags is the command line of "campagnol ca serve".
type caServeFlags struct {
	servers caServers // none: that of the settings
	tls     tlsOptions
	grace   time.Duration
	service service.Service
}

func (t *caTool) serveCommand() *cobra.Command {
	f := &caServeFlags{}
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Serve hosts that join or renew, by the rendezvous server",
		Long:    caServeHelp,
		Example: "  campagnol ca serve\n  campagnol ca serve -D --rdv rdv.example.org --passphrase-file /root/pass",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := &f.service
			s.Name, s.AuditName = caServeName, audit.OfAuthority
			// These two are options of the whole program.
			verbose, _ := cmd.Flags().GetBool("verbose")
			debug, _ := cmd.Flags().GetCount("debug")
			s.Level = logging.Level(verbose, debug)
			s.Start = func(_ context.Context, st *service.Starting) (*service.Running, error) { return t.startServing(f, st) }
			return s.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.Var(&f.servers, "rdv", "rendezvous server to serve by; may be given again, for several\n(default that of the settings)")
	f.tls.flags(flags)
	flags.Var((*caDuration)(&f.grace), "grace", "how long after its end a certificate can still be renewed, such as 30d")
	flags.BoolVarP(&f.service.Background, "daemon", "D", false, "go to the background and log to syslog")
	flags.StringVarP(&f.service.PIDFile, "pidfile", "p", caServePID, "in the background, write the process ID to `file`; empty: nowhere")
	f.service.Flags(flags)
	return cmd
}

// startServing opens the CA, and makes sure that it can be served.
func (t *caTool) startServing(f *caServeFlags, s *service.Starting) (*service.Running, error) {
	if err := s.Audit.Open(t.auditPlace(), s.Log); err != nil {
		return nil, err
	}
	svc, err := ca.OpenServiceFiles(t.dir, t.files, t.servingPassphrase(f.service.Background), s.Log)
	if err != nil {
		return nil, err
	}
	svc.RenewGrace = f.grace
	c, err := ca.Open(t.dir, t.files)
	if err != nil {
		return nil, err
	}
	settings, err := c.Settings()
	if err != nil {
		return nil, err
	}
	servers := f.servers
	if len(servers) == 0 && settings.Server != "" {
		servers = caServers{settings.Server}
	}
	if len(servers) == 0 {
		return nil, cli.WithHint(errors.New("ca: the rendezvous server is not known"),
			"name it with --rdv HOST, or for good: campagnol ca settings --rdv HOST%s", t.dirOption())
	}
	a := &caAuthority{service: svc, servers: servers, now: t.now, lookup: caLookup, streams: sealedStreams(f.tls.port, f.tls.proxy.url), log: s.Log}
	a.listen = func() (punch.Conn, error) {
		return udp.Listen(udp.Config{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), 0), Dual: true, Log: s.Log})
	}
	if _, err := svc.Registration(t.now()); err != nil {
		return nil, err
	}
	return &service.Running{Serve: a.serve}, nil
}

// servingPassphrase returns what asks for the pass phrase of the CA's key.
func (t *caTool) servingPassphrase(background bool) ca.Passphrase {
	return func(path string) ([]byte, error) {
		switch {
		case t.passphrase != "":
			return caReadPassphrase(t.passphrase)
		case background:
			return nil, cli.WithHint(fmt.Errorf("%s is encrypted, and in the background nobody can be asked for the pass phrase", path),
				"put the pass phrase into a file that only root can read, and name it with --passphrase-file")
		}
		return t.ask("Pass phrase of " + path + ": ")
	}
}

// caServers is the value of an option that names rendezvous servers, and may be given
// several times.
type caServers []string

// String returns each as HOST:PORT.
func (s *caServers) String() string { return strings.Join(*s, ",") }

// Set adds HOST or HOST:PORT.
func (s *caServers) Set(text string) error {
	server, err := ca.ParseServer(text)
	if err == nil && !slices.Contains(*s, server) {
		*s = append(*s, server)
	}
	return err
}

// Type names the value in the help.
func (*caServers) Type() string { return "HOST[:PORT]" }

// caLookup returns the address of HOST:PORT, by the rule of clients.
func caLookup(ctx context.Context, server string) (netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(server)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ca: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ca: the rendezvous server %q: %w", server, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(ips) == 0 {
		reason := "it has no address"
		var dns *net.DNSError
		if errors.As(err, &dns) {
			reason = dns.Err
		}
		return netip.AddrPort{}, cli.WithHint(fmt.Errorf("ca: the rendezvous server %q cannot be resolved: %s", host, reason),
			"check the network and the name servers of this host, or name the server by its address: --rdv ADDRESS:PORT")
	}
	return netip.AddrPortFrom(choose(ips, udp.Routed).Unmap(), uint16(port)), nil
}

// caObjects returns what all hosts should have.
func caObjects(o ca.Objects) []client.Object {
	var out []client.Object
	for _, l := range o.CRLs {
		out = append(out, client.Object{Kind: channel.CRL, Data: l})
	}
	if o.Bulletin != nil {
		out = append(out, client.Object{Kind: channel.Bulletin, Data: o.Bulletin})
	}
	return out
}

// caSoftware is what the rendezvous server is told of this program.
const caSoftware = program + " ca " + version.Version

// caHost returns the host of HOST:PORT.
func caHost(server string) string {
	host, _, _ := net.SplitHostPort(server) // it was checked
	return host
}
