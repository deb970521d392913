package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv/guide"
)

// A reader does on the hosts of a village what a document says.
type reader struct {
	*village
	g      *guide.Guide
	tokens map[string]string // of invitations, by the host that was invited
}

// readIn returns a reader of a document in a village.
func readIn(v *village, g *guide.Guide) *reader {
	return &reader{village: v, g: g, tokens: map[string]string{}}
}

// all does the commands that have not been done yet.
func (r *reader) all() {
	r.t.Helper()
	for c := range r.g.Commands() {
		r.do(c)
	}
}

// next does the next command, which has to begin with some words, and returns what it
// prints.
func (r *reader) next(words string) string {
	r.t.Helper()
	c := r.g.Next(r.t)
	if !strings.HasPrefix(c.Line, words) {
		r.t.Fatalf("%s:%d: the next command is %q, want %q", r.g.Path, c.At, c.Line, words)
	}
	return r.do(c)
}

// through does the commands up to the first that begins with some words, that one
// included, and returns what that prints.
func (r *reader) through(words string) string {
	r.t.Helper()
	for c := range r.g.Commands() {
		if out := r.do(c); strings.HasPrefix(c.Line, words) {
			return out
		}
	}
	r.t.Fatalf("%s: no command begins with %q", r.g.Path, words)
	return ""
}

// questions matches commands that change nothing, of which a reader who gets no answer
// yet tries again.
var questions = regexp.MustCompile(`^(ping|curl|getent|ip route show|campagnol (status|peers|explain|netcheck|ping|fdb|mdb)|campagnol_rdv clients)\b`)

// questionPatience is for how long.
const questionPatience = 30 * time.Second

// do does a command. One that a document shows with its output has to print that.
func (r *reader) do(c guide.Command) string {
	r.t.Helper()
	if r.shells[c.Host] == nil {
		r.t.Fatalf("%s:%d: there is no host %q to type %q on", r.g.Path, c.At, c.Host, c.Line)
	}
	line := c.Line
	if strings.HasPrefix(line, "campagnol join ") {
		token := r.tokens[c.Host]
		if token == "" {
			r.t.Fatalf("%s:%d: nobody has invited %s", r.g.Path, c.At, c.Host)
		}
		line = strings.Replace(line, "TOKEN", token, 1)
	}
	if to, ok := strings.CutPrefix(line, "ping -c 3 "); ok {
		r.answers(c.Host, to)
	}
	out, err := r.try(c.Host, line)
	lacks := missing(out, c.Output)
	for end := time.Now().Add(questionPatience); (err != nil || lacks != "") && questions.MatchString(line) && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		out, err = r.try(c.Host, line)
		lacks = missing(out, c.Output)
	}
	if err != nil {
		r.t.Fatalf("%s:%d: %v\n%s", r.g.Path, c.At, err, out)
	}
	if lacks != "" {
		r.t.Errorf("%s:%d: %q prints\n%swithout\n%s", r.g.Path, c.At, line, out, lacks)
	}
	if f := strings.Fields(line); len(f) > 3 && f[1] == "ca" && f[2] == "invite" {
		r.tokens[f[3]] = tokenIn(r.t, out)
	}
	return out
}

// answers waits until an address answers to pings: ping itself waits for ten seconds for
// the answer to its last one. If it never answers, ping says so.
func (r *reader) answers(host, addr string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), questionPatience)
	defer cancel()
	if _, err := r.hosts[host].PingUntil(ctx, mustAddr(addr), 100*time.Millisecond); err != nil {
		r.t.Logf("%s does not reach %s: %v", host, addr, err)
	}
}

// What differs from one time to the next in what programs print.
var (
	durations = regexp.MustCompile(`\b([0-9]+(\.[0-9]+)?(ns|µs|ms|s|m|h|d))+\b`)
	amounts   = regexp.MustCompile(`\b[0-9]+(\.[0-9]+)? ?(B|kB|MB|GB|ms)\b`)
	ports     = regexp.MustCompile(`:[0-9]{4,5}\b`)
	dates     = regexp.MustCompile(`\b20[0-9]{2}-[0-9]{2}-[0-9]{2}\b`)
)

// plain returns a line without what differs from one time to the next.
func plain(line string) string {
	line = durations.ReplaceAllString(line, "TIME")
	line = amounts.ReplaceAllString(line, "AMOUNT")
	line = ports.ReplaceAllString(line, ":PORT")
	line = dates.ReplaceAllString(line, "DATE")
	return strings.Join(strings.Fields(line), " ")
}

// missing returns the first line of what a document shows that a program has not
// printed, in the order of the document; "" if all is there. Times, sizes, ports and
// dates may be others, and "..." is anything.
func missing(printed, shown string) string {
	rest := strings.Split(printed, "\n")
	for line := range strings.Lines(shown) {
		want := plain(line)
		if want == "" || want == "..." {
			continue
		}
		pieces := strings.Split(want, "...")
		i := slices.IndexFunc(rest, func(got string) bool { return inOrder(plain(got), pieces) })
		if i < 0 {
			return line
		}
		rest = rest[i+1:]
	}
	return ""
}

// inOrder reports whether a text consists of pieces with anything between them.
func inOrder(text string, pieces []string) bool {
	text, ok := strings.CutPrefix(text, pieces[0])
	if !ok || len(pieces) == 1 {
		return ok && text == ""
	}
	for _, p := range pieces[1 : len(pieces)-1] {
		if _, text, ok = strings.Cut(text, p); !ok {
			return false
		}
	}
	return strings.HasSuffix(text, pieces[len(pieces)-1])
}

// TestMissing: what a document shows is what is printed, but for what cannot be the same.
func TestMissing(t *testing.T) {
	t.Parallel()
	const printed = "PEER      STATE  OPEN FOR  IN\n10.9.0.1  OPEN   1m3s      1.5 kB\nat 203.0.113.11:40123, until 2031-05-06\n"
	for _, c := range []struct{ shown, want string }{
		{"", ""},
		{"PEER STATE OPEN FOR IN\n10.9.0.1  OPEN  12s  300 B\n", ""},
		{"10.9.0.1  OPEN  ...\n...\nat 203.0.113.11:4444, until 2026-02-28\n", ""},
		{"...until 2026-02-28\n", ""},
		{"10.9.0.2  OPEN  12s  300 B\n", "10.9.0.2  OPEN  12s  300 B\n"},
		{"at ... 203.0.113.11 ... since 2026-02-28\n", "at ... 203.0.113.11 ... since 2026-02-28\n"},
		{"at 203.0.113.11:4444, until 2026-02-28\nPEER STATE OPEN FOR IN\n", "PEER STATE OPEN FOR IN\n"},
	} {
		if got := missing(printed, c.shown); got != c.want {
			t.Errorf("missing(%q) = %q, want %q", c.shown, got, c.want)
		}
	}
}

// node puts a host into a network behind another one, or into a bridge there: it has
// one interface, eth0, at the end of a cable to the interface port of the other.
func (v *village) node(name, at, port string) *lab.Host {
	v.t.Helper()
	n, err := v.lab.AddNode(name)
	if err == nil {
		_, err = v.lab.Join(v.hosts[at].Node, port, n, "eth0")
	}
	if err != nil {
		v.t.Fatal(err)
	}
	h := &lab.Host{Node: n}
	v.settle(name, h)
	return h
}

// behind adds a host behind a NAT that is there.
func (v *village) behind(name string, nat *lab.NAT) *lab.Host {
	v.t.Helper()
	h, err := v.lab.AddHost(name, nat)
	if err != nil {
		v.t.Fatal(err)
	}
	v.settle(name, h)
	return h
}

// nat adds a NAT.
func (v *village) nat(name string, o lab.NATOptions) *lab.NAT {
	v.t.Helper()
	n, err := v.lab.AddNAT(name, o)
	if err != nil {
		v.t.Fatal(err)
	}
	return n
}

// must fails the test.
func (v *village) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// install puts a program of this machine into the search path of hosts, wherever it is
// here.
func (v *village) install(path string, hosts ...string) {
	v.t.Helper()
	b, err := os.ReadFile(path)
	v.must(err)
	for _, h := range hosts {
		v.must(os.WriteFile(filepath.Join(v.lab.Dir(), v.hosts[h].Name()+"-root", "bin", filepath.Base(path)), b, 0o755))
	}
}

// addTo adds lines to a file on a host, as a reader does by an editor.
func (v *village) addTo(host, file, lines string) {
	v.t.Helper()
	f, err := os.OpenFile(v.path(host, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString("\n" + lines)
		err = errors.Join(err, f.Close())
	}
	v.must(err)
}

// serveWeb has a host answer every request by HTTP with a text, at a port of all of its
// addresses.
func (v *village) serveWeb(host string, port uint16, text string) {
	v.t.Helper()
	ln, err := v.hosts[host].ListenTCP(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	v.must(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(text)) // who has gone is not there
	})}
	go func() { _ = s.Serve(ln) }() // until it is closed
	v.t.Cleanup(func() { s.Close() })
}

// unreachable makes sure that a host gets no answer from an address: neither to a ping
// nor to a request by HTTP.
func (v *village) unreachable(from, addr string) {
	v.t.Helper()
	r, err := v.hosts[from].Ping(v.t.Context(), mustAddr(addr), lab.PingOptions{Count: 3, Patience: time.Second})
	if err != nil || r.Received() > 0 {
		v.t.Errorf("%s pings %s: %v, %v; want no answer", from, addr, r, err)
	}
	v.deaf(from, addr, 80)
}

// deaf makes sure that a host gets no connection to a port.
func (v *village) deaf(from, addr string, port uint16) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Second)
	defer cancel()
	if conn, err := v.hosts[from].DialTCP(ctx, netip.AddrPortFrom(mustAddr(addr), port)); err == nil {
		conn.Close()
		v.t.Errorf("%s has a connection to port %d of %s, want none", from, port, addr)
	}
}
