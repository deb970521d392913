package audit

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Names and reasons repeat what others have sent: each text of a record is bounded, in
// bytes, and more so if the line would get longer than some log daemons take, since
// much of it is escaped.
const (
	maxText   = 256
	shortText = 40
	maxLine   = 4096
)

// A Record says that an event has happened. What is zero is not known, or does not
// apply. docs/audit.md explains the fields.
type Record struct {
	Time    time.Time // zero: now
	Event   Event
	Outcome Outcome // "": Success

	Name   string // of a certificate
	Serial string // of the same, in hexadecimal
	Key    string // fingerprint of its key

	Invitation string // by which a certificate was issued, or is to be

	VPNAddr netip.Addr
	Peer    netip.Addr     // the other end, of what is between two members
	From    netip.AddrPort // where it comes from; without port if that is not known

	Code      string // as in docs/refusals.md
	Reason    string // a sentence for people
	Authority string // who has signed what it is about
	Number    string // of a list or a bulletin
	Expires   time.Time
	Addresses []string // VPN addresses of a certificate; the first 16 are told
	Direction string   // "in" from the peer, "out" to it

	Caller  *Caller // who has asked for it on this host
	Command string  // what for

	Count uint64    // how often it has happened; 0: once
	Since time.Time // the first time, if Count says more than once
}

// A Caller is a process of this host.
type Caller struct {
	UID, PID int // PID 0: not known
}

// A line is a record as it is written.
type line struct {
	Time    string  `json:"time"`
	Program string  `json:"program"`
	Event   Event   `json:"event"`
	Outcome Outcome `json:"outcome"`

	Name   string `json:"name,omitempty"`
	Serial string `json:"serial,omitempty"`
	Key    string `json:"key,omitempty"`

	Invitation string `json:"invitation,omitempty"`

	VPNAddr   netip.Addr `json:"vpn_address,omitzero"`
	Addresses []string   `json:"vpn_addresses,omitempty"`
	Peer      netip.Addr `json:"peer,omitzero"`
	From      string     `json:"from,omitempty"`
	Direction string     `json:"direction,omitempty"`

	Code      string `json:"code,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Authority string `json:"authority,omitempty"`
	Number    string `json:"number,omitempty"`
	Expires   string `json:"expires,omitempty"`

	UID     *int   `json:"uid,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Command string `json:"command,omitempty"`

	Count uint64 `json:"count,omitempty"`
	Since string `json:"since,omitempty"`
}

// micros is how times are written: RFC 3339, in UTC, always to the microsecond.
const micros = "2006-01-02T15:04:05.000000Z"

// stamp returns a time as it is written; "" for the zero Time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(micros)
}

// line returns r as program writes it, with texts of so many bytes at most.
func (r *Record) line(program string, most int) line {
	bounded := func(text string) string { return cut(text, most) }
	l := line{
		Time: stamp(r.Time), Program: program, Event: r.Event, Outcome: r.outcome(),
		Name: bounded(r.Name), Serial: bounded(r.Serial), Key: bounded(r.Key), Invitation: bounded(r.Invitation),
		VPNAddr: r.VPNAddr, Peer: r.Peer, From: place(r.From), Direction: r.Direction,
		Code: bounded(r.Code), Reason: bounded(r.Reason), Authority: bounded(r.Authority), Number: bounded(r.Number),
		Expires: stamp(r.Expires), Command: bounded(r.Command), Count: r.Count, Since: stamp(r.Since),
	}
	for _, a := range r.Addresses[:min(len(r.Addresses), maxAddresses)] {
		l.Addresses = append(l.Addresses, cut(a, shortText))
	}
	if r.Caller != nil {
		l.UID, l.PID = &r.Caller.UID, r.Caller.PID
	}
	return l
}

// maxAddresses is how many addresses of a certificate a record has.
const maxAddresses = 16

// outcome returns what has become of it.
func (r *Record) outcome() Outcome {
	if r.Outcome == "" {
		return Success
	}
	return r.Outcome
}

// place returns an endpoint, or an address alone, or "".
func place(from netip.AddrPort) string {
	switch {
	case !from.Addr().IsValid():
		return ""
	case from.Port() == 0:
		return from.Addr().Unmap().String()
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String()
}

// cut returns text, or as many whole characters as fit into so many bytes, with an
// ellipsis.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func bounded(text string) string { return cut(text, maxText) }

// Append appends r as a line of JSON. Nothing in it can end the line, or reach what a
// terminal obeys: whatever is not printable is escaped.
func (r *Record) Append(b []byte, program string) []byte {
	start := len(b)
	for _, most := range []int{maxText, shortText} {
		text, err := json.Marshal(r.line(program, most))
		if err != nil { // nothing in a line can fail
			return b[:start]
		}
		if b = append(appendPrintable(b[:start], string(text)), '\n'); len(b)-start <= maxLine {
			break
		}
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendPrintable appends JSON with what is not printable outside of ASCII escaped.
func appendPrintable(b []byte, text string) []byte {
	for _, c := range text {
		switch {
		case c < utf8.RuneSelf && c != 0x7f, c >= utf8.RuneSelf && unicode.IsPrint(c):
			b = utf8.AppendRune(b, c)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			b = appendEscape(appendEscape(b, high), low)
		default:
			b = appendEscape(b, c)
		}
	}
	return b
}

func appendEscape(b []byte, c rune) []byte {
	return append(b, '\\', 'u', hexDigits[c>>12&15], hexDigits[c>>8&15], hexDigits[c>>4&15], hexDigits[c&15])
}

// printable returns text for a line of a log, with what is not printable as in JSON.
func printable(text string) string {
	if strings.IndexFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) < 0 {
		return text
	}
	quoted, _ := json.Marshal(text) // a string can be
	return string(appendPrintable(nil, string(quoted[1:len(quoted)-1])))
}

// Summary says what has happened in a few words, for what shows one line of an entry.
func (r *Record) Summary() string {
	var b strings.Builder
	b.WriteString(string(r.Event) + " " + string(r.outcome()))
	add := func(key, value string) {
		if value != "" {
			b.WriteString(" " + key + "=" + printable(bounded(value)))
		}
	}
	add("name", r.Name)
	if r.VPNAddr.IsValid() {
		add("vpn", r.VPNAddr.String())
	}
	if r.Peer.IsValid() {
		add("peer", r.Peer.String())
	}
	add("from", place(r.From))
	add("code", r.Code)
	add("number", r.Number)
	add("command", r.Command)
	return b.String()
}
