package probe

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// names are what the protocol calls its messages, by the first byte.
var names = [...]string{
	"HELLO", "PING", "ASK", "PONG", "OK", "NOK", "FWD", "ANS", "REJ", "PUNCH",
	"KEEPALIVE", "BYE", "RECONNECT", "CLOSE",
}

// messageSize is the length of a message.
const messageSize = 11

// A scene is what the names in datagrams stand for.
type scene struct {
	vpn  [4]byte // v0; v1 is the next address
	ends map[End]netip.AddrPort
}

// maxDatagram is the largest datagram that compile makes.
const maxDatagram = 1 << 16

// compile turns the text of a datagram into its bytes. The text consists of
// words: hexadecimal digits, v1 to v9 for VPN addresses, @A for the endpoint of
// A, and FF*20 for twenty bytes of FF.
func (s scene) compile(text string) ([]byte, error) {
	b := []byte{}
	for word := range strings.FieldsSeq(text) {
		var err error
		switch {
		case word[0] == '@':
			b, err = s.appendEndpoint(b, End(word[1:]))
		case word[0] == 'v' && len(word) == 2 && word[1] >= '1' && word[1] <= '9':
			b = append(b, s.vpn[0], s.vpn[1], s.vpn[2], s.vpn[3]+word[1]-'0')
		default:
			b, err = appendHex(b, word)
		}
		if err != nil {
			return nil, fmt.Errorf("probe: datagram %q: %w", text, err)
		}
		if len(b) > maxDatagram {
			return nil, fmt.Errorf("probe: datagram %q has more than %d bytes", text, maxDatagram)
		}
	}
	return b, nil
}

// appendEndpoint appends port and address of e.
func (s scene) appendEndpoint(b []byte, e End) ([]byte, error) {
	a, ok := s.ends[e]
	if !ok || !a.Addr().Is4() {
		return nil, fmt.Errorf("there is no endpoint %q", string(e))
	}
	ip := a.Addr().As4()
	b = append(b, byte(a.Port()>>8), byte(a.Port()))
	return append(b, ip[:]...), nil
}

// appendHex appends the bytes that word stands for, once or several times.
func appendHex(b []byte, word string) ([]byte, error) {
	digits, times, repeated := strings.Cut(word, "*")
	n := 1
	if repeated {
		var err error
		if n, err = strconv.Atoi(times); err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a number of times", times)
		}
	}
	unit, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a name nor hexadecimal: %w", word, err)
	}
	if n > maxDatagram || len(unit)*n > maxDatagram {
		return nil, fmt.Errorf("%q is too long", word)
	}
	for range n {
		b = append(b, unit...)
	}
	return b, nil
}

// describe shows a datagram to people: the name of the message, and its fields.
func describe(b []byte) string {
	switch {
	case len(b) != messageSize:
		return fmt.Sprintf("%d bytes %s", len(b), abbreviate(b))
	case int(b[0]) < len(names):
		return fmt.Sprintf("%s (%x %x %x %x)", names[b[0]], b[:1], b[1:3], b[3:7], b[7:])
	}
	return fmt.Sprintf("type %d (%x %x %x %x)", b[0], b[:1], b[1:3], b[3:7], b[7:])
}

// abbreviate shows the beginning of b.
func abbreviate(b []byte) string {
	const most = 16
	if len(b) > most {
		return fmt.Sprintf("(%x…)", b[:most])
	}
	return fmt.Sprintf("(%x)", b)
}

// describeAll shows what an endpoint received.
func describeAll(ds [][]byte) string {
	if len(ds) == 0 {
		return "silence"
	}
	var s []string
	for _, b := range ds {
		s = append(s, describe(b))
	}
	return strings.Join(s, ", ")
}
