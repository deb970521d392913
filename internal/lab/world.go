package lab

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// A world is what the demonstration acts on: the kernel, or a script in tests.
// Peers have numbers from 0 on. Methods are called one at a time, except Await
// and Ping.
type world interface {
	// Build makes the Internet with a host for the RDV, and a host behind a
	// NAT of the given kind for every peer.
	Build(ctx context.Context, plan []Kind) (Topology, error)
	// Measure finds out how the NAT of a peer behaves.
	Measure(ctx context.Context, peer int) (Behaviour, error)
	// Certify makes a CA, and a certificate for every peer.
	Certify(ctx context.Context) error
	// StartServer starts the RDV, and says where its program comes from.
	StartServer(ctx context.Context) (how string, err error)
	// StartClient starts the client of a peer.
	StartClient(ctx context.Context, peer int) error
	// Await waits for a line in the log of the RDV or of a peer's client; see
	// [Process.Await].
	Await(ctx context.Context, who int, since time.Time, p Pattern) (LogLine, error)
	// Ping sends echo requests from one peer to the VPN address of another.
	Ping(ctx context.Context, from, to int, o PingOptions) (PingResult, error)
	// Broadcast sends a datagram to the VPN's broadcast address.
	Broadcast(ctx context.Context, from int, to []int) ([]Delivery, error)
	// Bulk transfers data between VPN addresses.
	Bulk(ctx context.Context, from, to int, size int64) (BulkResult, error)
	frameWorld
	// ServerTraffic returns what went through the RDV's interface.
	ServerTraffic() (Traffic, error)
	// Tail returns the end of a log.
	Tail(who int) string
	// Keep leaves everything running, and returns how to look at it, line by
	// line.
	Keep() ([]string, error)
	// Close ends and removes everything. It may be called before Build.
	Close() error
}

// theServer stands for the RDV where peers have numbers.
const theServer = -1

// nameOf returns the name of the RDV's host or a peer's.
func nameOf(who int) string {
	if who == theServer {
		return "rdv"
	}
	return fmt.Sprintf("peer%d", who+1)
}

// A Topology is what a demonstration takes place in.
type Topology struct {
	Lab    string      `json:"lab"`    // its name
	Server netip.Addr  `json:"server"` // of the RDV
	Peers  []PeerPlace `json:"peers"`  // in order
}

// A PeerPlace is where a peer is.
type PeerPlace struct {
	Addr  netip.Addr `json:"addr"`           // of its host
	NAT   string     `json:"nat,omitempty"`  // name of its NAT; empty if it has none
	Outer netip.Addr `json:"outer,omitzero"` // the NAT's address on the Internet
}

// The VPN of a demonstration.
var vpnNetwork = netip.MustParsePrefix("10.9.0.0/24")

const broadcastPort = 9999

// maxPeers is how many peers have room in the VPN and in the Internet; the
// machine will not like that many.
const maxPeers = 100

// vpnAddr returns a peer's address in the VPN.
func vpnAddr(peer int) netip.Addr {
	a := vpnNetwork.Addr().As4()
	a[3] = byte(peer + 1)
	return netip.AddrFrom4(a)
}

// vpnBroadcast is where broadcasts of a demonstration go.
func vpnBroadcast() netip.AddrPort {
	a := vpnNetwork.Addr().As4()
	a[3] = 255
	return netip.AddrPortFrom(netip.AddrFrom4(a), broadcastPort)
}

// Credentials are the files that prove who a peer is, in PEM.
type Credentials struct {
	Certificate, Key, CA string
}

// A Certifier makes a certificate authority in a folder, which does not exist
// yet, and a certificate for each of the hosts: it binds the VPN address, or is one
// for a rendezvous server.
type Certifier func(dir string, hosts []Identity) ([]Credentials, error)

// An Identity is a host to be certified.
type Identity struct {
	Name string
	Addr netip.Addr // in the VPN
	RDV  bool       // a rendezvous server, which has no address there
}

// Times in the configuration of the demonstration's clients. The time-out is
// the shortest that there is, for people to see its effect.
const (
	idleTimeout = 5 * time.Second
	keepAlive   = 2 * time.Second
)

// clientConfig returns the configuration file of a peer.
func clientConfig(peer int, server netip.Addr, c Credentials, stateDir, mode string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by campagnol lab for %s.\n\n", nameOf(peer))
	fmt.Fprintf(&b, "[NETWORK]\nserver_host = %s\n", server)
	if mode == modeTAP {
		fmt.Fprintf(&b, "mode = tap\ntun_device = %s\nrdv_auth = yes\n", tapName)
	}
	b.WriteByte('\n')
	fmt.Fprintf(&b, "[VPN]\nvpn_ip = %s\nnetwork = %s\n\n", vpnAddr(peer), vpnNetwork)
	fmt.Fprintf(&b, "[SECURITY]\ncertificate = %s\nkey = %s\nca_certificates = %s\n\n",
		quote(c.Certificate), quote(c.Key), quote(c.CA))
	fmt.Fprintf(&b, "[CLIENT]\ntimeout = %d\nkeepalive = %d\nstate_dir = %s\ncontrol_socket = %s\n",
		int(idleTimeout.Seconds()), int(keepAlive.Seconds()), quote(stateDir), quote(controlSocket(stateDir)))
	return b.String()
}

// tapName is the virtual interface of a client that carries frames.
const tapName = "tap0"

// controlSocket returns where a peer can be asked how it is. The default would be
// shared by all: namespaces have their own network, but not their own files.
func controlSocket(stateDir string) string { return filepath.Join(stateDir, "control.sock") }

// quote writes a value so that the configuration file takes it as it is: paths
// may have blanks, and a dollar sign begins a variable.
func quote(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `$$`).Replace(value) + `"`
}
