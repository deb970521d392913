package conf

import (
	"fmt"
	"math"
	"strings"
)

// A Type says how the value of a key is written.
type Type string

// The types of keys.
const (
	TypeText     Type = "text"
	TypePath     Type = "path"
	TypeHost     Type = "host"      // an IPv4 address or a name
	TypePort     Type = "port"      // 0 to 65535
	TypeInteger  Type = "integer"   // a whole number
	TypeRate     Type = "rate"      // a number of kB/s, that is 1000 bytes per second
	TypeBool     Type = "yes or no" // also on, off, true, false, 1, 0
	TypeAuto     Type = "auto, yes or no"
	TypeOCSP     Type = "no, yes or require"
	TypeAddress  Type = "address"  // an IPv4 address
	TypeNetwork  Type = "network"  // address/length
	TypeEndpoint Type = "endpoint" // host, blank, port
	TypeChoice   Type = "word"     // one of the Choices
	TypeAddress6 Type = "IPv6 address"
	TypeNetwork6 Type = "IPv6 network" // address/length
	TypeMAC      Type = "hardware address"
	TypeVLANs    Type = "numbers" // and ranges of them, or all
	TypeServer   Type = "host or host:port"
	TypeCommand  Type = "command" // for the shell; the key may be given several times

	TypeScope    Type = "name" // of a network
	TypeDomain   Type = "domain"
	TypeExternal Type = "address:port scope" // the scope may be left out

	TypeRelay  Type = "yes, no or a TURN server" // which has a password
	TypeProxy  Type = "URL"                      // which may have a password
	TypeListen Type = "address:port"             // of this host
)

// A Key describes one key of the client's file.
type Key struct {
	Section string
	Name    string
	Type    Type
	Default string   // as it would be written in the file; "" for none
	Min     int      // the least value of an integer
	Unit    string   // of an integer; "" for none
	Choices []string // of a TypeChoice
	Needed  bool     // a file without the key is refused
	New     bool     // Campagnol 0.3.5 does not know the key (and ignores it)
	Several bool     // the key may be given several times, and all values count
	Doc     string   // what the key is for, one sentence
}

// Keys returns all keys of the client's file, in the order in which they are
// looked at.
func Keys() []Key {
	keys := make([]Key, len(registry))
	for i := range registry {
		keys[i] = registry[i].Key
	}
	return keys
}

// A definition is a key and how it is read.
type definition struct {
	Key
	// set puts a value into the Client; it is called with the default if the
	// file does not set the key. It is nil for those of which each value counts, which
	// the decoder knows.
	set func(c *Client, a *assignment)
}

// Sections.
const (
	sectionNetwork  = "NETWORK"
	sectionVPN      = "VPN"
	sectionEthernet = "ETHERNET"
	sectionSecurity = "SECURITY"
	sectionClient   = "CLIENT"
	sectionCommands = "COMMANDS"
)

var sections = [...]string{sectionNetwork, sectionEthernet, sectionVPN, sectionSecurity, sectionClient, sectionCommands}

// registry is the table of keys. Its order is the one in which the original
// checks them, since the first error is the one that is reported.
var registry = [...]definition{
	{Key{Section: sectionNetwork, Name: "local_host", Type: TypeHost,
		Doc: "The local address, or a name for it, to which the UDP socket is bound; without it, all addresses, of IPv4 and IPv6."},
		func(c *Client, a *assignment) { a.host(&c.LocalHost) }},
	{Key{Section: sectionNetwork, Name: "interface", Type: TypeText,
		Doc: "The network interface whose traffic the UDP socket is bound to."},
		func(c *Client, a *assignment) { c.Interface = a.text }},
	{Key: Key{Section: sectionNetwork, Name: "server_host", Type: TypeHost, Needed: true, Several: true,
		Doc: "The address or the name of the rendezvous server; a port may follow behind a colon, and the key may be given again for up to 8 servers, the best first, of which three are used at a time; over IPv6 clients register with a certificate only."}},
	{Key{Section: sectionNetwork, Name: "server_port", Type: TypePort, Default: "57888",
		Doc: "The UDP port of the rendezvous server."},
		func(c *Client, a *assignment) { a.serverPort(&c.ServerPort) }},
	{Key{Section: sectionNetwork, Name: "rdv_auth", Type: TypeAuto, Default: "auto", New: true,
		Doc: "Whether the client and the rendezvous server prove to each other who they are, with certificates: yes, or else the client does not register; no; or auto, if the server can do it, and from then on always."},
		func(c *Client, a *assignment) { a.auto(&c.RDVAuth) }},
	{Key{Section: sectionNetwork, Name: "stun_server", Type: TypeServer, Several: true, New: true,
		Doc: "A STUN server that is asked, beside the rendezvous server, how the NAT of this host behaves; the key may be given several times."},
		func(c *Client, a *assignment) { a.stunServer(&c.STUNServers, STUNPort) }},
	{Key{Section: sectionNetwork, Name: "local_port", Type: TypePort, Default: "0",
		Doc: "The local UDP port; 0 takes any that is free."},
		func(c *Client, a *assignment) { a.port(&c.LocalPort) }},
	{Key{Section: sectionNetwork, Name: "mode", Type: TypeChoice, Choices: []string{"tun", "tap"}, Default: "tun", New: true,
		Doc: "What the VPN carries: IP packets (tun), or Ethernet frames (tap), as a switch does to which all members are connected; the same for all clients."},
		func(c *Client, a *assignment) { a.mode(&c.Mode) }},
	{Key{Section: sectionNetwork, Name: "tun_mtu", Type: TypeInteger, Default: "1419", Min: 150, Unit: "bytes",
		Doc: "The MTU of the virtual interface; 1392 is the default with mode = tap."},
		func(c *Client, a *assignment) { a.mtu(c) }},
	{Key{Section: sectionNetwork, Name: "use_local_addr", Type: TypeBool, Default: "yes",
		Doc: "Whether the rendezvous server is told the local address, so that clients behind the same NAT can reach each other directly."},
		func(c *Client, a *assignment) { a.boolean(&c.UseLocalAddr) }},
	{Key{Section: sectionNetwork, Name: "override_local_addr", Type: TypeEndpoint,
		Doc: "The address and port that the rendezvous server is told instead of the local ones, such as those that a NAT in between forwards to this client."},
		func(c *Client, a *assignment) { a.override(c) }},
	{Key{Section: sectionNetwork, Name: "external_addr", Type: TypeExternal, Several: true, New: true,
		Doc: "An address at which peers can reach this client, with the port or, if that is 0 or left out, with the local port, and the name of the network from which they can (scope), or none; it may be given several times."},
		func(c *Client, a *assignment) { a.external(&c.ExternalAddrs) }},
	{Key{Section: sectionNetwork, Name: "tcp_port", Type: TypePort, Default: "0", New: true,
		Doc: "The TCP port at which other members can reach this client where UDP does not get through; 0 is none."},
		func(c *Client, a *assignment) { a.port(&c.TCPPort) }},
	{Key{Section: sectionNetwork, Name: "external_tcp", Type: TypeExternal, Several: true, New: true,
		Doc: "An address at which tcp_port is reached from outside, with the port or, if that is 0 or left out, with tcp_port, and the name of the network from which it is (scope), or none; without it the addresses of this host are; it may be given several times."},
		func(c *Client, a *assignment) { a.external(&c.ExternalTCP) }},
	{Key{Section: sectionNetwork, Name: "scope", Type: TypeScope, Several: true, New: true,
		Doc: "The name of a network that this client can reach: addresses of peers in it (external_addr) are tried first, and those in other networks not at all; it may be given several times."},
		func(c *Client, a *assignment) { a.scope(c) }},
	{Key{Section: sectionNetwork, Name: "tun_device", Type: TypeText,
		Doc: "The name of the virtual interface; without it, the system numbers it: tun0, tun1 and so on."},
		func(c *Client, a *assignment) { a.device(&c.TunDevice) }},
	{Key{Section: sectionNetwork, Name: "tap_id", Type: TypeText,
		Doc: "The name of the TAP driver on Windows; other systems ignore it."},
		func(c *Client, a *assignment) { c.TapID = a.text }},

	{Key{Section: sectionNetwork, Name: "port_mapping", Type: TypeBool, Default: "yes", New: true,
		Doc: "Whether the gateway of the local network is asked, by PCP, NAT-PMP or UPnP, to forward the UDP port to this client."},
		func(c *Client, a *assignment) { a.boolean(&c.PortMapping) }},
	{Key{Section: sectionNetwork, Name: "relay", Type: TypeRelay, Default: "no", Several: true, New: true,
		Doc: "Whether this client relays for other members, whose traffic it cannot read: yes or no; or a TURN server of your own that this client may use as a relay, beside those of the rendezvous servers: turn:HOST:PORT?transport=udp USER PASSWORD, with tcp in place of udp, or turns: for TLS; the key may be given several times."},
		func(c *Client, a *assignment) { a.relay(c) }},
	{Key{Section: sectionNetwork, Name: "relay_only", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether peers are reached through relays alone, and never directly."},
		func(c *Client, a *assignment) { a.boolean(&c.RelayOnly) }},
	{Key{Section: sectionNetwork, Name: "relay_never", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether peers are never reached through relays, but directly or not at all."},
		func(c *Client, a *assignment) { a.boolean(&c.RelayNever) }},
	{Key{Section: sectionNetwork, Name: "relay_max_rate", Type: TypeRate, Default: "12500", New: true,
		Doc: "The greatest rate at which this client relays for all other members together; 0 is no limit."},
		func(c *Client, a *assignment) { a.rate(&c.RelayMaxRate) }},
	{Key{Section: sectionNetwork, Name: "http_proxy", Type: TypeProxy, New: true,
		Doc: "The HTTP proxy through which rendezvous servers and relays are reached over TCP and TLS, as http://HOST:PORT, with USER:PASSWORD@ before the host if it wants that."},
		func(c *Client, a *assignment) { a.proxyURL(&c.HTTPProxy) }},
	{Key{Section: sectionNetwork, Name: "fallback_port", Type: TypePort, Default: "443", New: true,
		Doc: "The TCP port at which rendezvous servers are reached over TLS where UDP does not get through; 0 is never."},
		func(c *Client, a *assignment) { a.port(&c.FallbackPort) }},
	{Key{Section: sectionEthernet, Name: "mesh", Type: TypeChoice, Choices: []string{"full", "demand"}, Default: "full", New: true,
		Doc: "Whether connections to all members are kept open (full; max_clients bounds them), or opened when a host is asked for by ARP or neighbour discovery (demand)."},
		func(c *Client, a *assignment) { a.mesh(c) }},
	{Key{Section: sectionEthernet, Name: "hardware_address", Type: TypeMAC, New: true,
		Doc: "The hardware address of the virtual interface; without it, 02:ca and the four bytes of vpn_ip."},
		func(c *Client, a *assignment) {
			a.ethernet(c, func() { a.hardwareAddr(&c.Ethernet.HardwareAddr) })
		}},
	{Key{Section: sectionEthernet, Name: "max_macs", Type: TypeInteger, Default: "256", Min: 1, New: true,
		Doc: "How many hardware addresses are learned behind one peer; frames from others pass, and answers to them go to everybody."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.integer(&c.Ethernet.MaxMACs) }) }},
	{Key{Section: sectionEthernet, Name: "pin_macs", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether a peer may send only from the hardware address that follows from its VPN address, so that no bridge can be behind it."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.boolean(&c.Ethernet.PinMACs) }) }},
	{Key{Section: sectionEthernet, Name: "vlans", Type: TypeVLANs, Default: "all", New: true,
		Doc: "The numbers of the VLANs (802.1Q) that are carried, with 0 for frames without a tag, or all."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.vlans(&c.Ethernet.VLANs) }) }},
	{Key{Section: sectionEthernet, Name: "stp", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether frames of the spanning tree protocol are carried, which bridges behind several members need to notice loops."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.boolean(&c.Ethernet.STP) }) }},
	{Key{Section: sectionEthernet, Name: "storm_rate", Type: TypeInteger, Default: "1000", Unit: "frames per second", New: true,
		Doc: "How many broadcasts, and how many frames to unknown addresses, are taken from this host and from each peer; 0 is no limit."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.integer(&c.Ethernet.StormRate) }) }},
	{Key{Section: sectionEthernet, Name: "fragment", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether frames that are larger than the path are cut and put together again."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.boolean(&c.Ethernet.Fragment) }) }},
	{Key{Section: sectionEthernet, Name: "max_groups", Type: TypeInteger, Default: "1024", Min: 1, New: true,
		Doc: "How many multicast groups a peer, and the hosts behind this client, may ask for."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.integer(&c.Ethernet.MaxGroups) }) }},
	{Key{Section: sectionEthernet, Name: "unregistered_multicast", Type: TypeChoice, Choices: []string{"routers", "flood", "drop"}, Default: "routers", New: true,
		Doc: "Where multicast goes that nobody has asked for: to multicast routers, to everybody, or nowhere."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.choice(&c.Ethernet.Unregistered) }) }},
	{Key{Section: sectionEthernet, Name: "mrouter", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether there is a multicast router behind the virtual interface although it does not show itself by IGMP queries, PIM or MRD."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.boolean(&c.Ethernet.Router) }) }},
	{Key{Section: sectionEthernet, Name: "fast_leave", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether multicast stops at once when the last host that is known to want it leaves, without asking whether there are others."},
		func(c *Client, a *assignment) { a.ethernet(c, func() { a.boolean(&c.Ethernet.FastLeave) }) }},

	{Key{Section: sectionVPN, Name: "vpn_ip", Type: TypeAddress, Needed: true,
		Doc: "The address of this client in the VPN."},
		func(c *Client, a *assignment) { a.address(&c.VPNIP) }},
	{Key{Section: sectionVPN, Name: "network", Type: TypeNetwork, Needed: true,
		Doc: "The network of the VPN, the same for all clients."},
		func(c *Client, a *assignment) { a.network(c) }},
	{Key{Section: sectionVPN, Name: "vpn_ip6", Type: TypeAddress6, New: true,
		Doc: "The IPv6 address of this client in the VPN, which its certificate has to name beside vpn_ip; needs network6 and the authenticated channel to the rendezvous server."},
		func(c *Client, a *assignment) { a.address6(c) }},
	{Key{Section: sectionVPN, Name: "network6", Type: TypeNetwork6, New: true,
		Doc: "The IPv6 network of the VPN, the same for all clients that have vpn_ip6."},
		func(c *Client, a *assignment) { a.network6(c) }},
	{Key{Section: sectionVPN, Name: "accept_routes", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether networks behind peers, which their certificates name, are reached through them, and packets from there are accepted."},
		func(c *Client, a *assignment) { a.boolean(&c.AcceptRoutes) }},
	{Key{Section: sectionVPN, Name: "route_metric", Type: TypeInteger, Default: "0", New: true,
		Doc: "The metric of the routes to networks behind peers; 0 is the kernel's default."},
		func(c *Client, a *assignment) { a.bounded(&c.RouteMetric, math.MaxInt32) }},
	{Key{Section: sectionVPN, Name: "forward", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether the kernel is told to pass on packets of peers to networks behind this host."},
		func(c *Client, a *assignment) { a.boolean(&c.Forward) }},
	{Key{Section: sectionVPN, Name: "dns_domain", Type: TypeDomain, New: true,
		Doc: "The domain in which this client answers questions of this host for the names of members (DNS), at its VPN addresses; without it there is no DNS."},
		func(c *Client, a *assignment) { a.domain(&c.DNSDomain) }},
	{Key{Section: sectionVPN, Name: "dns_serve", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether questions of peers are answered, too, not only those of this host."},
		func(c *Client, a *assignment) { a.boolean(&c.DNSServe) }},

	{Key{Section: sectionSecurity, Name: "certificate", Type: TypePath, Needed: true,
		Doc: "The PEM file with the certificate of this client, followed by the intermediate certificates if there are any."},
		func(c *Client, a *assignment) { a.path(&c.Certificate) }},
	{Key{Section: sectionSecurity, Name: "key", Type: TypePath, Needed: true,
		Doc: "The PEM file with the private key of this client."},
		func(c *Client, a *assignment) { a.path(&c.Key) }},
	{Key{Section: sectionSecurity, Name: "renew_certificate", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether the client asks the VPN's authority for a new certificate, by the rendezvous server, when less than a third of its certificate's time is left, and writes it to the files above."},
		func(c *Client, a *assignment) { a.boolean(&c.RenewCertificate) }},
	{Key{Section: sectionSecurity, Name: "ca_certificates", Type: TypePath,
		Doc: "The PEM file with the certificates of the authorities that are trusted to sign peers; this or ca_certificates_dir is needed."},
		func(c *Client, a *assignment) { c.CACertificates = a.text }},
	{Key{Section: sectionSecurity, Name: "ca_certificates_dir", Type: TypePath,
		Doc: "A directory with such certificates, prepared by \"openssl rehash\"; ca_certificates is searched first."},
		func(c *Client, a *assignment) { c.CACertificatesDir = a.text }},
	{Key{Section: sectionSecurity, Name: "verify_depth", Type: TypeInteger, Min: 1,
		Doc: "The greatest number of certificates above the peer's own, the root included."},
		func(c *Client, a *assignment) { a.integer(&c.VerifyDepth) }},
	{Key{Section: sectionSecurity, Name: "cipher_list", Type: TypeText,
		Doc: "The cipher suites to choose from, as an OpenSSL cipher list."},
		func(c *Client, a *assignment) { c.CipherList = a.text }},
	{Key{Section: sectionSecurity, Name: "crl_file", Type: TypePath,
		Doc: "The PEM file with certificate revocation lists; a peer whose certificate is on one is refused."},
		func(c *Client, a *assignment) { c.CRLFile = a.text }},
	{Key{Section: sectionSecurity, Name: "ocsp", Type: TypeOCSP, Default: "no", New: true,
		Doc: "Whether the responder that a peer's certificate names is asked whether it was revoked (OCSP): no; yes, and a peer is refused if it was; or require, and a peer is refused unless there is an answer that it was not."},
		func(c *Client, a *assignment) { a.ocsp(&c.OCSP) }},
	{Key{Section: sectionSecurity, Name: "require_ip_san", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether peers are refused whose certificate does not name their VPN address in a subject alternative name of type IP."},
		func(c *Client, a *assignment) { a.boolean(&c.RequireIPSAN) }},
	{Key{Section: sectionSecurity, Name: "policy_file", Type: TypePath, New: true,
		Doc: "The file with the policy that says which peers may open connections, and what packets may pass; see docs/policy.md."},
		func(c *Client, a *assignment) { c.PolicyFile = a.text }},
	{Key{Section: sectionSecurity, Name: "rekey_time", Type: TypeInteger, Default: "3600", Unit: "seconds", New: true,
		Doc: "How long the keys of a connection are used before it gets fresh ones, which happens while it carries data, and only if it does; 0 is for ever."},
		func(c *Client, a *assignment) { a.seconds(&c.RekeyTime) }},
	{Key{Section: sectionSecurity, Name: "rekey_records", Type: TypeInteger, Default: "4294967296", Min: 1000, Unit: "packets", New: true,
		Doc: "For how many packets in either direction the keys of a connection are used before it gets fresh ones; if the cipher is safe for less, that holds."},
		func(c *Client, a *assignment) { a.count(&c.RekeyRecords) }},

	{Key{Section: sectionClient, Name: "fifo_size", Type: TypeInteger, Default: "20", Min: 1, Unit: "packets",
		Doc: "How many packets to a peer are kept until the connection to it is open."},
		func(c *Client, a *assignment) { a.integer(&c.FIFOSize) }},
	{Key{Section: sectionClient, Name: "txqueue", Type: TypeInteger, Min: 1, Unit: "packets",
		Doc: "The transmit queue length of the virtual interface."},
		func(c *Client, a *assignment) { a.integer(&c.TxQueue) }},
	{Key{Section: sectionClient, Name: "tun_one_queue", Type: TypeBool, Default: "no",
		Doc: "Whether the virtual interface uses only the queue of its driver; kernels since 3.8 always do."},
		func(c *Client, a *assignment) { a.boolean(&c.TunOneQueue) }},
	{Key{Section: sectionClient, Name: "client_max_rate", Type: TypeRate, Default: "0",
		Doc: "The greatest rate at which this client sends to all peers together; 0 is no limit."},
		func(c *Client, a *assignment) { a.rate(&c.ClientMaxRate) }},
	{Key{Section: sectionClient, Name: "connection_max_rate", Type: TypeRate, Default: "0",
		Doc: "The greatest rate at which this client sends to one peer; 0 is no limit."},
		func(c *Client, a *assignment) { a.rate(&c.ConnectionMaxRate) }},
	{Key{Section: sectionClient, Name: "timeout", Type: TypeInteger, Default: "120", Min: 5, Unit: "seconds",
		Doc: "How long a connection without traffic stays open."},
		func(c *Client, a *assignment) { a.seconds(&c.Timeout) }},
	{Key{Section: sectionClient, Name: "max_clients", Type: TypeInteger, Default: "100", Min: 1,
		Doc: "The greatest number of connections to peers at the same time."},
		func(c *Client, a *assignment) { a.integer(&c.MaxClients) }},
	{Key{Section: sectionClient, Name: "keepalive", Type: TypeInteger, Default: "10", Min: 1, Unit: "seconds",
		Doc: "How long a connection may be silent before a packet is sent to keep the NATs on the way open."},
		func(c *Client, a *assignment) { a.keepalive(&c.KeepAlive) }},
	{Key{Section: sectionClient, Name: "multicast", Type: TypeBool, Default: "no", New: true,
		Doc: "Whether multicast packets are sent over every open tunnel, as broadcasts are."},
		func(c *Client, a *assignment) { a.boolean(&c.Multicast) }},
	{Key{Section: sectionClient, Name: "hard_nat", Type: TypeBool, Default: "yes", New: true,
		Doc: "Whether a way is looked for to peers where this client or the peer, but not both, is behind a NAT that takes another port for each destination (a symmetric one), by trying many ports."},
		func(c *Client, a *assignment) { a.boolean(&c.HardNAT) }},
	{Key{Section: sectionClient, Name: "hard_nat_sockets", Type: TypeInteger, Default: "256", Min: 1, Unit: "sockets", New: true,
		Doc: "How many sockets are open for that at the most, for some seconds, at the side that is behind such a NAT; 256 is the most."},
		func(c *Client, a *assignment) { a.bounded(&c.HardNATSockets, maxHardSockets) }},
	{Key{Section: sectionClient, Name: "hard_nat_probes", Type: TypeInteger, Default: "1400", Min: 1, Unit: "packets", New: true,
		Doc: "How many small packets are sent for that at the most, 500 in a second; 4096 is the most."},
		func(c *Client, a *assignment) { a.bounded(&c.HardNATProbes, maxHardProbes) }},
	{Key{Section: sectionClient, Name: "queues", Type: TypeInteger, Default: "1", Min: 1, New: true,
		Doc: "How many goroutines, with a socket and a queue of the virtual interface each, carry packets in each direction; worth a try with many peers and more than four processors."},
		func(c *Client, a *assignment) { a.queues(&c.Queues) }},
	{Key{Section: sectionClient, Name: "state_dir", Type: TypePath, Default: "/var/lib/campagnol", New: true,
		Doc: "The directory where the client remembers the keys of peers whose certificate does not name their VPN address, which rendezvous servers have shown a certificate, and what they have sent for all members, such as revocation lists."},
		func(c *Client, a *assignment) { a.path(&c.StateDir) }},
	{Key{Section: sectionClient, Name: "control_socket", Type: TypePath, New: true,
		Doc: "The socket by which \"campagnol status\" asks a client that runs, or none; without it, the socket is called after the virtual interface, in /run/campagnol."},
		func(c *Client, a *assignment) { a.path(&c.ControlSocket) }},
	{Key{Section: sectionClient, Name: "control_group", Type: TypeText, New: true,
		Doc: "The group whose members may use the control socket, beside root and the user that the client runs as."},
		func(c *Client, a *assignment) { a.controlGroup(c) }},
	{Key{Section: sectionClient, Name: "metrics", Type: TypeListen, New: true,
		Doc: "Where metrics for Prometheus, and whether the client is registered, can be read over HTTP, by whoever reaches the address: see docs/metrics.md; nowhere by default."},
		func(c *Client, a *assignment) { a.listen(&c.Metrics) }},
	{Key{Section: sectionClient, Name: "audit_log", Type: TypePath, New: true,
		Doc: "The file to which the audit trail is written, or syslog, or journal: who was let in and who was not, and what was changed, see docs/audit.md; nowhere by default."},
		func(c *Client, a *assignment) { a.path(&c.AuditLog) }},
	{Key{Section: sectionClient, Name: "user", Type: TypeText, New: true,
		Doc: "The user that the client goes on as once its socket and device are open, on Linux, with the right to set up the network (CAP_NET_ADMIN) and no other; without it, the user that has started it."},
		func(c *Client, a *assignment) { a.path(&c.User) }},

	{Key{Section: sectionCommands, Name: "default_up", Type: TypeBool, Default: "yes",
		Doc: "Whether the client itself sets up address, MTU and route of the virtual interface; with no, the up commands are run instead."},
		func(c *Client, a *assignment) { a.lenientBoolean(&c.DefaultUp) }},
	{Key{Section: sectionCommands, Name: "default_down", Type: TypeBool, Default: "yes",
		Doc: "Whether the client itself cleans up when it ends; with no, the down commands are run instead."},
		func(c *Client, a *assignment) { a.lenientBoolean(&c.DefaultDown) }},
	{Key: Key{Section: sectionCommands, Name: "up", Type: TypeCommand,
		Doc: "A shell command that is run when the virtual interface is open and default_up is no."}},
	{Key: Key{Section: sectionCommands, Name: "down", Type: TypeCommand,
		Doc: "A shell command that is run when the virtual interface is about to close and default_down is no."}},
}

// lookup returns the definition of a key, nil if there is none.
func lookup(section, name string) *definition {
	for i := range registry {
		if k := &registry[i]; k.Section == section && k.Name == name {
			return k
		}
	}
	return nil
}

// hint says how the value of a key is written.
func (k *Key) hint() string {
	h := ""
	switch k.Type {
	case TypeHost:
		h = "write an IPv4 address such as 192.0.2.1, or a name such as rdv.example.org"
	case TypeServer:
		h = "write an address or a name, and a port if it is not 3478, such as stun.example.org:3479"
	case TypePort:
		h = "a port is a whole number from 0 to 65535"
	case TypeInteger:
		h = fmt.Sprintf("%s is a whole number of at least %d", k.Name, k.Min)
		if k.Unit != "" {
			h += " (" + k.Unit + ")"
		}
	case TypeRate:
		h = k.Name + " is a number of kB/s, which are 1000 bytes per second; 0 is no limit"
	case TypeBool:
		h = "write yes or no (on, off, true, false, 1 and 0 are understood too)"
	case TypeAuto:
		h = "write auto, yes or no"
	case TypeOCSP:
		h = "write no, yes or require"
	case TypeAddress:
		h = "write an IPv4 address such as 10.9.0.1"
	case TypeNetwork:
		h = "write an address, a slash and a length from 0 to 32, such as 10.9.0.0/24"
	case TypeAddress6:
		h = "write an IPv6 address such as fd09::1"
	case TypeNetwork6:
		h = "write an IPv6 address, a slash and a length from 0 to 128, such as fd09::/64"
	case TypeEndpoint:
		h = "write an address, a space and a port, such as 192.0.2.5 4444"
	case TypeScope:
		h = scopeHint
	case TypeDomain:
		h = domainHint
	case TypeExternal:
		h = "write an address, a colon and a port, and the name of the network from which it can be reached if it cannot from everywhere, such as 192.0.2.5:4444, [2001:db8::5]:4444 or 10.1.2.3:4444 office"
	case TypeRelay:
		h = "write yes or no, or a TURN server with user and password, such as turn:turn.example.org:3478 alice secret"
	case TypeProxy:
		h = "write http://HOST:PORT, such as http://proxy.example.org:3128, with USER:PASSWORD@ before the host if the proxy wants that; %40 stands for an @ in them, %3a for a colon"
	case TypeListen:
		h = "write an address, a colon and a port, such as 127.0.0.1:9469, which this host alone reaches, or [::]:9469 for everybody"
	case TypeChoice:
		h = "write " + strings.Join(k.Choices[:len(k.Choices)-1], ", ") + " or " + k.Choices[len(k.Choices)-1]
	case TypeMAC:
		h = "write six bytes, such as " + exampleMAC
	case TypeVLANs:
		h = fmt.Sprintf("write all, or numbers from 0 to %d and ranges of them, such as 0, 10, 20-29", maxVLAN)
	case TypeText, TypePath, TypeCommand:
		h = fmt.Sprintf("write: %s = %s", k.Name, k.Type)
	}
	if k.Default != "" {
		h += "; the default is " + k.Default
	}
	return h
}
