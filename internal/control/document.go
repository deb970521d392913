package control

import (
	"net/netip"
	"time"
)

// StatusPath is where a client tells its [Status].
const StatusPath = "/v1/status"

// RenewPath is where a client is asked to renew its certificate; the answer is a
// [Renewal].
const RenewPath = "/v1/renew"

// A Renewal is the document that tells of a certificate that was renewed.
type Renewal struct {
	Name    string    `json:"name"`
	Serial  string    `json:"serial"`
	Expires time.Time `json:"expires"`
}

// A Status is the document that tells how a client is. docs/control.md explains
// every field; fields may be added to it, and none is ever taken away or changed
// as long as its path begins with /v1.
type Status struct {
	Version    string       `json:"version"`
	ProcessID  int          `json:"process_id"`
	Time       time.Time    `json:"time"`
	Started    time.Time    `json:"started"`
	ConfigFile string       `json:"config_file"`
	Interface  string       `json:"interface"`
	VPNAddress netip.Addr   `json:"vpn_address"`
	Network    netip.Prefix `json:"network"`

	VPNAddress6 netip.Addr   `json:"vpn_address6,omitzero"`
	Network6    netip.Prefix `json:"network6,omitzero"`

	Mode string `json:"mode"`
	RDV  RDV    `json:"rdv"` // the first at which we are registered, or else the first

	MoreRDVs []RDV `json:"more_rdvs,omitempty"` // the others, in the order of the configuration

	Certificates []Certificate `json:"certificates"`
	Revocations  []Revocation  `json:"revocations"`
	OCSP         OCSP          `json:"ocsp,omitzero"`     // zero: no responder is asked
	Ethernet     Ethernet      `json:"ethernet,omitzero"` // zero: IP packets are carried
	HardNAT      HardNAT       `json:"hard_nat,omitzero"` // zero: no way was looked for
	Relaying     Relaying      `json:"relaying,omitzero"` // zero: this host relays for nobody
	NAT          NAT           `json:"nat,omitzero"`      // zero: it was not examined
	Policy       Policy        `json:"policy"`
	Bulletin     Bulletin      `json:"bulletin,omitzero"` // zero: there is none

	PortMapping PortMapping `json:"port_mapping"`

	Socket   Socket    `json:"socket"`
	Device   Device    `json:"device"`
	Drops    Drops     `json:"drops"`
	Peers    []Peer    `json:"peers"`
	Failures []Failure `json:"failures"`
	Refusals []Refusal `json:"refusals"`
}

// An RDV is the rendezvous server, and whether it knows us. All from Registration
// on is there only if there is something to say.
type RDV struct {
	Host               string         `json:"host"`
	Address            netip.AddrPort `json:"address"`
	Registered         bool           `json:"registered"`
	Spare              bool           `json:"spare,omitempty"`
	Auth               string         `json:"auth"`
	Registration       string         `json:"registration,omitempty"`
	Transport          string         `json:"transport,omitempty"`
	Since              time.Time      `json:"since,omitzero"`
	Certificate        string         `json:"certificate,omitempty"`
	CertificateExpires time.Time      `json:"certificate_expires,omitzero"`
	Cipher             string         `json:"cipher,omitempty"`
	SeesUsAt           netip.AddrPort `json:"sees_us_at,omitzero"`
	Refusal            string         `json:"refusal,omitempty"`
	RefusedAt          time.Time      `json:"refused_at,omitzero"`
}

// The ways in which a client is registered.
const (
	RegisteredInClear       = "clear"
	RegisteredAuthenticated = "authenticated"
)

// How the RDV is spoken with.
const (
	TransportUDP = "udp"
	TransportTLS = "tls" // since UDP gets no answer
)

// A Certificate is one on which the client depends: its own, or an authority's.
type Certificate struct {
	Name      string    `json:"name"`
	Serial    string    `json:"serial"`
	Authority bool      `json:"authority"`
	Expires   time.Time `json:"expires"`
}

// A Revocation is the revocation list that is in use for an authority.
type Revocation struct {
	Authority    string    `json:"authority"`
	Number       string    `json:"number,omitempty"`
	Issued       time.Time `json:"issued"`
	NextUpdate   time.Time `json:"next_update,omitzero"`
	Certificates int       `json:"certificates"`
	Source       string    `json:"source"`
	Where        string    `json:"where"`
}

// Where revocation lists come from.
const (
	FromFile = "file"
	FromRDV  = "rdv"
)

// A Policy says who may talk with whom. All but the source is there only if there is
// a policy.
type Policy struct {
	Source  string `json:"source"`
	Name    string `json:"name,omitempty"`
	Version uint64 `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Ignored bool   `json:"ignored,omitempty"`
}

// Where policies come from. From files they come as revocation lists do.
const (
	FromNowhere  = "none"
	FromBulletin = "bulletin"
)

// A Bulletin is the newest that the VPN's authority has signed for all members.
type Bulletin struct {
	Number  string    `json:"number"`
	Issued  time.Time `json:"issued"`
	Added   []string  `json:"authorities_added,omitempty"`
	Retired []string  `json:"authorities_retired,omitempty"`
}

// A Socket is the UDP socket.
type Socket struct {
	LocalAddress       netip.AddrPort `json:"local_address"`
	Features           []string       `json:"features"`
	MissingFeatures    []string       `json:"missing_features"`
	ReceiveBufferBytes int            `json:"receive_buffer_bytes"`
	SendBufferBytes    int            `json:"send_buffer_bytes"`
	ReceivedDatagrams  uint64         `json:"received_datagrams"`
	ReceiveCalls       uint64         `json:"receive_calls"`
	JoinedMessages     uint64         `json:"joined_messages"`
	SentDatagrams      uint64         `json:"sent_datagrams"`
	SendCalls          uint64         `json:"send_calls"`
	CutMessages        uint64         `json:"cut_messages"`
	ReroutedMessages   uint64         `json:"rerouted_messages"`
	PathErrors         uint64         `json:"path_errors"`
}

// A Device is the virtual network interface.
type Device struct {
	MTUBytes        int      `json:"mtu_bytes"`
	Offloads        []string `json:"offloads"`
	MissingOffloads []string `json:"missing_offloads"`
	ReadPackets     uint64   `json:"read_packets"`
	ReadCalls       uint64   `json:"read_calls"`
	WrittenPackets  uint64   `json:"written_packets"`
}

// Drops are what went no further, by the part of the program that has dropped it
// and the reason. Reasons that have not occurred are not there.
type Drops struct {
	Client map[string]uint64 `json:"client"`
	Socket map[string]uint64 `json:"socket"`
	Device map[string]uint64 `json:"device"`
}

// A Peer is another client of the VPN. All but address, state and waiting packets
// are those of its session, and not there without one.
type Peer struct {
	VPNAddress     netip.Addr        `json:"vpn_address"`
	Name           string            `json:"name,omitempty"`
	Expires        time.Time         `json:"certificate_expires,omitzero"`
	Addresses      []netip.Addr      `json:"addresses,omitempty"`
	Networks       []netip.Prefix    `json:"networks,omitempty"`
	State          string            `json:"state"`
	Path           netip.AddrPort    `json:"path,omitzero"`
	PathMTUBytes   int               `json:"path_mtu_bytes,omitempty"`
	PathKind       string            `json:"path_kind,omitempty"`
	PathFound      string            `json:"path_found,omitempty"`
	PathRTTSeconds float64           `json:"path_rtt_seconds,omitempty"`
	PathMoves      int               `json:"path_moves"`
	Relay          string            `json:"relay,omitempty"`
	PathChallenges int               `json:"path_challenges,omitempty"`
	PathResponses  int               `json:"path_responses,omitempty"`
	Role           string            `json:"role,omitempty"`
	Cipher         string            `json:"cipher,omitempty"`
	Protocol       string            `json:"protocol,omitempty"`
	Since          time.Time         `json:"since,omitzero"`
	KeysSince      time.Time         `json:"keys_since,omitzero"`
	Rekeys         int               `json:"rekeys"`
	RekeyFailures  int               `json:"rekey_failures"`
	LastIn         time.Time         `json:"last_in,omitzero"`
	LastOut        time.Time         `json:"last_out,omitzero"`
	WaitingPackets int               `json:"waiting_packets"`
	PacketsIn      uint64            `json:"packets_in"`
	BytesIn        uint64            `json:"bytes_in"`
	PacketsOut     uint64            `json:"packets_out"`
	BytesOut       uint64            `json:"bytes_out"`
	Drops          map[string]uint64 `json:"drops,omitempty"`
}

// A Failure says why a peer could not be reached last.
type Failure struct {
	VPNAddress netip.Addr `json:"vpn_address"`
	Time       time.Time  `json:"time"`
	Reason     string     `json:"reason"`
	Legacy     bool       `json:"legacy"`
}

// A Refusal says that a peer or the rendezvous server was refused by us, or we by
// them. Code is one of docs/refusals.md, of which Meaning, Fault and Fix are.
type Refusal struct {
	Code        string             `json:"code"`
	Server      bool               `json:"server"`
	VPNAddress  netip.Addr         `json:"vpn_address,omitzero"`
	Count       int                `json:"count"`
	First       time.Time          `json:"first"`
	Last        time.Time          `json:"last"`
	Reason      string             `json:"reason"`
	Meaning     string             `json:"meaning"`
	Fault       string             `json:"fault"`
	Fix         string             `json:"fix"`
	File        string             `json:"file,omitempty"`
	Certificate RefusedCertificate `json:"certificate,omitzero"`
}

// A RefusedCertificate is the one to which a refusal is due. All is as it says of
// itself.
type RefusedCertificate struct {
	Subject    string    `json:"subject"`
	Serial     string    `json:"serial"`
	Issuer     string    `json:"issuer"`
	ValidFrom  time.Time `json:"valid_from,omitzero"`
	ValidUntil time.Time `json:"valid_until,omitzero"`
}
