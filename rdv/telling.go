package rdv

import (
	"errors"
	"strings"
	"time"

	"campagnol/pki"
	"campagnol/rdv/channel"
)

// tell remembers an event, and tells who wants to know. It may be called in any
// goroutine.
func (s *Server) tell(now time.Time, e Event) {
	if !e.Kind.forNotify() {
		s.history.Add(now, e)
	}
	s.notify(now, e)
}

// notify tells who wants to know of an event.
func (s *Server) notify(now time.Time, e Event) {
	if s.cfg.Notify != nil {
		s.cfg.Notify(now, e)
	}
}

// forNotify reports whether an event is for Config.Notify alone: anybody can cause as many
// as they like, or another event tells of the same.
func (k EventKind) forNotify() bool { return k >= Moved }

// blaming returns e with the certificate that an error is about, which proves nothing.
func (e Event) blaming(err error) Event {
	var r *pki.Refusal
	if errors.As(err, &r) {
		e.Name, e.Serial = strings.TrimPrefix(r.Subject, "CN="), r.Serial
	}
	return e
}

// event returns an event about m.
func (m *Member) event(kind EventKind) Event {
	return Event{Kind: kind, Endpoint: m.at, Name: m.id.Name, Key: m.id.Key, Serial: m.id.Serial}
}

// Codes of refusals.
const (
	codeDenied    = "rdv_denied"
	codeTaken     = "rdv_taken"
	codeFull      = "rdv_full"
	codeForbidden = "rdv_forbidden"
)

// codes are what reasons of refusals are called in docs/refusals.md.
var codes = map[channel.Reason]string{
	channel.Denied: codeDenied, channel.NotYours: "rdv_not_yours", channel.Taken: codeTaken, channel.Full: codeFull,
	channel.Forbidden: codeForbidden, channel.Malformed: "rdv_malformed",
}

// codeOf returns what an error is called in docs/refusals.md; "" if it is not there.
func codeOf(err error) string {
	var coded interface{ Code() string }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return ""
}
