package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/punch/nat"
)

// A natWorld is a lab with a rendezvous server that has two addresses.
type natWorld struct {
	t      *testing.T
	lab    *lab.Lab
	server *lab.Host
	second netip.Addr
}

func newNATWorld(t *testing.T, args ...string) *natWorld {
	t.Helper()
	testenv.Root(t)
	l, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &natWorld{t: t, lab: l, second: netip.MustParseAddr("203.0.113.99")}
	if w.server, err = l.AddHost("rdv", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.server.AddAddress("eth0", netip.PrefixFrom(w.second, 24)); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	args = append([]string{"--log-format", "json"}, args...)
	p, err := w.server.Start("campagnol_rdv", filepath.Join(binaries, "campagnol_rdv"), args...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Await(t.Context(), since, lab.Pattern{Message: "Server listening"}); err != nil {
		t.Fatalf("%v\n%s", err, p.Tail())
	}
	return w
}

// host adds a host behind a NAT of a kind.
func (w *natWorld) host(kind lab.Kind) *lab.Host {
	w.t.Helper()
	var behind *lab.NAT
	var err error
	if kind != lab.None {
		if behind, err = w.lab.AddNAT("nat", lab.NATOptions{Kind: kind}); err != nil {
			w.t.Fatal(err)
		}
	}
	h, err := w.lab.AddHost("host", behind)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// netcheck runs the command on a host, and returns what it says and its exit status.
func (w *natWorld) netcheck(h *lab.Host, args ...string) (*netcheckReport, int) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "campagnol.conf")
	text := fmt.Sprintf("[NETWORK]\nserver_host = %v\nlocal_port = 4321\n[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n"+
		"[SECURITY]\ncertificate = c\nkey = k\nca_certificates = a\n", w.server.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	var out []byte
	err := h.Do(func() (err error) {
		out, err = exec.CommandContext(w.t.Context(), filepath.Join(binaries, "campagnol"),
			append([]string{"netcheck", file, "--json"}, args...)...).Output()
		return err
	})
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	r := &netcheckReport{}
	if err := json.Unmarshal(out, r); err != nil {
		w.t.Fatalf("%v in %s", err, out)
	}
	w.t.Logf("%s", r.Summary)
	if exit != nil {
		return r, exit.ExitCode()
	}
	return r, 0
}

// measured runs the command until it finds what is wanted, three times at most: on a
// machine that is busy with other tests, what comes too late looks as if it had been
// filtered.
func (w *natWorld) measured(h *lab.Host, want func(*netcheckReport) bool) (r *netcheckReport, status int) {
	w.t.Helper()
	for range 3 {
		if r, status = w.netcheck(h); want(r) {
			break
		}
	}
	return r, status
}

// TestNetcheckInLab: behind NATs of the kernel, the command and the real server find
// out what the lab's own measurement does.
func TestNetcheckInLab(t *testing.T) {
	for _, c := range []struct {
		kind  lab.Kind
		words string
		ports string // of the kernel's masquerading; "": there are none
	}{
		{lab.None, "has a public address:", ""},
		{lab.FullCone, "full-cone", "preserving"},
		{lab.Restricted, "restricted-cone", "preserving"},
		{lab.PortRestricted, "port-restricted-cone", "preserving"},
		{lab.Symmetric, "symmetric", "random"},
		{lab.Sequential, "symmetric", "sequential"},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			t.Parallel()
			w := newNATWorld(t, "--stun-address", "203.0.113.99")
			h := w.host(c.kind)
			want, err := w.lab.Measure(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			r, status := w.measured(h, func(r *netcheckReport) bool {
				n := r.Families[0].NAT
				return n != nil && n.Mapping == nat.Dependence(want.Mapping).String() && n.Filtering == nat.Dependence(want.Filtering).String() &&
					n.MappingExact && n.FilteringExact && n.Ports == c.ports
			})
			f := r.Families[0]
			if status != 0 || !r.OK || f.UDP != "works" || f.NAT == nil {
				t.Fatalf("status %d, report %+v, IPv4 %+v", status, r, f)
			}
			n := f.NAT
			if n.Mapping != nat.Dependence(want.Mapping).String() || n.Filtering != nat.Dependence(want.Filtering).String() || !n.MappingExact || !n.FilteringExact {
				t.Errorf("found %+v, want %v", n, want)
			}
			if n.Translated != (c.kind != lab.None) || n.Ports != c.ports || n.Hard != c.kind.Hard() {
				t.Errorf("found %+v, want translation %v, ports %q", n, c.kind != lab.None, c.ports)
			}
			if f.RDV == nil || !f.RDV.Reachable || f.RDV.Channel != "no" || f.RDV.RTT <= 0 {
				t.Errorf("the server: %+v, want it to answer, without a channel", f.RDV)
			}
			if !strings.Contains(r.Summary, c.words) {
				t.Errorf("summary %q, want %q in it", r.Summary, c.words)
			}
		})
	}
}

// TestNetcheckOneAddress: a server with one address and two ports tells a symmetric
// NAT from the others, and says what it cannot tell.
func TestNetcheckOneAddress(t *testing.T) {
	for _, kind := range []lab.Kind{lab.PortRestricted, lab.Symmetric} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			w := newNATWorld(t)
			r, _ := w.measured(w.host(kind), func(r *netcheckReport) bool {
				n := r.Families[0].NAT
				return n != nil && n.Hard == (kind == lab.Symmetric) && n.FilteringExact
			})
			n := r.Families[0].NAT
			if n == nil || n.Hard != (kind == lab.Symmetric) || n.MappingExact != n.Hard || n.Filtering != "address-and-port-dependent" || !n.FilteringExact {
				t.Errorf("found %+v", n)
			}
			if got := strings.Contains(r.Summary, "Only one address"); got == n.MappingExact {
				t.Errorf("summary %q", r.Summary)
			}
		})
	}
}

// TestNetcheckUnreachable: the command says what does not work, and fails.
func TestNetcheckUnreachable(t *testing.T) {
	t.Parallel()
	w := newNATWorld(t, "-p", "5")
	r, status := w.netcheck(w.host(lab.None))
	if status != 1 || r.OK || r.Families[0].RDV.Reachable || !strings.Contains(r.Summary, "No UDP packet came back") {
		t.Errorf("status %d, report %+v", status, r)
	}
	r, status = w.netcheck(w.host2(), "--server", netip.AddrPortFrom(w.server.Addr(), 5).String())
	if f := r.Families[0]; status != 1 || r.OK || f.UDP != "works" || !strings.Contains(r.Summary, "cannot be introduced") {
		t.Errorf("with a STUN server: status %d, report %+v, IPv4 %+v", status, r, f)
	}
}

// host2 adds another public host.
func (w *natWorld) host2() *lab.Host {
	w.t.Helper()
	h, err := w.lab.AddHost("host2", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// TestNetcheckLifetime: the kernel keeps an idle mapping for as long as it is told.
func TestNetcheckLifetime(t *testing.T) {
	t.Parallel()
	w := newNATWorld(t)
	behind, err := w.lab.AddNAT("nat", lab.NATOptions{Kind: lab.PortRestricted})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		if err := behind.SetSysctl("net/netfilter/"+key, "5"); err != nil {
			t.Fatal(err)
		}
	}
	h, err := w.lab.AddHost("host", behind)
	if err != nil {
		t.Fatal(err)
	}
	r, status := w.netcheck(h, "--lifetime")
	l := r.Families[0].Lifetime
	if status != 0 || l == nil || !l.Known || l.AtLeast != 0 || l.AtMost != 10 {
		t.Errorf("status %d, lifetime %+v, want it known, and less than 10 s", status, l)
	}
}
