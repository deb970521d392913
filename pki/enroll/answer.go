package enroll

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"golang.org/x/crypto/cryptobyte"
)

// The tags of the fields of an answer. Each field is a tag (1 byte), the length of
// the value (3 bytes) and the value; a reader skips tags that it does not know.
const (
	tagRefusal  = 1 // code (1 byte), text for people
	tagCert     = 2 // DER; the first is the host's, then those above it
	tagRoot     = 3 // DER
	tagName     = 4
	tagAddr     = 5 // 4 or 16 bytes; may be repeated
	tagNetwork  = 6 // address and length (1 byte)
	tagServer   = 7 // HOST:PORT
	tagCRL      = 8 // DER; may be repeated
	tagBulletin = 9
	tagNetwork6 = 10 // like tagNetwork, of IPv6
	tagDomain   = 11
)

// Limits of an answer.
const (
	maxCerts = 8
	maxAddrs = 16
	maxCRLs  = 4
	maxText  = 500 // bytes
)

// A Grant is an answer with a certificate. A renewal has the chain and no more.
type Grant struct {
	Chain    [][]byte // DER; the host's first
	Roots    [][]byte // DER
	Name     string
	Addrs    []netip.Addr
	Network  netip.Prefix
	Network6 netip.Prefix // the zero Prefix: none
	Server   string       // HOST:PORT of the rendezvous server
	Domain   string       // of members' names; "": none
	CRLs     [][]byte     // DER
	Bulletin []byte
}

// Append appends the wire form of g to b.
func (g *Grant) Append(b []byte) []byte {
	w := cryptobyte.NewBuilder(b)
	add := func(tag uint8, value []byte) {
		w.AddUint8(tag)
		w.AddUint24LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(value) })
	}
	for _, c := range g.Chain {
		add(tagCert, c)
	}
	for _, c := range g.Roots {
		add(tagRoot, c)
	}
	if g.Name != "" {
		add(tagName, []byte(g.Name))
	}
	for _, a := range g.Addrs {
		add(tagAddr, a.Unmap().AsSlice())
	}
	if g.Network.IsValid() {
		add(tagNetwork, append(g.Network.Addr().AsSlice(), byte(g.Network.Bits())))
	}
	if g.Network6.IsValid() {
		add(tagNetwork6, append(g.Network6.Addr().AsSlice(), byte(g.Network6.Bits())))
	}
	if g.Server != "" {
		add(tagServer, []byte(g.Server))
	}
	if g.Domain != "" {
		add(tagDomain, []byte(g.Domain))
	}
	for _, l := range g.CRLs {
		add(tagCRL, l)
	}
	if len(g.Bulletin) > 0 {
		add(tagBulletin, g.Bulletin)
	}
	return w.BytesOrPanic() // of values above 16 MB
}

// A Code says why the authority refuses.
type Code uint8

// The codes. A host that does not know one takes it for Denied.
const (
	Denied     Code = 1 // for a reason that the text tells
	Used       Code = 2 // the invitation was used by another key
	Expired    Code = 3 // the invitation has expired, or the certificate to renew
	Withdrawn  Code = 4 // the invitation was withdrawn
	BadKey     Code = 5 // the key cannot get a certificate
	NotIssued  Code = 6 // there is no such certificate to renew
	Revoked    Code = 7 // the certificate is revoked
	Superseded Code = 8 // there is a newer certificate, or a newer key of the authority
	TooSoon    Code = 9 // the certificate is too new to be renewed
	Later      Code = 10
)

// A Refusal is an answer without certificate.
type Refusal struct {
	Code Code
	Text string // for people; printable
}

func (r *Refusal) Error() string { return r.Text }

// Append appends the wire form of r to b.
func (r *Refusal) Append(b []byte) []byte {
	w := cryptobyte.NewBuilder(b)
	w.AddUint8(tagRefusal)
	w.AddUint24LengthPrefixed(func(w *cryptobyte.Builder) {
		w.AddUint8(uint8(r.Code))
		w.AddBytes([]byte(r.Text[:min(len(r.Text), maxText)]))
	})
	return w.BytesOrPanic() // it is short
}

// parseAnswer reads what Append wrote: a grant, or a refusal. It accepts any input.
func parseAnswer(b []byte) (*Grant, *Refusal, error) {
	s := cryptobyte.String(b)
	g := &Grant{}
	for !s.Empty() {
		var tag uint8
		var value cryptobyte.String
		if !s.ReadUint8(&tag) || !s.ReadUint24LengthPrefixed(&value) {
			return nil, nil, errAnswer
		}
		if tag == tagRefusal {
			if len(value) == 0 {
				return nil, nil, errAnswer
			}
			return nil, &Refusal{Code(value[0]), printable(string(value[1:]))}, nil
		}
		if !g.parseField(tag, value) {
			return nil, nil, errAnswer
		}
	}
	if len(g.Chain) == 0 {
		return nil, nil, errAnswer
	}
	return g, nil, nil
}

var errAnswer = fmt.Errorf("enroll: malformed answer")

func (g *Grant) parseField(tag uint8, value []byte) bool {
	most := 0
	switch tag {
	case tagCert:
		g.Chain, most = append(g.Chain, value), maxCerts-len(g.Chain)
	case tagRoot:
		g.Roots, most = append(g.Roots, value), maxCerts-len(g.Roots)
	case tagCRL:
		g.CRLs, most = append(g.CRLs, value), maxCRLs-len(g.CRLs)
	case tagAddr:
		a, ok := netip.AddrFromSlice(value)
		if !ok {
			return false
		}
		g.Addrs, most = append(g.Addrs, a.Unmap()), maxAddrs-len(g.Addrs)
	case tagNetwork:
		return parseNetwork(value, &g.Network)
	case tagNetwork6:
		return parseNetwork(value, &g.Network6)
	case tagName:
		g.Name = string(value)
		return true
	case tagServer:
		g.Server = string(value)
		return true
	case tagDomain:
		g.Domain = string(value)
		return true
	case tagBulletin:
		g.Bulletin = value
		return true
	default:
		return true
	}
	return most > 0
}

func parseNetwork(value []byte, n *netip.Prefix) bool {
	if len(value) < 2 {
		return false
	}
	a, ok := netip.AddrFromSlice(value[:len(value)-1])
	*n = netip.PrefixFrom(a, int(value[len(value)-1]))
	return ok && n.IsValid()
}

// printable makes text from outside safe to show.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxText)], "?")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
