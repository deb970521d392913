package conf

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
)

// An assignment is a value on its way into a field of the Client. Its methods
// are one per kind of value. They store it, or report why they do not.
type assignment struct {
	decoder *decoder
	key     *Key
	value   *Value // nil for a default
	text    string // expanded
}

// fail refuses the value. what follows the key and the value in the message.
func (a *assignment) fail(what string) { a.failWith(what, a.key.hint()) }

func (a *assignment) failWith(what, hint string) {
	p := Problem{
		Section: a.key.Section, Key: a.key.Name,
		Text: fmt.Sprintf("%s %s %s", a.key.Name, quote(a.section().Shown(a.key.Name, a.text)), what),
		Hint: hint,
	}
	if v := a.value; v != nil {
		p.Pos = v.Pos
		if v.comment != (Pos{}) {
			// Then the rest of the line is what is wrong.
			a.decoder.seen[v] = true
			p.Hint = fmt.Sprintf("%q starts no comment behind an unquoted value; %s",
				v.Raw[v.commentAt], commentHint(a.section(), a.key.Name, v))
		}
	}
	a.decoder.refuse(p)
}

// warn reports something odd about a value that is used nevertheless.
func (a *assignment) warn(what, hint string) {
	p := Problem{
		Section: a.key.Section, Key: a.key.Name,
		Text: fmt.Sprintf("%s %s %s", a.key.Name, quote(a.section().Shown(a.key.Name, a.text)), what),
		Hint: hint,
	}
	if a.value != nil {
		p.Pos = a.value.Pos
	}
	a.decoder.report.add(p)
}

// rest warns about the text behind the part of the value that was taken.
func (a *assignment) rest(taken any, rest string) {
	if skipSpace(rest) == len(rest) {
		return
	}
	hint := a.key.hint()
	if v := a.value; v != nil && v.comment != (Pos{}) {
		a.decoder.seen[v] = true
		hint = commentHint(a.section(), a.key.Name, v)
	}
	a.warn(fmt.Sprintf("is taken as %v; %s is ignored", taken, quote(rest[skipSpace(rest):])), hint)
}

// path stores the name of a file that must have one.
func (a *assignment) path(dst *string) {
	if a.text == "" {
		a.fail("is empty")
		return
	}
	*dst = a.text
}

// host stores an address or a name. Addresses are stored in the usual form.
func (a *assignment) host(dst *string) {
	if ip, rest, ok := parseAddr(a.text); ok {
		a.rest(ip, rest)
		*dst = ip.String()
		return
	}
	if ip, err := netip.ParseAddr(a.text); err == nil {
		*dst = ip.String()
		return
	}
	if !isHostName(a.text) {
		a.fail("is neither an address nor a host name")
		return
	}
	*dst = a.text
}

// port stores a port and reports whether it is one.
func (a *assignment) port(dst *uint16) bool {
	v, rest, ok := parseUint(a.text, math.MaxUint16)
	if !ok {
		a.fail("is not a port number")
		return false
	}
	a.rest(v, rest)
	*dst = uint16(v)
	return true
}

// serverPort stores a port that datagrams are sent to.
func (a *assignment) serverPort(dst *uint16) {
	if a.port(dst) && *dst == 0 {
		a.warn("is a port that nobody can listen on", a.key.hint())
	}
}

// integer stores a whole number that is at least Min.
func (a *assignment) integer(dst *int) {
	v, rest, ok := parseInt(a.text)
	switch {
	case !ok:
		a.fail("is not a whole number, or too big")
		return
	case v < a.key.Min:
		a.fail("is too small")
		return
	}
	a.rest(v, rest)
	*dst = v
}

// count stores a whole number that is at least Min and may have more than 32 bits.
func (a *assignment) count(dst *uint64) {
	v, rest, ok := parseUint(a.text, math.MaxInt64)
	switch {
	case !ok:
		a.fail("is not a whole number, or too big")
		return
	case v < uint64(a.key.Min):
		a.fail("is too small")
		return
	}
	a.rest(v, rest)
	*dst = v
}

// maxQueues is more than any machine has use for.
const maxQueues = 64

// queues stores a number of queues.
func (a *assignment) queues(dst *int) { a.bounded(dst, maxQueues) }

// The largest budget for a way through a hard NAT: more helps nobody, and annoys NATs.
const (
	maxHardSockets = 256
	maxHardProbes  = 4096
)

// bounded stores a whole number that is at most max.
func (a *assignment) bounded(dst *int, max int) {
	var v int
	if a.integer(&v); v > max {
		a.failWith("is too big", fmt.Sprintf("at most %d", max))
		return
	}
	*dst = v
}

// controlGroup stores a group, which is of use with a socket only.
func (a *assignment) controlGroup(c *Client) {
	if c.ControlSocket == NoControlSocket {
		a.warn("has no effect, because control_socket is "+NoControlSocket, "take one of the two lines out")
		return
	}
	a.path(&c.ControlGroup)
}

// listen stores where to listen, over TCP.
func (a *assignment) listen(dst *netip.AddrPort) {
	at, err := netip.ParseAddrPort(a.text)
	if err != nil || at.Port() == 0 {
		a.fail("is not an address with a port")
		return
	}
	*dst = at
}

// maxMTU is the greatest MTU that an interface can have: the greatest length of
// an IP packet.
const maxMTU = 65535

// mtu stores the MTU of the interface.
func (a *assignment) mtu(c *Client) {
	if a.value == nil && c.Mode == ModeTAP {
		c.TunMTU = tapMTU
		return
	}
	if a.integer(&c.TunMTU); c.TunMTU > maxMTU {
		a.warn("is more than an interface can have", fmt.Sprintf("the greatest MTU is %d", maxMTU))
	}
}

// maxDevice is the length of the longest name of an interface, in bytes.
const maxDevice = 15

// device stores the name of an interface, as much of it as there is room for.
func (a *assignment) device(dst *string) {
	*dst = a.text
	if len(a.text) > maxDevice {
		*dst = a.text[:maxDevice]
		a.warn("is too long and cut to "+quote(*dst),
			fmt.Sprintf("the name of an interface has at most %d bytes", maxDevice))
	}
}

// seconds stores a whole number of seconds.
func (a *assignment) seconds(dst *time.Duration) {
	var v int
	a.integer(&v)
	*dst = time.Duration(v) * time.Second
}

// keepalive stores a number of seconds that, other than the rest, may have all
// of 32 bits.
func (a *assignment) keepalive(dst *time.Duration) {
	v, rest, ok := parseUint(a.text, math.MaxUint32)
	switch {
	case !ok:
		a.fail("is not a whole number, or too big")
		return
	case v < uint64(a.key.Min):
		a.fail("is too small")
		return
	}
	a.rest(v, rest)
	*dst = time.Duration(v) * time.Second
}

// rate stores a rate, given in kB/s, in bytes per second. Not a number and
// infinity mean that there is no limit; a value that expands to nothing is
// ignored.
func (a *assignment) rate(dst *float64) {
	if a.text == "" {
		return
	}
	v, rest, ok := parseFloat(a.text)
	switch {
	case !ok:
		a.fail("is not a number, or out of range")
		return
	case v < 0:
		a.fail("is negative")
		return
	}
	a.rest(v, rest)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		a.warn("means no limit", "take the line out, or write 0, for no limit")
		v = 0
	}
	*dst = math.Abs(v) * 1000 // no negative zero
}

// boolean stores yes or no.
func (a *assignment) boolean(dst *bool) {
	v, ok := parseBool(a.text)
	if !ok {
		a.fail("is not yes or no")
		v = a.key.Default == "yes"
	}
	*dst = v
}

// An Auto is yes, no, or what suits.
type Auto uint8

// The values of an Auto.
const (
	AutoAuto Auto = iota
	AutoYes
	AutoNo
)

// auto stores auto, yes or no.
func (a *assignment) auto(dst *Auto) {
	yes, ok := parseBool(a.text)
	switch {
	case strings.EqualFold(a.text, "auto"):
		*dst = AutoAuto
	case !ok:
		a.fail("is not auto, yes or no")
	case yes:
		*dst = AutoYes
	default:
		*dst = AutoNo
	}
}

// An OCSP says whether responders are asked about the certificates of peers.
type OCSP uint8

// The values of an OCSP.
const (
	OCSPNo      OCSP = iota
	OCSPYes          // what is revoked is refused
	OCSPRequire      // what has no good answer is refused
)

// ocsp stores no, yes or require.
func (a *assignment) ocsp(dst *OCSP) {
	yes, ok := parseBool(a.text)
	switch {
	case strings.EqualFold(a.text, "require"):
		*dst = OCSPRequire
	case !ok:
		// What was meant is not to be weakened by a slip of the pen.
		a.fail("is not no, yes or require")
	case yes:
		*dst = OCSPYes
	default:
		*dst = OCSPNo
	}
}

// lenientBoolean stores yes or no, and yes for anything else.
func (a *assignment) lenientBoolean(dst *bool) {
	v, ok := parseBool(a.text)
	if !ok {
		a.warn("is not yes or no and taken as yes", a.key.hint())
		v = true
	}
	*dst = v
}

// address stores an IPv4 address.
func (a *assignment) address(dst *netip.Addr) {
	ip, rest, ok := parseAddr(a.text)
	if !ok {
		a.fail("is not an IPv4 address")
		return
	}
	a.rest(ip, rest)
	*dst = ip
}

// network stores the network of the VPN, of which only the length counts.
func (a *assignment) network(c *Client) {
	bits, wrong := prefixBits(a.text)
	if wrong != "" {
		a.fail(string(wrong))
		return
	}
	c.NetworkText = a.text
	if !c.VPNIP.IsValid() {
		return // has been reported
	}
	c.Network = netip.PrefixFrom(c.VPNIP, bits).Masked()

	before, _, _ := strings.Cut(a.text, "/")
	written, rest, ok := parseAddr(before)
	if !ok || rest != "" {
		a.warn("does not start with an address", a.key.hint())
	} else if !c.Network.Contains(written) {
		a.warn(fmt.Sprintf("does not contain vpn_ip %s; the network in use is %s", c.VPNIP, c.Network),
			"give vpn_ip an address of the network, or write "+c.Network.String())
	}
	if bits <= 30 && c.VPNIP == c.Broadcast() {
		a.warn(fmt.Sprintf("has vpn_ip %s as its broadcast address, which means all peers", c.VPNIP),
			"give vpn_ip another address of the network")
	}
}

// override stores the endpoint to publish. Host and port are separated by a
// space; the port keeps its low 16 bits, whatever its size.
func (a *assignment) override(c *Client) {
	if !c.UseLocalAddr {
		a.warn("has no effect, because use_local_addr is no", "take one of the two lines out")
		return
	}
	host, number, ok := strings.Cut(a.text, " ")
	if !ok {
		a.fail("has no space between address and port")
		return
	}
	ip, tail, isAddr := parseAddr(host)
	if !isAddr && !isHostName(host) {
		a.fail("does not start with an address or a host name")
		return
	}
	port, exact, rest, ok := parsePort16(number)
	if !ok {
		a.fail("has no port number")
		return
	}
	a.rest(fmt.Sprintf("%s with port %d", strings.TrimSuffix(host, tail), port), rest)
	switch {
	case !exact:
		a.warn(fmt.Sprintf("has a number that is no port and is taken as port %d", port),
			"a port is a whole number from 1 to 65535")
	case port == 0:
		a.warn("has port 0, which publishes no local address at all",
			"write the port that is forwarded to this client, or use_local_addr = no")
	}
	c.OverrideLocalAddr = netip.AddrPortFrom(ip, port)
	if !isAddr {
		c.OverrideLocalHost = host
	}
}

// parsePort16 is the %hu of scanf: any number is taken modulo 2^16. exact says
// whether that changed it.
func parsePort16(s string) (port uint16, exact bool, rest string, ok bool) {
	m, negative, end, fits := parseDecimal(s)
	if end == 0 {
		return 0, false, "", false
	}
	if !fits {
		m = math.MaxUint64
	} else if negative {
		m = -m
	}
	return uint16(m), fits && m <= math.MaxUint16, s[end:], true
}
