package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"campagnol/internal/lab"
)

// nebula is Nebula with one of its profiles.
type nebula struct {
	cache   string
	version string
	profile nebulaProfile

	daemon, cert string // paths of the programs
}

func (n *nebula) info() toolInfo {
	return toolInfo{Name: n.profile.tool, Title: n.profile.title, Version: n.version, Settings: n.profile.settings}
}

func (n *nebula) prepare(ctx context.Context) (err error) {
	if n.daemon, err = (rival{nebulaModule, n.version, "/cmd/nebula"}).build(ctx, n.cache); err != nil {
		return err
	}
	n.cert, err = rival{nebulaModule, n.version, "/cmd/nebula-cert"}.build(ctx, n.cache)
	return err
}

func (n *nebula) start(ctx context.Context, p place) (*tunnel, error) {
	dir, err := p.folder(toolNebula)
	if err != nil {
		return nil, err
	}
	ends := []struct {
		host   *lab.Host
		inside netip.Addr
	}{{p.a, insideA}, {p.b, insideB}}
	if err := n.runCert(ctx, dir, "ca", "-name", "bench", "-duration", "48h"); err != nil {
		return nil, err
	}
	var daemons []*lab.Process
	for i, e := range ends {
		other := ends[1-i]
		name := e.host.Name()
		if err := n.runCert(ctx, dir, "sign", "-name", name, "-networks", netip.PrefixFrom(e.inside, insideBits).String()); err != nil {
			return nil, err
		}
		file := filepath.Join(dir, name+".yml")
		text := nebulaConfig(n.profile, filepath.Join(dir, name), other.inside, netip.AddrPortFrom(other.host.Addr(), nebulaPort))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		daemon, err := e.host.Start("nebula", n.daemon, "-config", file)
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, daemon)
	}
	for _, d := range daemons {
		if err := await(ctx, d, "Nebula interface is active"); err != nil {
			return nil, err
		}
	}
	return p.inside(daemons), nil
}

// runCert runs nebula-cert in a folder.
func (n *nebula) runCert(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, n.cert, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bench: nebula-cert %s: %w\n%s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}
