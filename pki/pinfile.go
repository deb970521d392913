package pki

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Pin says that a VPN address belongs to a key.
type Pin struct {
	Addr  netip.Addr
	Key   KeyID
	Since time.Time // when the key was first seen at the address; whole seconds
	Name  string    // of the peer at that time, for people

	// Issued is when the certificate begins to be valid that names the address;
	// zero: it names none. Whole seconds.
	Issued time.Time
}

// Limits of the pin file.
const (
	maxPins       = 16384   // pins; more are refused
	maxPinsPerKey = 64      // pins of one key, so that one peer cannot claim a whole network
	maxPinFile    = 8 << 20 // bytes
)

// pinHeader starts a new pin file.
const pinHeader = `# Keys of peers whose certificates name no VPN address, as seen first, and of
# peers whose certificates do. One line per address:
#
#	address  SHA-256 of the public key  first seen  name  certificate valid from
#
# The last is there if the certificate names the address: then only a newer one
# that names it, too, takes it to another key.
#
# To accept another key for an address, run "campagnol forget ADDRESS".
`

// A pinLine is a line of the pin file. Lines that hold no pin are kept as they
// are: comments, and what somebody broke and may want to repair.
type pinLine struct {
	text string // without the newline; only used if pin is nil
	pin  *Pin
}

// parsePins parses the lines of a pin file. Errors are about single lines,
// which are kept as text; everything else is used.
func parsePins(data []byte) (lines []pinLine, errs []error) {
	seen := map[netip.Addr]bool{}
	n := 0
	for text := range bytes.Lines(data) {
		n++
		l := pinLine{text: strings.TrimRight(string(text), "\r\n")}
		fields := strings.TrimSpace(l.text)
		if fields != "" && !strings.HasPrefix(fields, "#") {
			pin, err := parsePin(fields)
			switch {
			case err != nil:
			case seen[pin.Addr]:
				err = fmt.Errorf("%v is pinned by an earlier line already", pin.Addr)
			case len(seen) == maxPins:
				err = fmt.Errorf("more than %d pins", maxPins)
			default:
				l.pin = &pin
				seen[pin.Addr] = true
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			}
		}
		lines = append(lines, l)
	}
	return lines, errs
}

var errPin = errors.New(`want "address key date name date"`)

// parsePin parses a line, without spaces at its ends. The name, in Go's quotes, and
// the last date may be missing.
func parsePin(line string) (Pin, error) {
	var field [3]string
	rest := line
	for i := range field {
		end := strings.IndexAny(rest, " \t")
		if end < 0 {
			end = len(rest)
		}
		field[i], rest = rest[:end], strings.TrimLeft(rest[end:], " \t")
	}
	addr, err := netip.ParseAddr(field[0])
	if err != nil || addr.Zone() != "" {
		return Pin{}, errPin
	}
	p := Pin{Addr: addr.Unmap()}
	if err := p.Key.UnmarshalText([]byte(field[1])); err != nil {
		return Pin{}, fmt.Errorf("%w: %w", errPin, err)
	}
	if p.Since, err = parsePinTime(field[2]); err != nil || rest == "" {
		return p, err
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return Pin{}, fmt.Errorf("%w: the name is not in quotes", errPin)
	}
	name, err := strconv.Unquote(quoted)
	if err != nil {
		return Pin{}, fmt.Errorf("%w: the name is not in quotes", errPin)
	}
	p.Name = printable(name)
	if rest = strings.TrimLeft(rest[len(quoted):], " \t"); rest != "" {
		p.Issued, err = parsePinTime(rest)
	}
	return p, err
}

// parsePinTime parses a date of a line.
func parsePinTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %q is not a date like 2006-01-02T15:04:05Z", errPin, printable(s))
	}
	t = t.UTC().Truncate(time.Second)
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}, errPin // the zone moved it out of what can be written again
	}
	return t, nil
}

// Append appends the line of a pin, with its newline.
func (p Pin) Append(b []byte) []byte {
	b = p.Addr.AppendTo(b)
	b = append(b, ' ')
	key, _ := p.Key.MarshalText() // never fails
	b = append(b, key...)
	b = append(b, ' ')
	b = p.Since.UTC().AppendFormat(b, time.RFC3339)
	b = append(b, ' ')
	b = strconv.AppendQuote(b, p.Name)
	if !p.Issued.IsZero() {
		b = append(b, ' ')
		b = p.Issued.UTC().AppendFormat(b, time.RFC3339)
	}
	return append(b, '\n')
}

// appendPins appends a whole file.
func appendPins(b []byte, lines []pinLine) []byte {
	for _, l := range lines {
		if l.pin != nil {
			b = l.pin.Append(b)
			continue
		}
		b = append(b, l.text...)
		b = append(b, '\n')
	}
	return b
}
