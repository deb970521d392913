package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"campagnol/internal/lab"
	"campagnol/pki/ca"
)

// campagnol is what all this is about: both programs, built from the source
// tree that the working directory is in.
type campagnol struct {
	folder         string // where they are built
	profiled       bool   // the clients serve profiles
	client, server string // paths of the programs
}

func (c *campagnol) info() toolInfo { return oursInfo() }

func (c *campagnol) prepare(ctx context.Context) error {
	root, err := lab.ModuleRoot()
	if err != nil {
		return fmt.Errorf("bench: find Campagnol's source: %w", err)
	}
	if c.client, err = lab.Build(ctx, root, lab.ClientPackage, c.folder); err != nil {
		return err
	}
	c.server, err = lab.Build(ctx, root, lab.ServerPackage, c.folder)
	return err
}

// campagnolArgs make a program log what we wait for.
var campagnolArgs = []string{"-v", "--log-format", "json"}

func (c *campagnol) start(ctx context.Context, p place) (*tunnel, error) {
	// The server is on one of the hosts; after the introduction it has nothing
	// to do.
	server, err := p.a.Start("campagnol_rdv", c.server, campagnolArgs...)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, server, "Server listening"); err != nil {
		return nil, err
	}
	dir, err := p.folder(toolOurs)
	if err != nil {
		return nil, err
	}
	authority, err := ca.Init(filepath.Join(dir, "ca"), ca.InitOptions{Name: "bench", Days: 2}, time.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	args := slices.Clone(campagnolArgs)
	if c.profiled {
		args = append(args, "--pprof", profileAddr)
	}
	var daemons []*lab.Process
	for host, addr := range map[*lab.Host]netip.Addr{p.a: insideA, p.b: insideB} {
		issued, err := authority.Issue(time.Now(), rand.Reader, ca.Request{Name: host.Name(), Addrs: []netip.Addr{addr}, Days: 1})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, host.Name()+".conf")
		text := campagnolConfig(p.a.Addr(), addr, issued, filepath.Join(dir, host.Name()+".state"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		daemon, err := host.Start("campagnol", c.client, append(slices.Clip(args), file)...)
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, daemon)
	}
	for _, d := range daemons {
		if err := await(ctx, d, "Registration complete"); err != nil {
			return nil, err
		}
	}
	return p.inside(daemons, server), nil
}

// campagnolConfig returns the configuration file of a client: what has to be
// set, and the defaults for the rest.
func campagnolConfig(server, addr netip.Addr, issued *ca.Issued, state string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[NETWORK]\nserver_host = %v\n\n", server)
	fmt.Fprintf(&b, "[VPN]\nvpn_ip = %v\nnetwork = %v\n\n", addr, netip.PrefixFrom(addr, insideBits).Masked())
	fmt.Fprintf(&b, "[SECURITY]\ncertificate = %q\nkey = %q\nca_certificates = %q\n\n", issued.CertFile, issued.KeyFile, issued.CAFile)
	fmt.Fprintf(&b, "[CLIENT]\nstate_dir = %q\ncontrol_socket = none\n", state)
	return b.String()
}
