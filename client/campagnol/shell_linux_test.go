package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// A village is a laboratory whose hosts are used as people use them: by command
// lines, in folders of their own, with the programs installed.
type village struct {
	t      *testing.T
	lab    *lab.Lab
	hosts  map[string]*lab.Host
	shells map[string]*lab.Shell
	names  map[string]string // of /etc/hosts, with their addresses
}

const villageServer = "rdv.example.org"

// newVillage makes a laboratory with a server, rdv.example.org.
func newVillage(t *testing.T) *village {
	t.Helper()
	testenv.Root(t)
	l, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := &village{t: t, lab: l, hosts: map[string]*lab.Host{}, shells: map[string]*lab.Shell{}}
	t.Cleanup(func() {
		for _, s := range v.shells {
			s.Close()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	server, err := l.AddHost("rdv", nil)
	if err != nil {
		t.Fatal(err)
	}
	v.names = map[string]string{villageServer: server.Addr().String()}
	v.settle(villageServer, server)
	return v
}

// settle gives a host its shell.
func (v *village) settle(name string, h *lab.Host) {
	v.t.Helper()
	s, err := h.Shell(lab.ShellOptions{Hosts: v.names, Programs: []string{
		filepath.Join(binaries, "campagnol"), filepath.Join(binaries, "campagnol_rdv")}})
	if err != nil {
		v.t.Fatal(err)
	}
	v.hosts[name], v.shells[name] = h, s
}

// host adds a host behind a NAT of its own, or with a public address.
func (v *village) host(name string, kind lab.Kind) *lab.Host {
	v.t.Helper()
	var nat *lab.NAT
	var err error
	if kind != lab.None {
		if nat, err = v.lab.AddNAT("nat_"+name, lab.NATOptions{Kind: kind}); err != nil {
			v.t.Fatal(err)
		}
	}
	h, err := v.lab.AddHost(name, nat)
	if err != nil {
		v.t.Fatal(err)
	}
	v.settle(name, h)
	return h
}

// try runs a command line on a host, and returns what it prints.
func (v *village) try(host, line string) (string, error) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 3*time.Minute)
	defer cancel()
	out, err := v.shells[host].Run(ctx, line)
	v.t.Logf("%s# %s\n%s", host, line, out)
	return out, err
}

// run is try for a line that has to succeed.
func (v *village) run(host, line string) string {
	v.t.Helper()
	out, err := v.try(host, line)
	if err != nil {
		v.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// fails is try for a line that has to fail, and to say all of the parts.
func (v *village) fails(host, line string, parts ...string) {
	v.t.Helper()
	out, err := v.try(host, line)
	if err == nil {
		v.t.Errorf("on %s: %s: it succeeds", host, line)
	}
	for _, p := range parts {
		if !strings.Contains(out, p) {
			v.t.Errorf("on %s: %s: %q, want it to contain %q", host, line, out, p)
		}
	}
}

// places are where the folders of a shell are, below its own.
var places = map[string]string{"/etc": "etc", "/run": "run", "/var/lib": "lib", "/root": "home"}

// path returns where a file of a host is outside of the laboratory.
func (v *village) path(host, file string) string {
	v.t.Helper()
	for at, name := range places {
		if rest, ok := strings.CutPrefix(file, at+"/"); ok {
			return filepath.Join(v.lab.Dir(), v.hosts[host].Name()+"-root", name, rest)
		}
	}
	v.t.Fatalf("%s is not in a folder that %s has of its own", file, host)
	return ""
}

// copyFiles copies the files of a folder, for root only.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chmod(filepath.Join(to, f.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }

// pings makes sure that one host reaches another one in the VPN.
func (v *village) pings(from, vpn string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	took, err := v.hosts[from].PingUntil(ctx, mustAddr(vpn), time.Second)
	if err != nil {
		v.t.Errorf("%s does not reach %s: %v", from, vpn, err)
		return
	}
	v.t.Logf("%s reaches %s after %v", from, vpn, took)
}

// kill ends the process whose number is in a file on a host, and waits for its end.
func (v *village) kill(host, pidfile, signal string) {
	v.t.Helper()
	v.killBy(host, pidfile, "kill -"+signal+" $p")
	v.run(host, "rm -f "+pidfile)
}

// killBy has a command line end the process $p, whose number is in a file on a host, and
// waits for its end.
func (v *village) killBy(host, pidfile, line string) {
	v.t.Helper()
	// One that nobody has waited for (a zombie) has ended.
	v.run(host, "p=$(cat "+pidfile+") && "+line+" && while grep -q '^State:.[^Z]' /proc/$p/status 2>/dev/null; do sleep 0.05; done")
}

// cutLimit is how long a tunnel may live with somebody who was revoked.
const cutLimit = 10 * time.Second

// wantCut makes sure that a host's tunnel to another one, which was revoked at a
// given time, ends in time, and that there is no other.
func (v *village) wantCut(host, vpn string, revoked time.Time) {
	v.t.Helper()
	ctx, cancel := context.WithDeadline(v.t.Context(), revoked.Add(cutLimit))
	defer cancel()
	for ctx.Err() == nil {
		r, err := v.hosts[host].Ping(ctx, mustAddr(vpn), lab.PingOptions{Count: 1, Patience: 500 * time.Millisecond})
		if err == nil && r.Received() == 0 && !v.tunnel(ctx, host, vpn) && ctx.Err() == nil {
			v.t.Logf("the tunnel of %s to %s is cut %v after the revocation", host, vpn, time.Since(revoked))
			if r, err = v.hosts[host].Ping(v.t.Context(), mustAddr(vpn), lab.PingOptions{Count: 3}); err == nil && r.Received() > 0 {
				v.t.Errorf("%s has got another tunnel to %s", host, vpn)
			}
			return
		}
	}
	v.t.Errorf("%v after its revocation %s is still reached from %s", cutLimit, vpn, host)
}

// tunnel reports whether a host has a tunnel to another one.
func (v *village) tunnel(ctx context.Context, host, vpn string) bool {
	v.t.Helper()
	return slices.ContainsFunc(v.tunnels(ctx, host), func(p control.Peer) bool { return p.VPNAddress == mustAddr(vpn) })
}

// tunnels returns the tunnels that a host has open.
func (v *village) tunnels(ctx context.Context, host string) []control.Peer {
	v.t.Helper()
	c := control.NewClient(v.path(host, "/run/campagnol/tun0.sock"))
	defer c.Close()
	s, _, err := c.Status(ctx)
	if err != nil {
		if ctx.Err() == nil {
			v.t.Errorf("status of %s: %v", host, err)
		}
		return nil
	}
	return slices.DeleteFunc(s.Peers, func(p control.Peer) bool { return p.State != "ESTABLISHED" })
}
