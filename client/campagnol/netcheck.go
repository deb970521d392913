package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/internal/version"
	"campagnol/punch"
	"campagnol/punch/natcheck"

	"github.com/spf13/cobra"
)

const netcheckHelp = `Find out how this host can be reached: whether UDP gets out, whether the
rendezvous server answers, what the NAT does with packets, and what that means for
direct paths to peers.

The rendezvous server and the STUN servers of the file CONFIGURATION, without it
/etc/campagnol.conf, are asked, and those that are given. Nothing is changed, and no
client need run. If one does, it has the local port, and another socket is examined.

With --lifetime, measure also how long the NAT keeps a mapping that is not used,
which takes up to five minutes.

The exit status is 0 if UDP gets out, and the rendezvous server answers; else 1.`

const netcheckExample = `  campagnol netcheck
  campagnol netcheck /etc/campagnol.conf --json
  campagnol netcheck --server stun.example.org --server 192.0.2.1:3478 --lifetime`

// netcheckOptions are what the command is asked for.
type netcheckOptions struct {
	file     string // "": none was given
	servers  []string
	json     bool
	lifetime bool
}

// newNetcheckCommand returns the command "campagnol netcheck".
func newNetcheckCommand() *cobra.Command {
	var o netcheckOptions
	cmd := &cobra.Command{
		Use:           "netcheck [CONFIGURATION]",
		Short:         "Find out what the NAT does, and whether peers can be reached",
		Long:          netcheckHelp,
		Example:       netcheckExample,
		Args:          cli.MaxArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = cmp.Or(append(args, "")...)
			r, err := netcheck(cmd.Context(), &o)
			if err != nil {
				return err
			}
			if o.json {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(r)
			} else {
				_, err = r.WriteTo(cmd.OutOrStdout())
			}
			if err == nil && !r.OK {
				err = &cli.ExitError{Code: 1}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "write JSON, for programs")
	f.StringArrayVar(&o.servers, "server", nil, "ask the STUN server `HOST[:PORT]`, too")
	f.BoolVar(&o.lifetime, "lifetime", false, "measure how long the NAT keeps an idle mapping: up to five minutes")
	return cmd
}

// lookupTime is how long names may take to resolve, and probeTime how long the
// rendezvous server has to answer.
const (
	lookupTime = 5 * time.Second
	probeTime  = 2 * time.Second
)

// A netcheckReport is all that was found out.
type netcheckReport struct {
	OK       bool            `json:"ok"`
	RDV      string          `json:"rdv,omitempty"` // as the configuration names them
	Notes    []string        `json:"notes,omitempty"`
	Families []*familyReport `json:"families"`
	Summary  string          `json:"summary"`
}

// A familyReport is about IPv4 or IPv6.
type familyReport struct {
	Family    string          `json:"family"`
	Addresses []netip.Addr    `json:"addresses"`
	UDP       string          `json:"udp"` // works, blocked, unknown or none
	Port      uint16          `json:"port,omitempty"`
	RDV       *rdvReport      `json:"rdv,omitempty"` // the first that can be reached
	Servers   []serverReport  `json:"servers,omitempty"`
	Public    []string        `json:"public,omitempty"`
	NAT       *natReport      `json:"nat,omitempty"`
	Lifetime  *lifetimeReport `json:"lifetime,omitempty"`
	Mapping   *mappingReport  `json:"port_mapping,omitempty"` // of IPv4 only

	result natcheck.Result
}

// An rdvReport is about the rendezvous server.
type rdvReport struct {
	Addr      netip.AddrPort `json:"addr"`
	Reachable bool           `json:"reachable"`
	RTT       float64        `json:"rtt_ms,omitempty"`
	Channel   string         `json:"authenticated_channel"` // yes, no or unknown
	TLS       *streamReport  `json:"tls,omitempty"`         // where UDP gets no answer
}

// A serverReport is about a STUN server.
type serverReport struct {
	Addr     netip.AddrPort `json:"addr"`
	Answered bool           `json:"answered"`
	RTT      float64        `json:"rtt_ms,omitempty"`
	Public   string         `json:"public,omitempty"`
	Software string         `json:"software,omitempty"`
}

// A natReport is about what is between the host and the Internet.
type natReport struct {
	Translated     bool   `json:"translated"`
	Mapping        string `json:"mapping"`
	MappingExact   bool   `json:"mapping_exact"`
	Filtering      string `json:"filtering"`
	FilteringExact bool   `json:"filtering_exact"`
	Ports          string `json:"ports,omitempty"`
	Step           int    `json:"step,omitempty"`
	Hairpin        *bool  `json:"hairpin,omitempty"`
	Hard           bool   `json:"hard"`
}

// A lifetimeReport is about idle mappings; in seconds.
type lifetimeReport struct {
	Known   bool    `json:"known"`
	AtLeast float64 `json:"at_least_s"`
	AtMost  float64 `json:"at_most_s,omitempty"` // none was found to be gone: no bound
}

// netcheck finds out all of it.
func netcheck(ctx context.Context, o *netcheckOptions) (*netcheckReport, error) {
	cfg, err := netcheckConfig(o)
	if err != nil {
		return nil, err
	}
	var given []conf.Server
	for _, text := range o.servers {
		s, ok := conf.ParseServer(text, conf.STUNPort)
		if !ok {
			return nil, cli.WithHint(fmt.Errorf("netcheck: --server: %q is neither a host nor a host with a port", text),
				"write an address or a name, and a port if it is not %d, such as stun.example.org:3479", conf.STUNPort)
		}
		given = append(given, s)
	}
	if cfg == nil && len(given) == 0 {
		return nil, cli.WithHint(errors.New("netcheck: there is no "+defaultConf+", and no server to ask"),
			"name a configuration, or a STUN server: campagnol netcheck --server HOST")
	}
	r := &netcheckReport{}
	if cfg != nil {
		for i, s := range cfg.Servers() {
			if i > 0 {
				r.RDV += ", "
			}
			r.RDV += s.String()
		}
		given = append(given, cfg.STUNServers...)
	} else {
		cfg = &conf.Client{}
	}
	mapping := probeMapping(ctx, cfg)
	for _, v6 := range []bool{false, true} {
		f, err := checkFamily(ctx, r, cfg, given, v6, o.lifetime)
		if err != nil {
			mapping()
			return nil, err
		}
		r.Families = append(r.Families, f)
	}
	if m, f := mapping(), r.Families[0]; len(f.Addresses) > 0 {
		f.Mapping = m
	}
	r.judge()
	return r, nil
}

// netcheckConfig returns the configuration; nil if none was given and there is none at
// the usual place.
func netcheckConfig(o *netcheckOptions) (*conf.Client, error) {
	cfg, _, err := conf.LoadClient(cmp.Or(o.file, defaultConf))
	if err != nil && o.file == "" && errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return cfg, err
}

// checkFamily finds out what there is to know about a family of addresses.
func checkFamily(ctx context.Context, r *netcheckReport, cfg *conf.Client, given []conf.Server, v6, lifetime bool) (*familyReport, error) {
	f := &familyReport{Family: "IPv4", UDP: "none"}
	if v6 {
		f.Family = "IPv6"
	}
	own := hostAddrs(cfg.VPNIP, cfg.VPNIP6)
	for _, a := range own {
		if a.Is6() == v6 && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			f.Addresses = append(f.Addresses, a)
		}
	}
	if len(f.Addresses) == 0 {
		return f, nil
	}
	f.UDP = "unknown"
	bind := netcheckBind(cfg, v6)
	var servers []netip.AddrPort
	for _, s := range cfg.Servers() {
		at, ok := r.find(ctx, s, v6)
		if !ok {
			continue
		}
		rdv, err := probeRDV(ctx, cfg, bind, at)
		if err != nil {
			return nil, err
		}
		if err := rdv.probeStream(ctx, cfg, s.String()); err != nil {
			return nil, err
		}
		if f.RDV == nil || !f.RDV.Reachable && (rdv.Reachable || !f.RDV.byTLS() && rdv.byTLS()) {
			f.RDV = rdv
		}
		if rdv.Channel != "unknown" { // Campagnol 0.3.5 takes STUN for its own messages
			servers = append(servers, at)
		}
	}
	for _, s := range given {
		if at, ok := r.find(ctx, s, v6); ok && !slices.Contains(servers, at) {
			servers = append(servers, at)
		}
	}
	if f.RDV != nil && f.RDV.Reachable {
		f.UDP = "works"
	}
	if len(servers) == 0 {
		f.judgeStream()
		return f, nil
	}
	return f, f.examine(ctx, r, cfg, bind, servers, own, lifetime)
}

// find returns the endpoint of a server in a family. Why a name has no address at all
// becomes a note.
func (r *netcheckReport) find(ctx context.Context, s conf.Server, v6 bool) (netip.AddrPort, bool) {
	ctx, stop := context.WithTimeout(ctx, lookupTime)
	defer stop()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host)
	if err != nil {
		reason := err.Error()
		var dns *net.DNSError
		if errors.As(err, &dns) {
			reason = dns.Err
		}
		r.note(fmt.Sprintf("%s cannot be resolved: %s", s.Host, reason))
		return netip.AddrPort{}, false
	}
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is6() == v6 {
			return netip.AddrPortFrom(ip, s.Port), true
		}
	}
	return netip.AddrPort{}, false
}

// note adds what a person should know, once.
func (r *netcheckReport) note(text string) {
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// netcheckBind returns where to bind sockets of a family, with port 0.
func netcheckBind(cfg *conf.Client, v6 bool) netip.AddrPort {
	ip := netip.IPv4Unspecified()
	if v6 {
		ip = netip.IPv6Unspecified()
	}
	if local, err := netip.ParseAddr(cfg.LocalHost); err == nil && local.Is6() == v6 {
		ip = local
	}
	return netip.AddrPortFrom(ip, 0)
}

// examine asks the servers.
func (f *familyReport) examine(ctx context.Context, r *netcheckReport, cfg *conf.Client, bind netip.AddrPort, servers []netip.AddrPort, own []netip.Addr, lifetime bool) error {
	primary, err := openSocket(cfg, netip.AddrPortFrom(bind.Addr(), cfg.LocalPort))
	if errors.Is(err, syscall.EADDRINUSE) {
		r.note(fmt.Sprintf("port %d is in use, by the client it seems: another socket was examined, which a NAT treats alike", cfg.LocalPort))
		primary, err = openSocket(cfg, bind)
	}
	if err != nil {
		return fmt.Errorf("netcheck: %w", err)
	}
	f.Port = primary.LocalAddr().Port()
	conns, err := openSockets(cfg, bind, natcheck.GoodFresh, primary)
	if err != nil {
		return err
	}
	f.result, err = natcheck.Run(ctx, natcheck.Config{
		Servers: servers, HostAddrs: own, Reached: f.UDP == "works", Software: program + " " + version.Version,
	}, conns, nil)
	if err != nil {
		return err
	}
	f.take()
	if lifetime && f.result.Translated {
		return f.measure(ctx, cfg, bind)
	}
	return nil
}

// openSockets opens n sockets behind first, which it closes if it cannot.
func openSockets(cfg *conf.Client, bind netip.AddrPort, n int, first ...punch.Conn) ([]punch.Conn, error) {
	conns := first
	for range n {
		conn, err := openSocket(cfg, bind)
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, fmt.Errorf("netcheck: %w", err)
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// measure measures the lifetime of mappings, with the first server that answers.
func (f *familyReport) measure(ctx context.Context, cfg *conf.Client, bind netip.AddrPort) error {
	f.Lifetime = &lifetimeReport{}
	for _, s := range f.result.Servers {
		if !s.Answered {
			continue
		}
		ages := natcheck.Ages()
		conns, err := openSockets(cfg, bind, 1+len(ages))
		if err != nil {
			return err
		}
		l, err := natcheck.RunLifetime(ctx, s.Addr, ages, conns)
		if err != nil {
			return err
		}
		if f.Lifetime.Known = l.Known; l.Known {
			f.Lifetime.AtLeast, f.Lifetime.AtMost = l.Kept.Seconds(), l.Gone.Seconds()
			return nil
		}
	}
	return nil
}

// take puts the result of the check into what is shown.
func (f *familyReport) take() {
	defer f.judgeStream()
	b := &f.result
	for _, s := range b.Servers {
		x := serverReport{Addr: s.Addr, Answered: s.Answered, RTT: millis(s.RTT), Software: s.Software}
		if s.Answered {
			x.Public = s.Public.String()
			f.UDP = "works"
		}
		f.Servers = append(f.Servers, x)
	}
	if b.Blocked && f.RDV == nil {
		f.UDP = "blocked"
	}
	if !b.Known || b.Blocked {
		if f.UDP == "unknown" {
			f.UDP = "blocked"
		}
		return
	}
	for _, a := range b.Public {
		f.Public = append(f.Public, a.String())
	}
	f.NAT = &natReport{
		Translated: b.Translated, Mapping: b.Mapping.String(), MappingExact: b.MappingExact,
		Filtering: b.Filtering.String(), FilteringExact: b.FilteringExact, Hard: b.Hard(),
	}
	if b.PortsKnown {
		f.NAT.Ports, f.NAT.Step = b.Ports.String(), int(b.Step)
	}
	if b.HairpinKnown {
		f.NAT.Hairpin = &b.Hairpin
	}
}

// judgeStream notes that UDP is blocked, where the rendezvous server answers over TLS only
// and nobody else by UDP.
func (f *familyReport) judgeStream() {
	if f.RDV.byTLS() && f.UDP == "unknown" {
		f.UDP = "blocked"
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
