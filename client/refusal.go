package client

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	punchstream "campagnol/punch/stream"
	"campagnol/rdv/channel"
	"campagnol/tunnel/handshake"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// A Refusal is that somebody was refused: a peer or the RDV by us, or we by them.
// docs/refusals.md explains the codes.
type Refusal struct {
	Code        string
	VPNAddr     netip.Addr // of the peer; the zero Addr: it is about the RDV
	Count       int        // how often
	First, Last time.Time
	Err         error // the last time
}

// maxRefusals is how many refusals are remembered for people. Any host may knock
// under any VPN address.
const maxRefusals = 64

// recent are refusals, newest first. Its zero value is empty.
type recent struct{ list []Refusal }

// note remembers a refusal, and forgets the oldest if there are too many.
func (l *recent) note(now time.Time, vpn netip.Addr, code string, err error) {
	r := Refusal{Code: code, VPNAddr: vpn, First: now}
	if i := slices.IndexFunc(l.list, func(o Refusal) bool { return o.VPNAddr == vpn && o.Code == code }); i >= 0 {
		r = l.list[i]
		l.list = slices.Delete(l.list, i, i+1)
	}
	r.Count++
	r.Last, r.Err = now, err
	l.list = slices.Insert(l.list, 0, r)
	if len(l.list) > maxRefusals {
		l.list = l.list[:maxRefusals]
	}
}

// Codes of refusals that no error of another package has.
const (
	CodeLegacy       = "legacy"          // no version or suite in common
	CodeRefusedUs    = "refused_by_peer" // the other end does not accept our certificate
	CodeEndedByPeer  = "ended_by_peer"   // it has ended the handshake for another reason
	CodeNoChannel    = "no_channel"      // the RDV has none, and we do not register in clear
	CodeNoProtocol   = "no_protocol"     // what answers is no RDV of ours
	CodeRegistration = "registration"    // the RDV has answered NOK
	rdvOther         = "rdv_other"
)

// errRejected is what a NOK means.
var errRejected = errors.New("the RDV server rejected the client")

// rdvCodes are the codes of what the RDV says.
var rdvCodes = map[channel.Reason]string{
	channel.Denied:      "rdv_denied",
	channel.NotYours:    "rdv_not_yours",
	channel.Taken:       "rdv_taken",
	channel.Full:        "rdv_full",
	channel.Forbidden:   "rdv_forbidden",
	channel.Unsupported: "rdv_unsupported",
	channel.Malformed:   "rdv_malformed",
	channel.Busy:        "rdv_busy",
}

// codeOf returns the code of a refusal; "" for an error that is none, such as that
// nobody answers.
func codeOf(err error) string {
	var legacy *handshake.LegacyError
	var coded interface{ Code() string }
	var ended *handshake.AlertError
	switch {
	case errors.As(err, &legacy):
		return CodeLegacy
	case errors.As(err, &coded):
		return coded.Code()
	case errors.As(err, &ended) && aboutCertificate(ended.Description):
		return CodeRefusedUs
	case errors.As(err, &ended):
		return CodeEndedByPeer
	case errors.Is(err, errNoChannel):
		return CodeNoChannel
	case errors.Is(err, errProtocol):
		return CodeNoProtocol
	}
	return ""
}

// aboutCertificate reports whether an alert says that our certificate is not
// accepted (RFC 5246 section 7.2.2).
func aboutCertificate(d alert.Description) bool {
	switch d {
	case alert.BadCertificate, alert.UnsupportedCertificate, alert.CertificateRevoked, alert.CertificateExpired,
		alert.CertificateUnknown, alert.UnknownCA, alert.AccessDenied:
		return true
	}
	return false
}

// refuse notes an error about a peer, or about the RDV if vpn is the zero Addr,
// provided that it is a refusal. at is where who was refused, or has refused us, is. It
// returns what a line of the log about it says beside the error.
func (c *Client) refuse(now time.Time, vpn netip.Addr, at netip.AddrPort, err error) (attrs []any) {
	code := codeOf(err)
	if code == "" {
		return nil
	}
	c.recent.note(now, vpn, code, err)
	c.tally.refusal(code)
	c.notify(Event{Kind: EventRefused, VPNAddr: vpn, Addr: punchstream.Real(at), Code: code, Reason: err.Error(), Err: err})
	return []any{"code", code}
}

// refusePeer is refuse for a peer. The line of the log says what can be done, too.
func (c *Client) refusePeer(now time.Time, vpn netip.Addr, at netip.AddrPort, err error) (attrs []any) {
	attrs = c.refuse(now, vpn, at, err)
	var known interface{ Hint() string }
	if errors.As(err, &known) && known.Hint() != "" {
		attrs = append(attrs, "hint", known.Hint())
	}
	return attrs
}
