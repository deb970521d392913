package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/tunnel/device"
	"campagnol/tunnel/filter"
	"campagnol/tunnel/record"
)

// A Config says what a Client is made of.
type Config struct {
	VPNAddr netip.Addr   // our address in the VPN; IPv4
	Network netip.Prefix // the VPN's network

	// Broadcast is the address of everybody in the network; the zero Addr
	// means that there is none.
	Broadcast netip.Addr

	// VPNAddr6 and Network6 are the same for IPv6: an address of ours that our
	// certificate names, and the network in which those of peers are. The zero
	// values mean that there is none.
	VPNAddr6 netip.Addr
	Network6 netip.Prefix

	Conn   punch.Conn   // the primary socket: the RDV's and the peers'
	More   []punch.Conn // at the same address, closed with Conn: each has a goroutine
	ECN    bool         // they fill in and obey Datagram.ECN
	Device device.Device

	// Ethernet makes the client carry frames, and a switch with its peers; nil: it
	// carries IP packets. Device has to be of that kind.
	Ethernet *Ethernet

	// OpenSocket returns another socket of this host, at a port of its own, like Conn
	// in everything else but the size of its buffers; nil: there are no others, and
	// ways through hard NATs of ours are not looked for, nor is it found out how a NAT
	// chooses ports. It must not wait.
	OpenSocket func() (punch.Conn, error)

	// Allocate gets us an address at a relay; nil: no relays are used. It may wait until
	// ctx is done.
	Allocate func(ctx context.Context, r TURNServer) (Allocation, error)

	// OpenStream opens a connection to an RDV by TCP or TLS, at one of its addresses and
	// Server.TLSPort, for when UDP gets no answer; nil: none is. Datagrams of the Conn
	// come from at, and go there; Send does not wait for the RDV, and Receive fails
	// when the connection has ended. ctx bounds the opening only. It is called in a
	// goroutine of its own.
	OpenStream func(ctx context.Context, s Server, at netip.AddrPort) (punch.Conn, error)

	// DialPeer opens a connection by TCP to where a peer takes them. Datagrams of the
	// Conn come from stream.Zone(at), and go there; otherwise it is like OpenStream. nil:
	// peers are not reached so.
	DialPeer func(ctx context.Context, at netip.AddrPort) (punch.StreamConn, error)

	// Accept takes the connections of peers; each has the address stream.Zone of where
	// it comes from. It is closed with Conn. nil: none are taken.
	Accept punch.StreamConn

	// Routed reports whether the host has a way to an address, for all that it
	// knows itself. It must not wait. nil: to every one that Conn serves.
	Routed func(netip.Addr) bool

	// Gateways, unless it is nil, is told which networks are reached through which
	// peers, each time when that has changed; the list must not be changed. It is called
	// by the control goroutine, and must not wait.
	Gateways func([]Gateway)

	// PathErrors are what the network says about single destinations of Conn;
	// nil: it is not known.
	PathErrors <-chan punch.PathError

	Settings

	// Notify is told what happens, by the goroutine that makes it happen: it must not
	// wait. nil: nobody wants to know.
	Notify func(Event)

	Log    *slog.Logger   // nil: none
	Jitter func() float64 // 0 to 1; nil: random
}

// Settings are the part of a Config that may change while the Client runs.
type Settings struct {
	// Servers are the RDVs, the ones to be preferred first; at most 8 are used. The
	// client registers at three of them, asks all where a peer is, and takes others
	// when those do not answer.
	Servers []Server

	// STUNServers are asked, beside the RDV, how our NAT behaves (RFC 5780).
	STUNServers []netip.AddrPort

	// StreamPort is the TCP port of Accept, if it is reached at the address that an RDV
	// sees unless there is a NAT; 0: it is not.
	StreamPort uint16

	// LocalAddr is the address that the RDV tells to peers behind the same
	// NAT. The zero value publishes none.
	LocalAddr netip.AddrPort

	// Configured are where else we can be reached, as the configuration says. Scopes
	// name the networks that we can reach: a peer's candidates in one of them are
	// tried first, and those in others not at all.
	Configured []punch.Candidate
	Scopes     []string

	Certificate tls.Certificate // ours

	// Verify decides whether a certificate chain, in DER, leaf first, is that
	// of the peer with VPN address vpn. server says that the peer is the DTLS
	// server. It is called from several goroutines.
	Verify func(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error

	// Inquire, unless it is nil, is called in a handshake with a peer before
	// Verify, with the same chain. It is not called by the control goroutine, and
	// may wait, for somebody who knows more about certificates; what it learns is
	// for Verify to use, which must not wait.
	Inquire func(ctx context.Context, chain [][]byte, server bool)

	// Filter returns what a policy says about the packets of the peer with VPN
	// address vpn, whose chain Verify has accepted; nil lets them all pass. The
	// function is nil without a policy.
	Filter func(vpn netip.Addr, chain [][]byte) *filter.Filter

	// Identify returns what a chain, which Verify has accepted for the peer with
	// VPN address vpn, says about that. If the function is nil, a peer has the
	// address that it is known by, and no other. It is called on one goroutine.
	Identify func(now time.Time, vpn netip.Addr, chain [][]byte) Identity

	AcceptRoutes bool // networks behind peers are reached through them

	// HostAddrs are this host's addresses, besides that in the VPN. No network
	// behind a peer contains one.
	HostAddrs []netip.Addr

	Suites []record.Suite // nil: all that we speak

	// Auth says how we register; but for AuthNo, VerifyServer is needed.
	Auth Auth

	// VerifyServer decides whether a certificate chain, in DER, leaf first, is
	// that of our RDV. It is called from several goroutines.
	VerifyServer func(now time.Time, chain [][]byte) (ServerIdentity, error)

	// ServerKnown says whether a channel has ever stood with the RDV of a name, so
	// that AuthAuto does not register there in clear; nil: never. RememberServer,
	// unless it is nil, is called in a goroutine of its own each time when one does.
	ServerKnown    func(name string) bool
	RememberServer func(name string, id ServerIdentity)

	// Objects takes what the RDV has for all members; nil: nothing is wanted.
	Objects ObjectStore

	Software string // our name and version, for people at the RDV

	FIFOSize   int           // packets kept for a peer until its session is up; 0: 20
	MaxClients int           // peers at a time; 0: 100
	Timeout    time.Duration // idle time of a session; 0: 120 s. The DTLS server adds 10 s
	KeepAlive  time.Duration // between two messages on an idle path; 0: 10 s

	// RekeyTime is how long the keys of a session are used, and RekeyRecords
	// for how many records in either direction. 0 is an hour, and 2^32; a
	// negative time is for ever. What is safe with a cipher bounds both.
	RekeyTime    time.Duration
	RekeyRecords uint64

	// MaxRate limits what is sent to all peers together, PeerRate what is sent
	// to each. MTU is that of the device, in bytes; it sizes their bursts.
	MaxRate, PeerRate Rate
	MTU               int

	Multicast bool // multicast goes over every open tunnel, as broadcast does

	// RelayFor says that other members may use us as their relay, and RelayRate how
	// many bytes per second we relay for all of them together; 0: no limit.
	RelayFor  bool
	RelayRate int64

	// MayRelay decides whether we may relay between two peers, by the certificates that
	// Verify has accepted; nil: between all. It is called on one goroutine.
	MayRelay func(a, b Shown) bool

	// RelayOnly lets peers be reached through relays alone, RelayNever without them
	// alone; not both.
	RelayOnly, RelayNever bool

	// TURN are relays to use beside those of the RDVs, the ones to be preferred first.
	TURN []TURNServer

	// Proxy is the HTTP proxy through which RDVs and relays are reached over TCP and
	// TLS, with user and password if it has them; nil: none. It must not be changed.
	Proxy *url.URL

	// FallbackPort is the TCP port at which RDVs are reached over TLS where UDP does
	// not get through; 0: they are not.
	FallbackPort uint16

	// HardNAT is what looking for a way through a hard NAT may cost, ours or that of a
	// peer; the zero Budget: none is looked for.
	HardNAT hard.Budget
}

// withDefaults returns s with the original's defaults for what is zero.
func (s Settings) withDefaults() Settings {
	s.FIFOSize = cmp.Or(s.FIFOSize, defaultFIFOSize)
	s.MaxClients = cmp.Or(s.MaxClients, defaultMaxClients)
	s.Timeout = cmp.Or(s.Timeout, defaultTimeout)
	s.KeepAlive = cmp.Or(s.KeepAlive, defaultKeepAlive)
	s.RekeyTime = cmp.Or(s.RekeyTime, defaultRekeyTime)
	s.RekeyRecords = cmp.Or(s.RekeyRecords, defaultRekeyRecords)
	s.Servers = withNames(s.Servers)
	return s
}

// check reports what s lacks.
func (s *Settings) check() error {
	if s.RelayOnly && s.RelayNever {
		return errors.New("client: relays alone, and no relays")
	}
	if !usableServers(s.Servers) || s.Verify == nil || s.Auth != AuthNo && s.VerifyServer == nil {
		return errors.New("client: incomplete settings")
	}
	return nil
}

// The original's defaults.
const (
	defaultFIFOSize   = 20
	defaultMaxClients = 100
	defaultTimeout    = 120 * time.Second
	defaultKeepAlive  = 10 * time.Second
)
