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
#	address  SHA-256 of the public key  first seen  name
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

var errPin = errors.New(`want "address key date name"`)

// parsePin parses a line, without spaces at its ends. The name is what follows
// the third field, in Go's quotes, and may be missing.
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
	since, err := time.Parse(time.RFC3339, field[2])
	if err != nil {
		return Pin{}, fmt.Errorf("%w: %q is not a date like 2006-01-02T15:04:05Z", errPin, printable(field[2]))
	}
	p.Since = since.UTC().Truncate(time.Second)
	if y := p.Since.Year(); y < 0 || y > 9999 {
		return Pin{}, errPin // the zone moved it out of what can be written again
	}
	if rest != "" {
		name, err := strconv.Unquote(rest)
		if err != nil {
			return Pin{}, fmt.Errorf("%w: the name is not in quotes", errPin)
		}
		p.Name = printable(name)
	}
	return p, nil
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
