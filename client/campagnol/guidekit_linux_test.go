package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// What readers of documents do to a village besides typing commands.

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

// addTo adds lines to a file on a host, or makes one of them, as a reader does by an
// editor.
func (v *village) addTo(host, file, lines string) {
	v.t.Helper()
	f, err := os.OpenFile(v.path(host, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	v.must(err)
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		lines = "\n" + lines
	}
	if err == nil {
		_, err = f.WriteString(lines)
	}
	v.must(errors.Join(err, f.Close()))
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

// until waits until a command line prints a text, and returns all that it prints.
func (v *village) until(host, line, text string) string {
	v.t.Helper()
	var out string
	await(v.t, line+" on "+host+" prints "+strconv.Quote(text), func() bool {
		var err error
		out, err = v.shells[host].Run(v.t.Context(), line)
		return err == nil && strings.Contains(out, text)
	})
	return out
}

// scp copies files from one host to another, as the command does: hosts of a village
// have no ssh. The folder has to be there.
func (v *village) scp(host, line string) {
	v.t.Helper()
	args := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(line, "scp "), "-p "))
	if len(args) < 2 {
		v.t.Fatalf("%q copies nothing", line)
	}
	to := v.remote(host, args[len(args)-1])
	for _, arg := range args[:len(args)-1] {
		files, err := filepath.Glob(v.remote(host, arg))
		if err != nil || len(files) == 0 {
			v.t.Fatalf("%q: there is no %s (%v)", line, arg, err)
		}
		for _, f := range files {
			name := to
			if info, err := os.Stat(to); err == nil && info.IsDir() {
				name = filepath.Join(to, filepath.Base(f))
			}
			copyFile(v.t, f, name)
		}
	}
	v.t.Logf("%s# %s", host, line)
}

// remote returns where a file is outside of the laboratory that scp on a host calls
// "root@bob:bob.csr", or "bob.csr" if it is its own.
func (v *village) remote(host, arg string) string {
	v.t.Helper()
	name := arg
	if at, rest, ok := strings.Cut(arg, ":"); ok {
		host, name = strings.TrimPrefix(at, "root@"), rest
	}
	if !filepath.IsAbs(name) {
		name = "/root/" + name
	}
	return v.path(host, filepath.Clean(name)+"/")
}

// copyFile copies a file and its permissions. It is a new file, so that programs see
// a change although two of them may be in one second.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(from)
	if err == nil {
		err = os.WriteFile(to+".new", b, info.Mode().Perm())
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// knows adds the name of a host to /etc/hosts of all hosts.
func (v *village) knows(name string) {
	v.t.Helper()
	for h := range v.shells {
		v.run(h, "echo "+v.hosts[name].Addr().String()+" "+name+" >>/etc/hosts")
	}
}
