package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"campagnol/internal/cli"
	"campagnol/internal/service"
	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv"
	"campagnol/rdv/relay"

	"github.com/spf13/pflag"
)

// relayOptions say what is relayed for clients that find no direct path.
type relayOptions struct {
	on        bool
	ports     string
	clients   int
	perMember int
	rate      int64 // kB/s
	totalRate int64 // likewise
	private   bool
	addrs     []string
}

// relayRate is 1 kB/s, as in the configuration of clients.
const relayRate = 1000

func (o *relayOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.on, "relay", false, "relay what clients with a certificate send each other that find no\ndirect path")
	f.StringVar(&o.ports, "relay-ports", fmt.Sprintf("%d-%d", relay.DefaultFirst, relay.DefaultLast), "relay by UDP ports `A-B`")
	f.IntVar(&o.clients, "relay-clients", relay.DefaultClients, "relay for at most `N` clients at a time")
	f.IntVar(&o.perMember, "relay-per-client", relay.DefaultPerMember, "give a client at most `N` relayed addresses")
	f.Int64Var(&o.rate, "relay-rate", relay.DefaultRate/relayRate, "relay at most `N` kB/s for a client; 0: no limit")
	f.Int64Var(&o.totalRate, "relay-total-rate", relay.DefaultTotal/relayRate, "relay at most `N` kB/s in all; 0: no limit")
	f.BoolVar(&o.private, "relay-private", false, "relay to private networks, too")
	f.StringArrayVar(&o.addrs, "relay-address", nil, "the `ADDRESS` of relayed data as others see it, if a NAT translates it;\nonce for IPv4 and once for IPv6")
	cli.MarkNew(f, "relay", "relay-ports", "relay-clients", "relay-per-client", "relay-rate", "relay-total-rate", "relay-private", "relay-address")
}

// check returns what is wrong with the options, given how clients are authenticated.
func (o *relayOptions) check(mode rdv.Mode) error {
	if !o.on {
		return nil
	}
	if mode == rdv.Open {
		return cli.WithHint(errors.New("--relay needs --certificate, --key and --ca, or --authority: only members of the VPN may use the relay"), howTo)
	}
	first, last, err := o.portRange()
	if err != nil {
		return err
	}
	if _, err := o.addresses(); err != nil {
		return err
	}
	if ports := int(last-first) + 1; o.clients > ports {
		return cli.WithHint(fmt.Errorf("--relay-clients %d: --relay-ports has %d ports", o.clients, ports), "each relayed address needs a port of its own")
	}
	for _, x := range []struct {
		name  string
		value int64
		least int64
	}{{"relay-clients", int64(o.clients), 1}, {"relay-per-client", int64(o.perMember), 1}, {"relay-rate", o.rate, 0}, {"relay-total-rate", o.totalRate, 0}} {
		const most = 1 << 30 // a terabyte a second
		if x.value < x.least || x.value > most {
			return cli.WithHint(fmt.Errorf("--%s: %d is out of range", x.name, x.value), "a number from %d to %d", x.least, most)
		}
	}
	return nil
}

// portRange returns the first and the last port.
func (o *relayOptions) portRange() (first, last uint16, err error) {
	a, b, found := strings.Cut(o.ports, "-")
	m, errA := strconv.ParseUint(a, 10, 16)
	n, errB := strconv.ParseUint(b, 10, 16)
	if !found || errA != nil || errB != nil || m == 0 || m > n {
		return 0, 0, cli.WithHint(fmt.Errorf("--relay-ports: %q is not a range of ports", o.ports),
			"write two numbers from 1 to 65535, such as 49152-50151; the firewall has to let UDP through to all of them")
	}
	return uint16(m), uint16(n), nil
}

// addresses returns where relayed data comes from, as others see it.
func (o *relayOptions) addresses() (list []netip.Addr, err error) {
	for _, text := range o.addrs {
		a, err := netip.ParseAddr(text)
		a = a.Unmap()
		if err != nil || !relay.Anywhere(a) && !a.IsLoopback() {
			return nil, cli.WithHint(fmt.Errorf("--relay-address: %q is not an address that a host can have", text),
				"write the public address of this host, such as 192.0.2.2")
		}
		for _, b := range list {
			if a.Is4() == b.Is4() {
				return nil, cli.WithHint(fmt.Errorf("--relay-address: %v and %v are of the same kind", b, a),
					"give one address for IPv4 and one for IPv6; all clients have relayed addresses there")
			}
		}
		list = append(list, a)
	}
	return list, nil
}

// open adds to cfg, which has its socket, what the options ask for.
func (o *relayOptions) open(cfg *rdv.Config, s *service.Starting) error {
	if !o.on {
		return nil
	}
	first, last, err := o.portRange()
	if err != nil {
		return err
	}
	addrs, err := o.addresses()
	if err != nil {
		return err
	}
	if len(addrs) == 0 && unreachable(ownAddresses()) {
		s.Warn("this host has private addresses alone, and so have the relayed ones: from elsewhere nobody reaches them",
			"name the public address with --relay-address, and have the NAT forward the ports of --relay-ports")
	}
	may := relay.Public
	if o.private {
		may = relay.Anywhere
	}
	cfg.RelaySecret = relay.NewSecret()
	cfg.Relay = relay.New(relay.Config{
		Links:     links(cfg),
		Listen:    listenRelayed,
		First:     first,
		Last:      last,
		Addrs:     addrs,
		Own:       ownAddresses,
		May:       may,
		Secret:    cfg.RelaySecret,
		PerMember: o.perMember,
		Clients:   o.clients,
		Rate:      o.rate * relayRate,
		Total:     o.totalRate * relayRate,
		Log:       s.Log,
	})
	return nil
}

// unreachable reports whether a host with these addresses is reached by no other that
// is not near.
func unreachable(own []netip.Addr) bool { return !slices.ContainsFunc(own, relay.Public) }

// listenRelayed opens the socket of a relayed address. There may be thousands, and so
// each has small buffers: the kernel's hold 20 ms at 100 Mbit/s. Ours take 23 kB for one
// that is idle, and up to 140 kB more where runs of datagrams come in one piece; the rest
// of an allocation takes 12 kB.
func listenRelayed(at netip.AddrPort) (punch.Conn, error) {
	return udp.Listen(udp.Config{Addr: at, RcvBuf: 256 << 10, SndBuf: 256 << 10, Batch: 2})
}

// ownAddresses returns the addresses of this host.
func ownAddresses() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				list = append(list, a.Unmap())
			}
		}
	}
	return list
}

// links returns the sockets on which clients reach the server.
func links(cfg *rdv.Config) []relay.Link {
	list := []relay.Link{cfg.Conn}
	for _, conn := range slices.Concat(cfg.MoreConns, cfg.Streams) {
		list = append(list, conn)
	}
	return list
}
