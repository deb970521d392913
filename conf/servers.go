package conf

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
)

// A Server is a rendezvous server, or one for STUN.
type Server struct {
	Host string // address or name
	Port uint16 // UDP port
}

// String returns the server as HOST:PORT, by which it is told from others.
func (s Server) String() string {
	return net.JoinHostPort(strings.ToLower(s.Host), strconv.Itoa(int(s.Port)))
}

// maxServers is how many rendezvous servers are used.
const maxServers = 8

// Servers returns all rendezvous servers, the ones to be preferred first.
func (c *Client) Servers() []Server {
	if c.ServerHost == "" {
		return nil
	}
	return append([]Server{{c.ServerHost, c.ServerPort}}, c.MoreServers...)
}

// servers collects the values of server_host, each of which is a server. The port of
// those without one is that of server_port, which the original takes for its only
// server: finishServers sets it.
func (d *decoder) servers(k *definition, st *Setting) {
	for i := range st.Values {
		v := &st.Values[i]
		if len(d.list) == maxServers {
			d.report.add(Problem{
				Pos: v.KeyPos, Section: k.Section, Key: k.Name,
				Text: fmt.Sprintf("%s is set for more than %d servers; this one is not used", k.Name, maxServers),
				Hint: "take the line out",
			})
			continue
		}
		var s Server
		a := &assignment{decoder: d, key: &k.Key, value: v, text: v.Expanded}
		if v.tooLong {
			a.fail("is too long when its ${} are replaced")
			continue
		}
		if a.server(&s) {
			d.list = append(d.list, s)
			d.values = append(d.values, v)
		}
	}
}

// server stores a host and, if there is one behind a colon, a port. Port 0 is none.
// It reports whether the value can be used.
func (a *assignment) server(dst *Server) bool {
	host, port, ok := splitServer(a.text)
	if ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || n > math.MaxUint16 {
			a.failWith("has no port number behind the colon", "a port is a whole number from 1 to 65535, as in rdv.example.org:443")
			return false
		}
		dst.Port = uint16(n)
		b := *a
		b.text = host
		b.host(&dst.Host)
		return dst.Host != ""
	}
	a.host(&dst.Host)
	return dst.Host != ""
}

// splitServer splits HOST:PORT, and [ADDRESS] with or without a port. What is not
// written so, such as an IPv6 address alone, is left to others.
func splitServer(s string) (host, port string, ok bool) {
	if rest, bracketed := strings.CutPrefix(s, "["); bracketed {
		host, port, ok = strings.Cut(rest, "]:")
		return host, port, ok && strings.Contains(host, ":")
	}
	host, port, ok = strings.Cut(s, ":")
	if !ok || strings.Contains(port, ":") || strings.ContainsAny(port, " \t#;") {
		return "", "", false
	}
	_, rest, isAddr := parseAddr(host)
	return host, port, isAddr && rest == "" || isHostName(host)
}

// finishServers makes the servers those of the client, each with its port.
func (d *decoder) finishServers() {
	c := d.client
	seen := map[Server]bool{}
	for i, s := range d.list {
		if s.Port == 0 {
			s.Port = c.ServerPort
		}
		if seen[s] {
			d.report.add(Problem{
				Pos: d.values[i].KeyPos, Section: sectionNetwork, Key: "server_host",
				Text: fmt.Sprintf("server_host names the same server again: %v", s),
				Hint: "take one of the lines out",
			})
			continue
		}
		seen[s] = true
		c.MoreServers = append(c.MoreServers, s)
	}
	if len(c.MoreServers) > 0 {
		first := c.MoreServers[0]
		c.ServerHost, c.ServerPort, c.MoreServers = first.Host, first.Port, c.MoreServers[1:]
	}
	if len(c.MoreServers) == 0 {
		c.MoreServers = nil
	}
}
