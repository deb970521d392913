// Package channel is the format of what a client and the rendezvous server (RDV)
// say to each other over their authenticated channel: a DTLS 1.2 session with
// certificates on both sides, on the same port as everything else. ALPN names it
// (RFC 7301), see [Protocol], so that it cannot be taken for a session between
// two peers.
//
// Each record of application data carries one message:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     type
//	2       4     id, in network byte order
//	6       -     fields, to the end
//
// and each field is
//
//	offset  size  field
//	0       2     tag, in network byte order
//	2       2     length of the value
//	4       -     value
//
// Fields come in any order. A reader skips those whose tag it does not know, and
// of one that may occur once it takes the first. A message of another version, or
// of a type that it does not know, is ignored; the server refuses it with
// [Unsupported].
//
// A request is repeated until its answer, which has the same id, arrives: after
// 0.5, 1 and 2 s. Each may arrive twice, and means the same then.
//
//	from    request       answers
//	client  Register      Registered, Refused
//	client  Ask           Peer, Refused
//	client  Finished      Done
//	client  Bye           none: it is sent once
//	client  Fetch         Chunk, Refused
//	client  Apply         Answer, Refused
//	client  Notice        Done, Refused    of an authority only
//	client  List          Listed, Refused
//	client  Relay         Relayed, Refused
//	server  Introduce     Done
//	server  Notice        Done             after 1 and 2 s
//	server  Fetch         Chunk, Refused   to an authority only
//	server  Apply         Answer, Refused  likewise; when its client repeats it
//
// # Objects
//
// What every client should have, such as the revocation list, is an [Object]. The
// server names those that it has in Registered, and in a Notice when they change; a
// client fetches what it has not got in pieces of at most [MaxData] bytes, checks the
// hash of the whole, and then who has signed it: the server is not to be believed.
//
// # Authority
//
// A client whose certificate is one for the VPN's authority registers without a
// VPN address. The server passes every Apply on to it, those of clients and those
// of hosts without certificate (see [wire.Apply]), and its Answer back. It offers
// objects to the server by a Notice of its own, and the server fetches them.
//
// # Members
//
// A client that wants to know who is there, as each does that is part of an Ethernet
// switch, asks for a list of those that it may talk with: who have a channel, and
// whom the policy lets it talk with. The list comes in pieces, in the order of
// addresses.
//
// # Relay
//
// A server may be a relay, too (TURN, RFC 8656). A member asks for credentials, and
// says for which peer; they are good for a while, whoever the peer is then.
//
// A member may be a relay for others, too, and says so when it registers. Whoever are
// introduced to each other are told of some that both may use; what they say to those is
// no matter of the server's.
//
// # Registration
//
// What keeps the client registered are the PINGs of package rdv/wire, in clear,
// every 3 s: they are many, and forging one gains nothing. HELLO, ASK, CLOSE and
// BYE in clear mean nothing from an endpoint with a channel, and neither do OK,
// NOK, ANS, FWD and REJECT to a client with one.
package channel

import (
	"errors"
	"fmt"
	"net/netip"

	"campagnol/punch"
	"campagnol/punch/nat"

	"golang.org/x/crypto/cryptobyte"
)

// Protocol is the name of the channel in ALPN.
const Protocol = "campagnol-rdv/1"

// version is the version of the messages of this package.
const version = 1

// Limits of a message.
const (
	// MaxSize is the length of the longest message, in bytes. A record with it
	// fits every path that carries IPv6.
	MaxSize = 1150

	// MaxData is the length of the longest Data, in bytes.
	MaxData = 1024

	// MaxObjects is how many objects a message can name, and so how many there are.
	MaxObjects = 8

	maxAddrs      = 16 // in one message
	maxEndpoints  = 16
	maxCandidates = 16
	maxScopes     = 8
	maxText       = 200 // bytes
)

// MaxVia is how many members a message can name that relay.
const MaxVia = 3

// A Type says what a message means.
type Type uint8

// The types, and their fields.
const (
	Register   Type = 1 // VPN, the addresses that the client wants; Endpoints, where it can be reached in its own network; Software; NAT; Candidates; Scopes; Relays
	Registered Type = 2 // Endpoints, one: where the server sees the client; Lease; Software; Objects
	Refused    Type = 3 // Reason; Text
	Ask        Type = 4 // VPN, one: the wanted peer; Candidates, further ones that are for this peer only
	Peer       Type = 5 // VPN, the wanted one and the peer's others behind it; Endpoints, where the peer is, best first; Authentic; NAT; Candidates; Via
	Introduce  Type = 6 // VPN, all of who asks; Endpoints, where it is, best first; Authentic; NAT; Candidates; Via
	Done       Type = 7 // no fields
	Finished   Type = 8 // VPN, one: the path to this peer is closed
	Bye        Type = 9 // no fields: the client leaves

	Notice Type = 10 // Objects, all that there are
	Fetch  Type = 11 // Objects, one; Offset
	Chunk  Type = 12 // Offset; Data, from there on
	Apply  Type = 13 // Data, a request to the authority; to it also Endpoints, one: whose it is
	Answer Type = 14 // Data

	List   Type = 15 // VPN, none or one: after which address; Named
	Listed Type = 16 // Data, addresses of members, see [AppendAddrs]; or, if Named, with names, see [AppendMembers]; VPN, one: after which there are more, or none

	Relay   Type = 17 // VPN, one: the peer
	Relayed Type = 18 // User; Password; Lease, how long they are good; Endpoints, where the relay is, if not here
)

var typeNames = [...]string{Register: "REGISTER", Registered: "REGISTERED", Refused: "REFUSED", Ask: "ASK",
	Peer: "PEER", Introduce: "INTRODUCE", Done: "DONE", Finished: "FINISHED", Bye: "BYE",
	Notice: "NOTICE", Fetch: "FETCH", Chunk: "CHUNK", Apply: "APPLY", Answer: "ANSWER", List: "LIST", Listed: "LISTED",
	Relay: "RELAY", Relayed: "RELAYED"}

func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// A Reason says why a request is refused.
type Reason uint16

// The reasons. A client that does not know one takes it for Denied.
const (
	Denied      Reason = 1  // for a reason that only Text tells
	NotYours    Reason = 2  // the certificate does not name this VPN address
	Taken       Reason = 3  // a client with another key holds the VPN address
	Full        Reason = 4  // the server takes no more clients
	Unknown     Reason = 5  // no such VPN address is registered
	Forbidden   Reason = 6  // the policy does not let the two talk
	Unsupported Reason = 7  // a message that the server does not know
	Malformed   Reason = 8  // a message that makes no sense
	Strangers   Reason = 9  // no registration: Register comes first
	Gone        Reason = 10 // there is no such object (any more)
	Unreachable Reason = 11 // no authority is registered, or it does not answer
	Busy        Reason = 12 // too much to do: later
)

var reasonTexts = [...]string{Denied: "denied", NotYours: "the certificate does not name this VPN address",
	Taken: "a client with another key holds this VPN address", Full: "the server is full",
	Unknown: "no client has this VPN address", Forbidden: "the policy does not allow it",
	Unsupported: "the server does not know this request", Malformed: "the server does not understand the request",
	Strangers: "not registered", Gone: "there is no such object any more",
	Unreachable: "the server does not reach the VPN's authority", Busy: "the server has too much to do"}

func (r Reason) String() string {
	if int(r) < len(reasonTexts) && reasonTexts[r] != "" {
		return reasonTexts[r]
	}
	return fmt.Sprintf("reason %d", uint16(r))
}

// The tags of fields.
const (
	tagVPN       = 1 // an address, 4 or 16 bytes; may be repeated
	tagEndpoint  = 2 // an address and a port (2 bytes); may be repeated
	tagLease     = 3 // 4 bytes: seconds
	tagReason    = 4 // 2 bytes
	tagText      = 5 // UTF-8, for people
	tagSoftware  = 6 // UTF-8, for people: name and version of the program
	tagAuthentic = 7 // no value: the peer has a channel, too
	tagObject    = 8 // kind (1 byte), size (4 bytes), hash (32 bytes); may be repeated
	tagOffset    = 9 // 4 bytes
	tagData      = 10
	tagNAT       = 11 // see [nat.Behaviour.Append]
	tagCandidate = 12 // kind (1 byte), length of the address (1 byte), address, port (2 bytes), scope; may be repeated
	tagScope     = 13 // UTF-8, the name of a network that the client can reach; may be repeated
	tagUser      = 14 // ASCII, of credentials for a relay
	tagPassword  = 15 // ASCII
	tagFlags     = 16 // 4 bytes, a set of bits, see below; those that are not known are ignored
	tagVia       = 17 // an address, 4 or 16 bytes; may be repeated
)

// The bits of tagFlags: the client relays for others; a list is one of members with
// their names.
const (
	flagRelays = 1 << 0
	flagNamed  = 1 << 1
)

// An Object is something that the server has for its clients.
type Object struct {
	Kind ObjectKind
	Size uint32   // bytes
	Hash [32]byte // SHA-256 of the whole
}

// An ObjectKind says what an object is.
type ObjectKind uint8

// The kinds of objects. A client leaves alone those that it does not know.
const (
	// CRL is a certificate revocation list in DER (RFC 5280 section 5).
	CRL ObjectKind = 1

	// Bulletin is what the authority has signed for all members, such as the
	// policy; see package pki/bulletin.
	Bulletin ObjectKind = 2
)

// MaxObject is the size of the largest object, in bytes. The revocation list of
// 100,000 certificates has 4 MB.
const MaxObject = 4 << 20

// A Message is a message. Which fields mean something depends on Type; the others
// are zero.
type Message struct {
	Type      Type
	ID        uint32
	VPN       []netip.Addr
	Endpoints []netip.AddrPort
	Lease     uint32 // silence after which the server forgets the client, or how long credentials are good, in seconds
	Reason    Reason
	Text      string
	Software  string
	Authentic bool
	Objects   []Object
	Offset    uint32 // of Data in an object, in bytes
	Data      []byte
	User      string // and Password: credentials for a relay
	Password  Password

	// NAT is how the client's way to the Internet behaves, as far as it knows, and
	// Candidates are where it can be reached, the most useful first. Scopes are the
	// networks that it can reach by the names which candidates have for them.
	NAT        nat.Behaviour
	Candidates []punch.Candidate
	Scopes     []string

	Relays bool         // the client passes on datagrams for others
	Named  bool         // names are wanted, or are there
	Via    []netip.Addr // VPN addresses of members that do so, between the two that are introduced
}

// A Password belongs to credentials for a relay. It does not show in a log.
type Password string

// String does not return it.
func (Password) String() string { return "(not shown)" }

// Errors of [Parse].
var (
	ErrVersion   = errors.New("channel: message of another version")
	ErrMalformed = errors.New("channel: malformed message")
)

// Append appends the wire form of m to b. What exceeds the limits of a message is
// left out, and so are addresses that are none.
func (m *Message) Append(b []byte) []byte {
	w := cryptobyte.NewBuilder(b)
	w.AddUint8(version)
	w.AddUint8(uint8(m.Type))
	w.AddUint32(m.ID)
	for _, a := range m.VPN[:min(len(m.VPN), maxAddrs)] {
		if a.IsValid() {
			addField(w, tagVPN, func(w *cryptobyte.Builder) { w.AddBytes(a.Unmap().AsSlice()) })
		}
	}
	for _, e := range m.Endpoints[:min(len(m.Endpoints), maxEndpoints)] {
		if e.IsValid() {
			addField(w, tagEndpoint, func(w *cryptobyte.Builder) {
				w.AddBytes(e.Addr().Unmap().AsSlice())
				w.AddUint16(e.Port())
			})
		}
	}
	if m.Lease != 0 {
		addField(w, tagLease, func(w *cryptobyte.Builder) { w.AddUint32(m.Lease) })
	}
	if m.Reason != 0 {
		addField(w, tagReason, func(w *cryptobyte.Builder) { w.AddUint16(uint16(m.Reason)) })
	}
	addText(w, tagText, m.Text)
	addText(w, tagSoftware, m.Software)
	addText(w, tagUser, m.User)
	addText(w, tagPassword, string(m.Password))
	if m.Authentic {
		addField(w, tagAuthentic, func(*cryptobyte.Builder) {})
	}
	for _, o := range m.Objects[:min(len(m.Objects), MaxObjects)] {
		addField(w, tagObject, func(w *cryptobyte.Builder) {
			w.AddUint8(uint8(o.Kind))
			w.AddUint32(o.Size)
			w.AddBytes(o.Hash[:])
		})
	}
	if m.Offset != 0 {
		addField(w, tagOffset, func(w *cryptobyte.Builder) { w.AddUint32(m.Offset) })
	}
	if n := min(len(m.Data), MaxData); n > 0 {
		addField(w, tagData, func(w *cryptobyte.Builder) { w.AddBytes(m.Data[:n]) })
	}
	if b := m.NAT.Append(nil); b != nil {
		addField(w, tagNAT, func(w *cryptobyte.Builder) { w.AddBytes(b) })
	}
	for _, c := range m.Candidates[:min(len(m.Candidates), maxCandidates)] {
		if c.Addr.IsValid() && len(c.Scope) <= punch.MaxScope {
			addField(w, tagCandidate, func(w *cryptobyte.Builder) { addCandidate(w, c) })
		}
	}
	for _, scope := range m.Scopes[:min(len(m.Scopes), maxScopes)] {
		if scope != "" && len(scope) <= punch.MaxScope {
			addField(w, tagScope, func(w *cryptobyte.Builder) { w.AddBytes([]byte(scope)) })
		}
	}
	if flags := m.flags(); flags != 0 {
		addField(w, tagFlags, func(w *cryptobyte.Builder) { w.AddUint32(flags) })
	}
	for _, a := range m.Via[:min(len(m.Via), MaxVia)] {
		if a.IsValid() {
			addField(w, tagVia, func(w *cryptobyte.Builder) { w.AddBytes(a.Unmap().AsSlice()) })
		}
	}
	return w.BytesOrPanic() // only lengths over 64 KiB fail, and there are none
}

// Fit leaves out candidates, from the last one on, until the wire form of m is a
// message: what is more than there is room for is the least useful.
func (m *Message) Fit() {
	if n := len(m.Candidates); n > maxCandidates {
		m.Candidates = m.Candidates[:maxCandidates]
	}
	for len(m.Candidates) > 0 && len(m.Append(nil)) > MaxSize {
		m.Candidates = m.Candidates[:len(m.Candidates)-1]
	}
}

func addField(w *cryptobyte.Builder, tag uint16, value func(*cryptobyte.Builder)) {
	w.AddUint16(tag)
	w.AddUint16LengthPrefixed(value)
}

func addCandidate(w *cryptobyte.Builder, c punch.Candidate) {
	w.AddUint8(uint8(c.Kind))
	w.AddUint8LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(c.Addr.Addr().Unmap().AsSlice()) })
	w.AddUint16(c.Addr.Port())
	w.AddBytes([]byte(c.Scope))
}

func addText(w *cryptobyte.Builder, tag uint16, text string) {
	if text = clean(text); text != "" {
		addField(w, tag, func(w *cryptobyte.Builder) { w.AddBytes([]byte(text)) })
	}
}

// Parse reads a message. What it returns does not alias b.
func Parse(b []byte) (Message, error) {
	var m Message
	if len(b) > MaxSize {
		return Message{}, ErrMalformed
	}
	s := cryptobyte.String(b)
	var v uint8
	if !s.ReadUint8(&v) {
		return Message{}, ErrMalformed
	}
	if v != version {
		return Message{}, ErrVersion
	}
	if !s.ReadUint8((*uint8)(&m.Type)) || !s.ReadUint32(&m.ID) {
		return Message{}, ErrMalformed
	}
	for seen := (seenTags{}); !s.Empty(); {
		var tag uint16
		var value cryptobyte.String
		if !s.ReadUint16(&tag) || !s.ReadUint16LengthPrefixed(&value) || !m.field(tag, value, &seen) {
			return Message{}, ErrMalformed
		}
	}
	return m, nil
}

// seenTags has the tags of fields that may occur once.
type seenTags [tagFlags + 1]bool

// field takes a field. It returns false if its value makes no sense.
func (m *Message) field(tag uint16, value cryptobyte.String, seen *seenTags) bool {
	switch tag {
	case tagVPN:
		a, ok := netip.AddrFromSlice(value)
		m.VPN = append(m.VPN, a.Unmap())
		return ok && len(m.VPN) <= maxAddrs
	case tagEndpoint:
		e, ok := readEndpoint(value)
		m.Endpoints = append(m.Endpoints, e)
		return ok && len(m.Endpoints) <= maxEndpoints
	case tagObject:
		o, ok := readObject(value)
		m.Objects = append(m.Objects, o)
		return ok && len(m.Objects) <= MaxObjects
	case tagCandidate:
		c, ok := readCandidate(value)
		m.Candidates = append(m.Candidates, c)
		return ok && len(m.Candidates) <= maxCandidates
	case tagScope:
		m.Scopes = append(m.Scopes, clean(string(value)))
		return len(value) > 0 && len(value) <= punch.MaxScope && len(m.Scopes) <= maxScopes
	case tagVia:
		a, ok := netip.AddrFromSlice(value)
		m.Via = append(m.Via, a.Unmap())
		return ok && len(m.Via) <= MaxVia
	}
	if int(tag) >= len(seen) || seen[tag] {
		return true
	}
	seen[tag] = true
	switch tag {
	case tagLease:
		return value.ReadUint32(&m.Lease)
	case tagReason:
		return value.ReadUint16((*uint16)(&m.Reason))
	case tagText:
		m.Text = clean(string(value))
	case tagSoftware:
		m.Software = clean(string(value))
	case tagUser:
		m.User = clean(string(value))
	case tagPassword:
		m.Password = Password(clean(string(value)))
	case tagAuthentic:
		m.Authentic = true
	case tagOffset:
		return value.ReadUint32(&m.Offset)
	case tagData:
		m.Data = append(m.Data, value...)
		return len(value) <= MaxData
	case tagNAT:
		m.NAT = nat.Parse(value)
	case tagFlags:
		var flags uint32
		ok := value.ReadUint32(&flags)
		m.Relays, m.Named = flags&flagRelays != 0, flags&flagNamed != 0
		return ok
	}
	return true
}
