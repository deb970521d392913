package conf

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A TURN is a relay of the configuration's own (RFC 8656).
type TURN struct {
	Server              // where it is
	TCP            bool // reach it over TCP, not UDP
	TLS            bool // reach it over TLS, which is over TCP
	User, Password string
}

// The ports of TURN servers (RFC 7065 section 3.2), if none is given.
const (
	turnPort  = STUNPort
	turnsPort = 5349
)

const (
	maxTURN     = 8   // relays of the configuration's own
	maxTURNUser = 508 // bytes (RFC 8489 section 14.3)
	maxSecret   = 763 // bytes; no server takes a longer password
)

// URL returns the relay as it is written in the file, with port and transport.
func (t TURN) URL() string {
	scheme, transport := "turn", "udp"
	if t.TLS {
		scheme = "turns"
	}
	if t.TCP {
		transport = "tcp"
	}
	return scheme + ":" + t.Server.String() + "?transport=" + transport
}

// String returns the relay for people, without the password.
func (t TURN) String() string { return t.URL() + " " + t.User }

// GoString is String, so that no way to print a TURN shows the password.
func (t TURN) GoString() string { return t.String() }

// turnHint says how a relay is written.
const turnHint = `write the server, a user and a password, such as turn:turn.example.org:3478 alice secret, turn:192.0.2.7?transport=tcp alice secret or turns:turn.example.org alice secret; all of it in quotes if there is a # or ; in it`

// relay stores whether we relay for others, or a relay to use.
func (a *assignment) relay(c *Client) {
	if yes, ok := parseBool(a.text); ok {
		if d := a.decoder; a.value != nil && d.relayFor != nil && c.RelayFor != yes {
			a.warn(fmt.Sprintf("contradicts line %d, and counts", d.relayFor.KeyPos.Line), "take one of the two lines out")
		}
		c.RelayFor, a.decoder.relayFor = yes, a.value
		return
	}
	t, wrong := parseTURN(a.text)
	switch {
	case wrong != "":
		a.failWith(wrong, turnHint)
		return
	case len(c.TURN) == maxTURN:
		a.failWith("is one too many", fmt.Sprintf("at most %d TURN servers are used, beside those of the rendezvous servers", maxTURN))
		return
	}
	a.secret()
	for _, other := range c.TURN {
		if other.URL() == t.URL() && other.User == t.User {
			a.warn("names the same server and user again, and is not used", "take one of the lines out")
			return
		}
	}
	c.TURN = append(c.TURN, t)
}

// parseTURN reads turn:HOST[:PORT][?transport=udp|tcp] USER PASSWORD, or the same with
// turns. wrong says what is the matter, and never repeats the password.
func parseTURN(text string) (t TURN, wrong string) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return t, "is neither yes, nor no, nor a TURN server"
	}
	uri, query, asked := strings.Cut(words[0], "?")
	scheme, host, _ := strings.Cut(uri, ":")
	switch strings.ToLower(scheme) {
	case "turn":
		t.Port = turnPort
	case "turns":
		t.Port, t.TLS, t.TCP = turnsPort, true, true
	default:
		return t, "is neither yes, nor no, nor a TURN server"
	}
	switch {
	case len(words) < 3:
		return t, "has no user and password behind the server"
	case len(words) > 3:
		return t, "has more than a server, a user and a password"
	}
	switch transport := strings.ToLower(query); {
	case !asked:
	case transport == "transport=tcp":
		t.TCP = true
	case transport == "transport=udp" && t.TLS:
		return t, "asks for TLS over UDP, which is not spoken here"
	case transport != "transport=udp":
		return t, "has something other than transport=udp or transport=tcp behind the ?"
	}
	at, ok := turnServer(host, t.Port)
	if !ok {
		return t, "does not name a host, or a host and a port"
	}
	t.Server, t.User, t.Password = at, words[1], words[2]
	if len(t.User) > maxTURNUser || len(t.Password) > maxSecret {
		return t, "has a user or a password that is too long"
	}
	return t, ""
}

// turnServer reads HOST or HOST:PORT; an IPv6 address is in brackets.
func turnServer(text string, port uint16) (Server, bool) {
	inner, bracketed := strings.CutPrefix(text, "[")
	if !bracketed {
		if strings.Count(text, ":") > 1 {
			return Server{}, false
		}
		return ParseServer(text, port)
	}
	if inner, ok := strings.CutSuffix(inner, "]"); ok {
		ip, err := netip.ParseAddr(inner)
		return Server{ip.String(), port}, err == nil && ip.Is6() && ip.Zone() == ""
	}
	return ParseServer(text, port)
}

// proxyURL stores the proxy for what goes over TCP.
func (a *assignment) proxyURL(dst **url.URL) {
	u, ok := ParseProxy(a.text)
	if !ok {
		a.fail("is not the URL of an HTTP proxy")
		return
	}
	if u.User != nil {
		a.secret()
	}
	*dst = u
}

// ParseProxy reads the URL of an HTTP proxy, http://[USER:PASSWORD@]HOST:PORT, which a /
// may follow, and reports whether it is one.
func ParseProxy(text string) (*url.URL, bool) {
	u, err := url.Parse(text) // its error repeats the password
	if err != nil || u.Scheme != "http" || u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return nil, false
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() != "" || err != nil && !isHostName(host) {
		return nil, false
	}
	// "user:pass@host" without a port parses as a port that is no number, and fails.
	u.Path = ""
	return u, true
}

// connecting checks that the keys about connections of other members fit together. Who
// has switched them off by a 0 knows it.
func (d *decoder) connecting() {
	s := d.file.Section(sectionNetwork)
	if len(d.client.ExternalTCP) == 0 || s.Setting("tcp_port") != nil {
		return
	}
	last := s.Setting("external_tcp").Last()
	d.report.add(Problem{
		Pos: last.Pos, Section: sectionNetwork, Key: "external_tcp",
		Text: "external_tcp has no effect, since no connections are taken",
		Hint: "set tcp_port to the port of this host that is reached there, or take external_tcp out",
	})
}

// relaying checks that the keys about relays do not contradict each other.
func (d *decoder) relaying() {
	c := d.client
	if !c.RelayNever {
		return
	}
	s := d.file.Section(sectionNetwork)
	never := s.Setting("relay_never").Last()
	if c.RelayOnly {
		only := s.Setting("relay_only").Last()
		first, second, later := only, never, "relay_never"
		if never.KeyPos.Line < only.KeyPos.Line {
			first, second, later = never, only, "relay_only"
		}
		d.refuse(Problem{
			Pos: second.Pos, Section: sectionNetwork, Key: later,
			Text: fmt.Sprintf("relay_only in line %d and relay_never in line %d contradict each other: no peer could be reached", only.KeyPos.Line, never.KeyPos.Line),
			Hint: fmt.Sprintf("take line %d or line %d out", first.KeyPos.Line, second.KeyPos.Line),
		})
	}
	if len(c.TURN) > 0 {
		d.report.add(Problem{
			Pos: never.Pos, Section: sectionNetwork, Key: "relay_never",
			Text: "relay_never keeps the TURN servers of this file from being used",
			Hint: "take relay_never or the lines with relay = turn: out",
		})
	}
}
