package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Ports of relays (RFC 7065 section 3.2).
const (
	DefaultPort    = 3478
	DefaultTLSPort = 5349
)

// A URI says where a relay is and how to talk with it: what a "turn:" or "turns:" URI
// says (RFC 7065).
type URI struct {
	Host string // a name, or an address without brackets
	Port uint16
	TCP  bool
	TLS  bool // over TCP
}

// String returns the URI, with what is not the default.
func (u URI) String() string {
	s, port, transport := "turn:", uint16(DefaultPort), ""
	switch {
	case u.TLS:
		s, port = "turns:", DefaultTLSPort
	case u.TCP:
		transport = "?transport=tcp"
	}
	if strings.Contains(u.Host, ":") {
		s += "[" + u.Host + "]"
	} else {
		s += u.Host
	}
	if u.Port != port {
		s += ":" + strconv.Itoa(int(u.Port))
	}
	return s + transport
}

// ParseURI reads a URI such as turn:relay.example.org, turn:192.0.2.1:3478?transport=tcp
// or turns:[2001:db8::1]:443. Without a transport it is UDP for turn, and TCP for turns.
func ParseURI(s string) (URI, error) {
	u, err := parseURI(s)
	if err != nil {
		return URI{}, &URIError{Text: s, Err: err}
	}
	return u, nil
}

// A URIError says what is wrong with the URI of a relay.
type URIError struct {
	Text string
	Err  error
}

func (e *URIError) Error() string { return fmt.Sprintf("turn: %q: %v", e.Text, e.Err) }

// Unwrap returns what is wrong.
func (e *URIError) Unwrap() error { return e.Err }

// Hint shows how it is done.
func (e *URIError) Hint() string {
	return "a relay is written turn:HOST[:PORT][?transport=udp|tcp], or turns:HOST[:PORT] for TLS"
}

func parseURI(s string) (u URI, err error) {
	scheme, rest, ok := strings.Cut(s, ":")
	u.Port = DefaultPort
	switch strings.ToLower(scheme) {
	case "turn":
	case "turns":
		u.TLS, u.TCP, u.Port = true, true, DefaultTLSPort
	default:
		ok = false
	}
	if !ok {
		return u, errors.New(`does not begin with "turn:" or "turns:"`)
	}
	if strings.HasPrefix(rest, "//") {
		return u, errors.New(`there is no "//" in such a URI`)
	}
	rest, query, has := strings.Cut(rest, "?")
	if has {
		if err := u.setTransport(query); err != nil {
			return u, err
		}
	}
	return u, u.setPlace(rest)
}

// setTransport takes what is behind the question mark.
func (u *URI) setTransport(query string) error {
	name, value, _ := strings.Cut(query, "=")
	if name != "transport" {
		return fmt.Errorf("%q is not known, only transport", name)
	}
	switch strings.ToLower(value) {
	case "tcp":
		u.TCP = true
	case "udp":
		if u.TLS {
			return errors.New("turns with UDP would be DTLS to the relay, which is not supported: what is relayed is encrypted anyway")
		}
	default:
		return fmt.Errorf("%q is not a transport: udp, or tcp", value)
	}
	return nil
}

// setPlace takes host and port.
func (u *URI) setPlace(s string) error {
	host, port, has := s, "", false
	if in, ok := strings.CutPrefix(s, "["); ok {
		var tail string
		if host, tail, ok = strings.Cut(in, "]"); !ok {
			return errors.New(`a "[" without "]"`)
		}
		a, err := netip.ParseAddr(host)
		if err != nil || a.Is4() || a.Zone() != "" {
			return fmt.Errorf("%q is not an IPv6 address", host)
		}
		host = a.String()
		if port, has = strings.CutPrefix(tail, ":"); !has && tail != "" {
			return fmt.Errorf("%q behind the address", tail)
		}
	} else {
		host, port, has = strings.Cut(s, ":")
		if strings.Contains(port, ":") {
			return errors.New("an IPv6 address has to be in brackets")
		}
		if err := checkHost(host); err != nil {
			return err
		}
	}
	u.Host = host
	if has {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return fmt.Errorf("%q is not a port: a number from 1 to 65535", port)
		}
		u.Port = uint16(n)
	}
	return nil
}

// checkHost refuses what is neither a name nor an IPv4 address.
func checkHost(host string) error {
	if host == "" {
		return errors.New("no host")
	}
	if len(host) > 253 {
		return errors.New("the host's name is too long")
	}
	for _, c := range []byte(host) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return fmt.Errorf("%q is not a host", host)
		}
	}
	return nil
}
