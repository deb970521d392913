package interop

import (
	"testing"

	"campagnol/tunnel/record"

	"golang.org/x/crypto/cryptobyte"
)

// Handshake messages (RFC 5246 section 7.4, RFC 6347 section 4.3.2).
const (
	clientHello        = 1
	serverHello        = 2
	helloVerifyRequest = 3
	certificate        = 11
)

// Extensions of hellos.
const (
	extMasterSecret = 23 // RFC 7627
	extTicket       = 35 // RFC 5077
)

// A message is a handshake message, or a fragment of one, as it was on its way.
type message struct {
	datagram int    // its number in the direction
	version  uint16 // of the record
	typ      uint8
	length   int // of the whole message
	body     cryptobyte.String
}

// messages returns the handshake messages of a type that were sent in clear, in
// order, repetitions and all.
func messages(p *path, typ uint8) []message {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []message
	for _, d := range p.log {
		for rest := d.data; len(rest) > 0; {
			h, rec, r, err := record.Split(rest)
			if err != nil {
				break
			}
			rest = r
			if h.Epoch != 0 || h.Type != record.Handshake {
				continue
			}
			m := message{datagram: d.n, version: h.Version}
			body := cryptobyte.String(rec[record.HeaderLen:])
			var length uint32
			if body.ReadUint8(&m.typ) && body.ReadUint24(&length) && body.Skip(8) && m.typ == typ {
				m.length, m.body = int(length), body
				found = append(found, m)
			}
		}
	}
	return found
}

// A hello is what a ClientHello or a ServerHello says.
type hello struct {
	record     uint16 // version of the record
	version    uint16
	cookie     int // its length
	extensions map[uint16]bool
}

func (h hello) has(extension uint16) bool { return h.extensions[extension] }

// firstHello returns the first hello of a type that passed.
func firstHello(t *testing.T, p *path, typ uint8) hello {
	t.Helper()
	all := messages(p, typ)
	if len(all) == 0 {
		t.Fatalf("no handshake message of type %d", typ)
	}
	return parseHello(t, all[0])
}

// lastHello returns the last hello of a type that passed.
func lastHello(t *testing.T, p *path, typ uint8) hello {
	t.Helper()
	all := messages(p, typ)
	if len(all) == 0 {
		t.Fatalf("no handshake message of type %d", typ)
	}
	return parseHello(t, all[len(all)-1])
}

func parseHello(t *testing.T, m message) hello {
	t.Helper()
	h := hello{record: m.version, extensions: map[uint16]bool{}}
	b := m.body
	var session, cookie, suites, methods, extensions cryptobyte.String
	ok := b.ReadUint16(&h.version) && b.Skip(32) && b.ReadUint8LengthPrefixed(&session)
	if m.typ == clientHello {
		ok = ok && b.ReadUint8LengthPrefixed(&cookie) && b.ReadUint16LengthPrefixed(&suites) && b.ReadUint8LengthPrefixed(&methods)
	} else {
		ok = ok && b.Skip(3) // suite and compression
	}
	if !ok || !b.ReadUint16LengthPrefixed(&extensions) {
		t.Fatalf("hello of type %d: %x", m.typ, m.body)
	}
	h.cookie = len(cookie)
	for !extensions.Empty() {
		var typ uint16
		var content cryptobyte.String
		if !extensions.ReadUint16(&typ) || !extensions.ReadUint16LengthPrefixed(&content) {
			t.Fatalf("extensions: %x", m.body)
		}
		h.extensions[typ] = true
	}
	return h
}
