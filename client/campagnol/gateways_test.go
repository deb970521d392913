package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/tunnel/device"
)

// fakeRouter takes routes, but for those to some networks.
type fakeRouter struct {
	routes []device.Route
	taken  []netip.Prefix
	err    error
}

func (f *fakeRouter) SetRoutes(want []device.Route) (problems []device.RouteProblem, err error) {
	f.routes = nil
	for _, r := range want {
		refused := false
		for _, n := range f.taken {
			refused = refused || n == r.Network
		}
		if refused {
			problems = append(problems, device.RouteProblem{Network: r.Network, Err: errors.New("it is taken")})
		} else {
			f.routes = append(f.routes, r)
		}
	}
	return problems, f.err
}

func (f *fakeRouter) String() (text string) {
	for _, r := range f.routes {
		text += fmt.Sprintf("%v from %v metric %d; ", r.Network, r.Source, r.Metric)
	}
	return text
}

// keeping returns a keeper, its interface, and what it logs.
func keeping(t *testing.T) (*keeper, *fakeRouter, *conf.Client, *bytes.Buffer) {
	cfg := &conf.Client{AcceptRoutes: true, DefaultUp: true, StateDir: t.TempDir(), VPNIP: netip.MustParseAddr("10.9.0.1"), RouteMetric: 7}
	dev, log := &fakeRouter{}, &bytes.Buffer{}
	return newKeeper(dev, cfg, slog.New(slog.NewTextHandler(log, nil))), dev, cfg, log
}

func gatewayTo(vpn string, networks ...string) client.Gateway {
	g := client.Gateway{Name: "gate", Shown: client.Shown{VPNAddr: netip.MustParseAddr(vpn), Chain: [][]byte{[]byte("leaf"), []byte("ca")}, Server: true}}
	for _, n := range networks {
		g.Networks = append(g.Networks, netip.MustParsePrefix(n))
	}
	return g
}

func TestKeeperRoutes(t *testing.T) {
	k, dev, cfg, _ := keeping(t)
	k.take([]client.Gateway{gatewayTo("10.9.0.2", "172.20.0.0/16", "fd00:7::/64"), gatewayTo("10.9.0.3", "172.21.0.0/16")})
	with := func(edit func(*conf.Client)) {
		next := *cfg
		edit(&next)
		k.set(&next)
		k.route()
	}
	for _, c := range []struct {
		name string
		edit func(*conf.Client)
		want string
	}{
		{"IPv4", func(*conf.Client) {}, "172.20.0.0/16 from 10.9.0.1 metric 7; 172.21.0.0/16 from 10.9.0.1 metric 7; "},
		{"both", func(c *conf.Client) { c.VPNIP6, c.RouteMetric = netip.MustParseAddr("fd09::1"), 0 },
			"172.20.0.0/16 from 10.9.0.1 metric 0; fd00:7::/64 from fd09::1 metric 0; 172.21.0.0/16 from 10.9.0.1 metric 0; "},
		{"not accepted", func(c *conf.Client) { c.AcceptRoutes = false }, ""},
	} {
		if with(c.edit); dev.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, dev, c.want)
		}
	}
	dev.routes = []device.Route{{}}
	if with(func(c *conf.Client) { c.DefaultUp = false }); len(dev.routes) != 1 {
		t.Error("with default_up = no routes are touched")
	}
}

// TestKeeperTells: what cannot be done is logged once, and again when it can be.
func TestKeeperTells(t *testing.T) {
	k, dev, _, log := keeping(t)
	k.take([]client.Gateway{gatewayTo("10.9.0.2", "172.20.0.0/16", "172.21.0.0/16")})
	dev.taken = []netip.Prefix{netip.MustParsePrefix("172.20.0.0/16")}
	k.route()
	k.route()
	if n := strings.Count(log.String(), "The system has no route to a network behind a peer"); n != 1 || !strings.Contains(log.String(), "it is taken") {
		t.Errorf("logged %d times: %s", n, log)
	}
	dev.taken = nil
	k.route()
	k.route()
	if n := strings.Count(log.String(), "has a route to a network behind a peer now"); n != 1 {
		t.Errorf("that it can be done is logged %d times: %s", n, log)
	}
	log.Reset()
	dev.err = errors.New("no netlink")
	k.route()
	k.route()
	if n := strings.Count(log.String(), "no netlink"); n != 1 {
		t.Errorf("an error is logged %d times: %s", n, log)
	}
	log.Reset()
	dev.err = fmt.Errorf("closed: %w", os.ErrClosed)
	if k.route(); log.Len() > 0 {
		t.Errorf("at the end: %s", log)
	}
}

func TestKeeperRemembers(t *testing.T) {
	k, _, cfg, log := keeping(t)
	path := gatewayFile(cfg.StateDir)
	k.save()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing is known, and there is a file: %v", err)
	}
	want := gatewayTo("10.9.0.2", "172.20.0.0/16")
	k.take([]client.Gateway{want})
	k.save()
	seen, err := readGateways(path)
	if err != nil || len(seen) != 1 || fmt.Sprint(seen[0]) != fmt.Sprint(want.Shown) {
		t.Errorf("read %v, %v; want %v", seen, err, want.Shown)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	k.take(nil)
	k.save()
	if seen, err = readGateways(path); err != nil || len(seen) != 0 {
		t.Errorf("the gateway has gone, and is remembered: %v, %v", seen, err)
	}
	if err := os.WriteFile(filepath.Join(cfg.StateDir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := *cfg
	bad.StateDir = filepath.Join(cfg.StateDir, "file", "below")
	k.set(&bad)
	k.take([]client.Gateway{want})
	k.save()
	k.save()
	if n := strings.Count(log.String(), "What is behind peers is not remembered"); n != 1 {
		t.Errorf("logged %d times: %s", n, log)
	}
}

// FuzzGateways: whatever is in the file, it is read or refused.
func FuzzGateways(f *testing.F) {
	for _, s := range []string{"", "null", "[]", "{}", `[{"VPNAddr":"10.9.0.2","Chain":["bGVhZg=="],"Server":true}]`, `[{"VPNAddr":"x"}]`, `[{"Chain":["*"]}]`, `[null]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		seen, err := parseGateways("f", b)
		if err == nil {
			for _, s := range seen {
				_ = s.VPNAddr.IsValid()
			}
		} else if !strings.HasPrefix(err.Error(), "f: ") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}
