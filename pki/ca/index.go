package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The index of a CA, index.txt, is a table of all certificates it issued, in
// the format of "openssl ca", one certificate per line, six fields between
// tabs:
//
//	V  281231235959Z                        0A1B...  unknown  /CN=alice
//	R  281231235959Z  260301120000Z,keyCompromise  0A1C...  unknown  /CN=bob
//	status  expires  revoked[,reason]       serial   file     subject
//
// Times are UTC, YYMMDDHHMMSSZ up to 2049 and YYYYMMDDHHMMSSZ after that.

// A status is the first field. Expired certificates stay V until "openssl ca
// -updatedb" makes them E; the time decides, not the letter.
type status byte

const (
	statusValid   status = 'V'
	statusRevoked status = 'R'
	statusExpired status = 'E'
)

// A record is a line of the index.
type record struct {
	status  status
	expires time.Time
	revoked time.Time // zero unless status is statusRevoked
	reason  string    // as written; empty if none
	serial  *big.Int
	file    string
	subject string // in OpenSSL's one-line form

	cert   *x509.Certificate // see CA.stored
	loaded bool              // that cert was looked for
}

// An indexLine is a line, with its record. Lines that did not change are
// written as they were read. Comments have no record.
type indexLine struct {
	text   string // without newline; empty when the record is new or has changed
	record *record
}

// An index is the content of index.txt.
type index struct {
	lines    []indexLine
	bySerial map[string]*record // by formatSerial
}

// maxIndex bounds the size of the file, in bytes: a million certificates.
const maxIndex = 128 << 20

// parseIndex reads an index. It stops at the first line that it does not
// understand: to write on in a table that is broken could lose revocations.
func parseIndex(data []byte) (*index, error) {
	x := &index{bySerial: map[string]*record{}}
	n := 0
	for text := range strings.Lines(string(data)) {
		n++
		text = strings.TrimRight(text, "\r\n")
		l := indexLine{text: text}
		if text != "" && !strings.HasPrefix(text, "#") {
			r, err := parseRecord(text)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if x.find(r.serial) != nil {
				return nil, fmt.Errorf("line %d: a second certificate with the serial number %s", n, formatSerial(r.serial))
			}
			l.record = r
			x.bySerial[formatSerial(r.serial)] = r
		}
		x.lines = append(x.lines, l)
	}
	return x, nil
}

// parseRecord reads a line.
func parseRecord(text string) (*record, error) {
	f := splitFields(text)
	if len(f) != 6 {
		return nil, fmt.Errorf("%d fields between tabs, want 6", len(f))
	}
	r := &record{file: f[4], subject: f[5]}
	if len(f[0]) != 1 || !slices.Contains([]status{statusValid, statusRevoked, statusExpired}, status(f[0][0])) {
		return nil, fmt.Errorf("status %q is not V, R or E", f[0])
	}
	r.status = status(f[0][0])
	var err error
	if r.expires, err = parseTime(f[1]); err != nil {
		return nil, fmt.Errorf("time of expiry: %w", err)
	}
	if r.status == statusRevoked {
		date, reason, _ := strings.Cut(f[2], ",")
		if r.revoked, err = parseTime(date); err != nil {
			return nil, fmt.Errorf("time of revocation: %w", err)
		}
		r.reason = reason
	} else if f[2] != "" {
		return nil, fmt.Errorf("status %s with a time of revocation", f[0])
	}
	if r.serial, err = parseSerial(f[3]); err != nil {
		return nil, err
	}
	return r, nil
}

// splitFields splits at tabs. A backslash takes the meaning from the tab that
// follows it; otherwise it is a character like others.
func splitFields(text string) []string {
	var fields []string
	start := 0
	for i := range len(text) {
		if text[i] == '\t' && (i == 0 || text[i-1] != '\\') {
			fields = append(fields, text[start:i])
			start = i + 1
		}
	}
	return append(fields, text[start:])
}

// Layouts of times.
const (
	utcTime         = "060102150405Z"
	generalizedTime = "20060102150405Z"
)

var errTime = errors.New("not a time like YYMMDDHHMMSSZ")

// parseTime reads a time of the index. Two digits of the year mean 1950 to 2049
// (RFC 5280 section 4.1.2.5.1).
func parseTime(s string) (time.Time, error) {
	if len(s) == len(generalizedTime) {
		t, err := time.Parse(generalizedTime, s)
		if err != nil {
			return time.Time{}, errTime
		}
		return t, nil
	}
	if len(s) != len(utcTime) {
		return time.Time{}, errTime
	}
	century := "20"
	if s[0] >= '5' {
		century = "19"
	}
	t, err := time.Parse(generalizedTime, century+s)
	if err != nil {
		return time.Time{}, errTime
	}
	return t, nil
}

// formatTime is the inverse of parseTime.
func formatTime(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); 1950 <= y && y < 2050 {
		return t.Format(utcTime)
	}
	return t.Format(generalizedTime)
}

// maxSerialDigits bounds serial numbers: RFC 5280 section 4.1.2.2 allows 20
// octets.
const maxSerialDigits = 40

// parseSerial reads a serial number, hexadecimal, positive.
func parseSerial(s string) (*big.Int, error) {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok || n.Sign() < 0 || len(s) > maxSerialDigits || strings.ContainsAny(s, "+_") {
		return nil, fmt.Errorf("serial number %s is not one of at most %d hexadecimal digits", strconv.Quote(s), maxSerialDigits)
	}
	return n, nil
}

// formatSerial writes a serial number as openssl does: upper case, an even
// number of digits.
func formatSerial(n *big.Int) string {
	s := strings.ToUpper(n.Text(16))
	if len(s)%2 != 0 {
		s = "0" + s
	}
	return s
}

// append appends the line of a record, without newline.
func (r *record) append(b []byte) []byte {
	revoked := ""
	if r.status == statusRevoked {
		revoked = formatTime(r.revoked)
		if r.reason != "" {
			revoked += "," + r.reason
		}
	}
	return fmt.Appendf(b, "%c\t%s\t%s\t%s\t%s\t%s", r.status, formatTime(r.expires), revoked, formatSerial(r.serial), r.file, r.subject)
}

// append appends the whole index.
func (x *index) append(b []byte) []byte {
	for _, l := range x.lines {
		if l.record != nil && l.text == "" {
			b = l.record.append(b)
		} else {
			b = append(b, l.text...)
		}
		b = append(b, '\n')
	}
	return b
}

// add appends a record.
func (x *index) add(r *record) {
	x.lines = append(x.lines, indexLine{record: r})
	x.bySerial[formatSerial(r.serial)] = r
}

// find returns the record with a serial number, or nil.
func (x *index) find(serial *big.Int) *record { return x.bySerial[formatSerial(serial)] }

// touch marks the line of r as changed.
func (x *index) touch(r *record) {
	for i := range x.lines {
		if x.lines[i].record == r {
			x.lines[i].text = ""
		}
	}
}

// records returns all records, in the order of the file.
func (x *index) records() []*record {
	var rs []*record
	for _, l := range x.lines {
		if l.record != nil {
			rs = append(rs, l.record)
		}
	}
	return rs
}

// valid reports whether the certificate of r is neither revoked nor expired.
func (r *record) valid(now time.Time) bool {
	return r.status == statusValid && !now.After(r.expires)
}

// commonName returns the CN of the subject, whose one-line form separates its
// parts by slashes that may also be in a value. A certificate's own file knows
// better.
func (r *record) commonName() string {
	const mark = "/CN="
	i := strings.LastIndex(r.subject, mark)
	if i < 0 {
		return ""
	}
	cn := r.subject[i+len(mark):]
	// The next part, if any, starts with a slash, a word and an equals sign.
	for j := range len(cn) {
		if cn[j] == '/' {
			if word, _, ok := strings.Cut(cn[j+1:], "="); ok && isWord(word) {
				return cn[:j]
			}
		}
	}
	return cn
}

func isWord(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' {
			return false
		}
	}
	return s != ""
}
