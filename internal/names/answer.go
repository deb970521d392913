package names

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const (
	// ttl is how long an answer is good, in seconds. Members come and go.
	ttl = 30

	// maxUDP is the size of the largest answer in a datagram that needs no fragments
	// anywhere (RFC 9715 section 3.1).
	maxUDP = 1232
)

// Answer returns the answer to a query; nil: it gets none. It fits a datagram, if it is
// to go in one.
func (z *Zone) Answer(q *dns.Msg, udp bool) *dns.Msg {
	if q.Response {
		return nil
	}
	m := new(dns.Msg)
	m.SetReply(q)
	size := dns.MinMsgSize
	opt := q.IsEdns0()
	if opt != nil {
		m.SetEdns0(maxUDP, false)
		size = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
	}
	switch {
	case opt != nil && opt.Version() != 0:
		m.Rcode = dns.RcodeBadVers
	case q.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(q.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	case q.Question[0].Qclass != dns.ClassINET:
		m.Rcode = dns.RcodeRefused
	default:
		z.fill(m, q.Question[0])
	}
	if m.Rcode == dns.RcodeRefused {
		m.Question = m.Question[:min(len(m.Question), 1)]
	}
	if udp {
		m.Truncate(size)
	}
	return m
}

// Knows reports whether there is an answer to a query already, so that nobody has to be
// asked for it.
func (z *Zone) Knows(q *dns.Msg) bool {
	m := z.Answer(q, false)
	return m == nil || m.Rcode != dns.RcodeNameError
}

// fill answers a question.
func (z *Zone) fill(m *dns.Msg, q dns.Question) {
	name := dns.CanonicalName(q.Name)
	if a, ok := reverse(name); ok && z.contains(a) {
		z.fillReverse(m, q, a)
		return
	}
	if name == z.domain {
		m.Authoritative = true
		switch q.Qtype {
		case dns.TypeSOA:
			m.Answer = []dns.RR{z.soa(q.Name)}
		case dns.TypeNS:
			m.Answer = []dns.RR{&dns.NS{Hdr: header(q.Name, dns.TypeNS), Ns: z.server()}}
			m.Extra = append(m.Extra, addresses(z.server(), dns.TypeANY, z.own)...)
		case dns.TypeANY:
			m.Answer = []dns.RR{nothingMore(q.Name)}
		default:
			m.Ns = []dns.RR{z.soa(z.domain)}
		}
		return
	}
	label, below := strings.CutSuffix(name, "."+z.domain)
	if !below {
		m.Rcode = dns.RcodeRefused
		return
	}
	m.Authoritative = true
	addrs, found := z.byName[label]
	switch {
	case !found:
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeANY:
		m.Answer = []dns.RR{nothingMore(q.Name)}
	case q.Qtype == dns.TypeA || q.Qtype == dns.TypeAAAA:
		m.Answer = addresses(q.Name, q.Qtype, addrs)
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{z.soa(z.domain)}
	}
}

// fillReverse answers a question about an address of the VPN.
func (z *Zone) fillReverse(m *dns.Msg, q dns.Question, a netip.Addr) {
	m.Authoritative = true
	label := z.byAddr[a]
	switch {
	case label == "":
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY:
		m.Answer = []dns.RR{&dns.PTR{Hdr: header(q.Name, dns.TypePTR), Ptr: label + "." + z.domain}}
		return
	}
	i := slices.IndexFunc(z.networks, func(n netip.Prefix) bool { return n.Contains(a) })
	m.Ns = []dns.RR{z.soa(ReverseDomain(z.networks[i]))}
}

// server returns the name of the server.
func (z *Zone) server() string { return server + "." + z.domain }

func header(name string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
}

// soa returns the record that says how long a negative answer is good (RFC 2308). There
// are no secondary servers, so that the serial number says nothing.
func (z *Zone) soa(apex string) dns.RR {
	return &dns.SOA{Hdr: header(apex, dns.TypeSOA), Ns: z.server(), Mbox: "hostmaster." + z.domain,
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl / 6}
}

// nothingMore is the answer to a question for everything (RFC 8482 section 4.2).
func nothingMore(name string) dns.RR {
	return &dns.HINFO{Hdr: header(name, dns.TypeHINFO), Cpu: "RFC8482"}
}

// addresses returns the records of addresses: those of a type, or of both.
func addresses(name string, t uint16, addrs []netip.Addr) (list []dns.RR) {
	for _, a := range addrs {
		switch {
		case a.Is4() && t != dns.TypeAAAA:
			list = append(list, &dns.A{Hdr: header(name, dns.TypeA), A: a.AsSlice()})
		case a.Is6() && t != dns.TypeA:
			list = append(list, &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	return list
}
