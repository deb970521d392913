package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"time"

	"campagnol/tunnel/packet"
)

// A Client is the configuration of the client. [ParseClient] fills all of it;
// where a comment names no default, the default is the zero value.
type Client struct {
	// File is the name of the file, as it was given.
	File string

	// [NETWORK]

	LocalHost   string   // address or name to bind to; "": to be chosen
	LocalPort   uint16   // UDP port to bind to; 0: any
	ServerHost  string   // address or name of the first rendezvous server
	ServerPort  uint16   // UDP port of the first rendezvous server; default 57888
	MoreServers []Server // the others; see [Client.Servers]

	RDVAuth   Auto   // whether to authenticate to the rendezvous server, and it to us; default AutoAuto
	Mode      Mode   // what the VPN carries; default ModeTUN
	TunMTU    int    // MTU of the virtual interface in bytes, at least 150; default 1419, in ModeTAP 1392
	Interface string // network interface to bind to; "": none

	// STUNServers are asked, beside the rendezvous server, about the NAT.
	STUNServers []Server

	// UseLocalAddr says whether the local address is published at the
	// rendezvous server; default true.
	UseLocalAddr bool

	// OverrideLocalAddr is published instead of the local address. The zero
	// AddrPort means that the local address is. It is only set together with
	// UseLocalAddr.
	OverrideLocalAddr netip.AddrPort

	// OverrideLocalHost is set if override_local_addr has a name instead of an
	// address. The program resolves it, and takes the port from
	// OverrideLocalAddr, whose address is the zero Addr.
	OverrideLocalHost string

	// ExternalAddrs are where peers can reach this client, beside what it finds out.
	ExternalAddrs []External

	TCPPort     uint16     // takes connections of other members; 0: none does
	ExternalTCP []External // where it is reached from outside; port 0: TCPPort

	Scopes []string // networks that this client can reach; at most 8

	TunDevice string // name of the virtual interface; "": the system's choice
	TapID     string // TAP driver on Windows; has no effect elsewhere

	PortMapping bool // ask the gateway to forward the UDP port; default true

	RelayFor     bool     // relay for other members
	TURN         []TURN   // relays to use, beside those of the rendezvous servers
	RelayOnly    bool     // reach peers through relays alone
	RelayNever   bool     // reach peers without relays; not together with RelayOnly
	RelayMaxRate float64  // bytes per second for others together; default 12.5e6; 0: no limit
	HTTPProxy    *url.URL // for what goes over TCP and TLS; nil: none
	FallbackPort uint16   // TCP port at which rendezvous servers take TLS; default 443; 0: never

	// [ETHERNET]

	Ethernet Ethernet

	// [VPN]

	VPNIP       netip.Addr   // own address in the VPN; always IPv4
	Network     netip.Prefix // VPNIP masked by the length of network
	NetworkText string       // network as it was written, for %N

	VPNIP6    netip.Addr   // own IPv6 address in the VPN; the zero Addr: none
	Network6  netip.Prefix // the VPN's IPv6 network, with VPNIP6 in it; set together with it
	VPNIP6Pos Pos          // of the value in the file

	AcceptRoutes bool // reach networks behind peers through them
	RouteMetric  int  // of the routes to them, at least 0; 0: the kernel's default
	Forward      bool // pass on packets of peers to networks behind this host

	DNSDomain string // in which names of members are answered, in lower case and without a dot at the end; "": none
	DNSServe  bool   // for peers, too

	// [SECURITY]

	Certificate       string // path of a PEM file
	Key               string // path of a PEM file
	RenewCertificate  bool   // ask the VPN's authority for a new certificate in time; default false
	CACertificates    string // path of a PEM file; "": none, then CACertificatesDir is set
	CACertificatesDir string // path of a hashed directory; "": none
	CRLFile           string // path of a PEM file; "": none
	VerifyDepth       int    // highest index of a certificate in a chain, the peer's own is 0; 0: not set
	CipherList        string // OpenSSL cipher list; "": not set
	OCSP              OCSP   // whether responders are asked about certificates; default OCSPNo
	RequireIPSAN      bool   // refuse peers whose certificate has no IP SAN
	PolicyFile        string // path of a policy; "": none, all peers may talk

	RekeyTime    time.Duration // before a connection gets fresh keys; 0: never; default 3600 s
	RekeyRecords uint64        // packets before a connection gets fresh keys, at least 1000; default 2^32

	// [CLIENT]

	FIFOSize          int           // packets kept per peer until it is connected, at least 1; default 20
	TxQueue           int           // transmit queue length of the virtual interface in packets; 0: not set
	TunOneQueue       bool          // single queue mode of the TUN driver
	ClientMaxRate     float64       // bytes per second to all peers; 0: no limit
	ConnectionMaxRate float64       // bytes per second to one peer; 0: no limit
	Timeout           time.Duration // of a connection without traffic, at least 5 s; default 120 s
	KeepAlive         time.Duration // silence on a connection before a keepalive, at least 1 s; default 10 s
	MaxClients        int           // connections to peers, at least 1; default 100
	Multicast         bool          // send multicast over every open tunnel
	HardNAT           bool          // look for ways through symmetric NATs; default true
	HardNATSockets    int           // sockets that are open for that, 1 to 256; default 256
	HardNATProbes     int           // packets that are sent for that, 1 to 4096; default 1400
	Queues            int           // sockets, and queues of the virtual interface, 1 to 64; default 1
	StateDir          string        // directory for pinned keys; default /var/lib/campagnol
	ControlSocket     string        // path of the control socket, or [NoControlSocket]; "": to be chosen
	ControlGroup      string        // group that may use the control socket; "": none
	AuditLog          string        // file of the audit trail, "syslog" or "journal"; "": none
	User              string        // user to go on as when everything is open; "": the one that is

	Metrics netip.AddrPort // where metrics can be read; zero: nowhere

	// [COMMANDS]

	DefaultUp   bool // run the built-in set-up instead of Up; default true
	DefaultDown bool // run the built-in clean-up instead of Down; default true

	// Up and Down are the commands in the order of the file, with ${}
	// expanded and the % variables not. They are to be run if DefaultUp and
	// DefaultDown are false.
	Up, Down []string
}

// NoControlSocket is the value of [Client.ControlSocket] for a client that is not
// to have one.
const NoControlSocket = "none"

// maxFile is the size of the largest file that is read, in bytes.
const maxFile = 1 << 20

// LoadClient reads the file at path. See [ParseClient] for the results. If the
// file cannot be read, the error wraps that of the operating system.
func LoadClient(path string) (*Client, []Problem, error) {
	src, mode, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	return parseClient(path, src, mode)
}

// readFile reads the file at path up to its maximal size, and who may read it. It need
// not be a regular file.
func readFile(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read configuration: %w%s", err, readHint(err))
	}
	defer f.Close()
	var mode fs.FileMode
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		mode = st.Mode().Perm()
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read configuration: %w%s", err, readHint(err))
	}
	if len(src) > maxFile {
		return nil, 0, Problem{
			File: path, Severity: Error,
			Text: "the file is larger than 1 MiB",
			Hint: "this is hardly a configuration file; is it the one that you meant?",
		}
	}
	return src, mode, nil
}

// readHint returns what to do about err, on a line of its own.
func readHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "\nhint: make the file from campagnol.conf.example, or name another one on the command line"
	case errors.Is(err, fs.ErrPermission):
		return "\nhint: run the program as root, or give its user the right to read the file"
	}
	return ""
}

// Broadcast returns the broadcast address of the VPN: VPNIP with all bits set
// behind the length of the network. It is VPNIP itself with a length of 32 (and,
// for the odd address, 31), and 255.255.255.255 with 0. It returns the zero
// Addr if there is no VPNIP.
func (c *Client) Broadcast() netip.Addr {
	if !c.VPNIP.Is4() || c.Network.Bits() < 0 {
		return netip.Addr{}
	}
	return packet.Broadcast(netip.PrefixFrom(c.VPNIP, c.Network.Bits()))
}
