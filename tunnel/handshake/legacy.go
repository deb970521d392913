package handshake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"golang.org/x/crypto/cryptobyte"
)

// A Legacy is a way in which a peer is out of our reach: what it speaks and what
// we speak have nothing in common. The original as released is such a peer. It
// does DTLS 1.0 with static RSA or ECDH key exchange; we do DTLS 1.2 with ECDHE
// and an AEAD.
type Legacy uint8

// The ways.
const (
	LegacyVersion      Legacy = iota + 1 // it does DTLS 1.0 and not 1.2
	LegacyClientSuites                   // it asks us, and offers no suite that we accept
	LegacyServerSuites                   // we ask it, and it accepts no suite that we offer
)

var legacyNames = [...]string{LegacyVersion: "version", LegacyClientSuites: "client_suites", LegacyServerSuites: "server_suites"}

// String returns one word.
func (l Legacy) String() string {
	if int(l) < len(legacyNames) && l != 0 {
		return legacyNames[l]
	}
	return "unknown"
}

// sentences say what the peer is, and what an administrator can do about it.
var sentences = map[Legacy]string{
	LegacyVersion: "the peer speaks a version of DTLS before 1.2, as Campagnol 0.3.5 does as released, so that no tunnel " +
		"with it is possible, whoever asks: install this program there, or rebuild the original there with " +
		"OpenSSL 1.0.2 or later, its version-flexible DTLS methods and ECDHE",
	LegacyClientSuites: "the peer speaks DTLS 1.2 but offers no cipher suite that we accept; ours have ECDHE with AES-GCM " +
		"or ChaCha20-Poly1305: let cipher_list allow one of them at both ends, or install this program there",
	LegacyServerSuites: "the peer accepts no cipher suite that we offer; ours have ECDHE with AES-GCM or " +
		"ChaCha20-Poly1305: let cipher_list allow one of them at both ends; a Campagnol 0.3.5 that was rebuilt for DTLS " +
		"1.2 accepts them only if ECDHE was enabled as well, but it offers them, so that a tunnel which the peer asks " +
		"for works",
}

// A LegacyError says that a handshake failed because the peer is out of reach,
// and will be when it is tried again. Its text is made for people.
//
// It rests on messages that nobody has authenticated. It explains a failure; it
// proves nothing about the peer.
type LegacyError struct {
	Legacy Legacy
	Cause  error // what the peer did; an *AlertError if it ended the handshake
}

func (e *LegacyError) Error() string { return fmt.Sprintf("%s (%v)", sentences[e.Legacy], e.Cause) }

// Unwrap returns the cause.
func (e *LegacyError) Unwrap() error { return e.Cause }

// What of a hello shows that the peer is out of reach.
var (
	errHelloVersion  = errors.New("its ClientHello offers no version of DTLS from 1.2 on")
	errHelloSuites   = errors.New("its ClientHello offers no such suite")
	errServerVersion = errors.New("its ServerHello chooses a version of DTLS before 1.2")
)

// Diagnose looks at the first datagram of a peer and reports what is wrong with
// the peer, or nil if that cannot be told from this datagram or nothing is. server
// is our role; suites are those that we accept or have offered. [Handshake.Run]
// does this by itself, and its error carries the result.
func Diagnose(server bool, suites []record.Suite, datagram []byte) *LegacyError {
	d := diagnosis{server: server, suites: suites}
	for len(datagram) > 0 {
		h, rec, rest, err := record.Split(datagram)
		if err != nil {
			break
		}
		if e := d.record(h, rec[record.HeaderLen:]); e != nil {
			return e
		}
		datagram = rest
	}
	return nil
}

// A diagnosis follows what a peer sends in clear. Its methods take any bytes.
type diagnosis struct {
	server bool // our role
	suites []record.Suite

	// greeted says that the peer has sent a hello that we can go on from: from
	// then on nothing is wrong with it that a hello or an alert could show.
	greeted bool
}

// record looks at the body of a record with header h.
//
// The version in h shows nothing as a rule: OpenSSL sends a ClientHello that
// offers DTLS 1.2, and a HelloVerifyRequest before it has chosen a version, in
// records of version 1.0 (RFC 6347 section 4.2.1).
func (d *diagnosis) record(h record.Header, body []byte) *LegacyError {
	switch {
	case h.Epoch != 0 || d.greeted:
		return nil
	case h.Type == record.Handshake:
		return d.messages(body)
	case h.Type == record.Alert && !d.server:
		return alertVerdict(h.Version, body)
	}
	return nil
}

// The hellos among the handshake messages (RFC 5246 section 7.4).
const (
	clientHello = 1
	serverHello = 2
)

// messages looks at the handshake messages of a record (RFC 6347 section
// 4.2.2). Of a fragmented one it sees the first fragment, which holds what
// matters in all but the longest hellos.
func (d *diagnosis) messages(body cryptobyte.String) *LegacyError {
	for !body.Empty() {
		var typ uint8
		var offset, length uint32
		var fragment []byte
		if !body.ReadUint8(&typ) || !body.Skip(3+2) || !body.ReadUint24(&offset) ||
			!body.ReadUint24(&length) || !body.ReadBytes(&fragment, int(length)) {
			return nil
		}
		if offset != 0 {
			continue
		}
		var e *LegacyError
		var read bool
		switch {
		case d.server && typ == clientHello:
			e, read = d.clientHello(fragment)
		case !d.server && typ == serverHello:
			e, read = d.serverHello(fragment)
		}
		if e != nil {
			return e
		}
		d.greeted = d.greeted || read
	}
	return nil
}

// clientHello looks at what a ClientHello offers (RFC 6347 section 4.2.1). It
// reports whether b holds enough of it.
func (d *diagnosis) clientHello(b cryptobyte.String) (e *LegacyError, read bool) {
	var version uint16
	if !b.ReadUint16(&version) {
		return nil, false
	}
	if before12(version) {
		return &LegacyError{LegacyVersion, errHelloVersion}, true
	}
	var session, cookie, offered cryptobyte.String
	if !b.Skip(32) || !b.ReadUint8LengthPrefixed(&session) || !b.ReadUint8LengthPrefixed(&cookie) ||
		!b.ReadUint16LengthPrefixed(&offered) || offered.Empty() || len(offered)%2 != 0 {
		return nil, false
	}
	var s uint16
	for offered.ReadUint16(&s) {
		if slices.Contains(d.suites, record.Suite(s)) {
			return nil, true
		}
	}
	return &LegacyError{LegacyClientSuites, errHelloSuites}, true
}

// serverHello looks at what a ServerHello chooses (RFC 5246 section 7.4.1.3). It
// reports whether b holds enough of it.
func (d *diagnosis) serverHello(b cryptobyte.String) (e *LegacyError, read bool) {
	var version, suite uint16
	if !b.ReadUint16(&version) {
		return nil, false
	}
	if before12(version) {
		return &LegacyError{LegacyVersion, errServerVersion}, true
	}
	var session cryptobyte.String
	if !b.Skip(32) || !b.ReadUint8LengthPrefixed(&session) || !b.ReadUint16(&suite) {
		return nil, false
	}
	if slices.Contains(d.suites, record.Suite(suite)) {
		return nil, true
	}
	return &LegacyError{LegacyServerSuites, fmt.Errorf("its ServerHello chooses %v, which we did not offer", record.Suite(suite))}, true
}

// before12 reports whether a version on the wire is one of DTLS before 1.2.
// They count down.
func before12(version uint16) bool {
	return version > record.Version12 && version>>8 == record.Version12>>8
}

// alertVerdict looks at the answer to our ClientHello, in a record of the given
// version. Other alerts than these have other reasons.
func alertVerdict(version uint16, body []byte) *LegacyError {
	var a alert.Alert
	if a.Unmarshal(body) != nil || a.Level != alert.Fatal {
		return nil
	}
	cause := &AlertError{a.Description}
	switch a.Description {
	case alert.ProtocolVersion:
		return &LegacyError{LegacyVersion, cause}
	case alert.HandshakeFailure, alert.InsufficientSecurity:
		// A server first chooses the version, for which it takes ours if it can,
		// and then the suite. DTLS 1.0 has none of our suites.
		if before12(version) {
			return &LegacyError{LegacyVersion, cause}
		}
		return &LegacyError{LegacyServerSuites, cause}
	}
	return nil
}

// refusal returns the record that ends the handshake with a peer which is out of
// reach, in a version that the peer takes: one that was built for DTLS 1.0 alone
// may drop any other. pion would send 1.2.
func (l Legacy) refusal(seq uint64) []byte {
	version, d := uint16(record.Version12), alert.HandshakeFailure
	if l == LegacyVersion {
		version, d = record.Version10, alert.ProtocolVersion
	}
	b := []byte{byte(record.Alert)}
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint64(b, seq) // the upper 16 bits are epoch 0
	b = binary.BigEndian.AppendUint16(b, 2)
	return append(b, byte(alert.Fatal), byte(d))
}
