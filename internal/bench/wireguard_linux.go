package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"campagnol/internal/lab"
)

// wireGuard is wireguard-go.
type wireGuard struct {
	cache   string
	program string
}

func (w *wireGuard) info() toolInfo {
	return toolInfo{
		Name: toolWireGuard, Title: toolWireGuard, Version: wireGuardVersion,
		Settings: "the defaults: ChaCha20-Poly1305, MTU 1420",
	}
}

func (w *wireGuard) prepare(ctx context.Context) (err error) {
	w.program, err = rival{module: wireGuardModule, version: wireGuardVersion}.build(ctx, w.cache)
	return err
}

const wireGuardPort = 51820

// wireGuardSockets is where wireguard-go has its sockets. They are named after
// the interface, and seen from all namespaces: the names have to be our own.
const wireGuardSockets = "/var/run/wireguard"

func (w *wireGuard) start(ctx context.Context, p place) (*tunnel, error) {
	ends := []struct {
		host   *lab.Host
		inside netip.Addr
		key    *ecdh.PrivateKey
	}{{host: p.a, inside: insideA}, {host: p.b, inside: insideB}}
	for i := range ends {
		var err error
		if ends[i].key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	var daemons []*lab.Process
	for i, e := range ends {
		other := ends[1-i]
		ifname := "wg" + p.lab.ID() + e.host.Name()
		daemon, err := e.host.Start("wireguard", w.program, "-f", ifname)
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, daemon)
		config := wireGuardConfig(e.key, wireGuardPort, wireGuardPeer{
			key: other.key.PublicKey(), endpoint: netip.AddrPortFrom(other.host.Addr(), wireGuardPort), inside: other.inside,
		})
		if err := configureWireGuard(ctx, filepath.Join(wireGuardSockets, ifname+".sock"), config, daemon.Exited()); err != nil {
			return nil, withTail(err, daemon)
		}
		if err := e.host.AddAddress(ifname, netip.PrefixFrom(e.inside, insideBits)); err != nil {
			return nil, err
		}
	}
	return p.inside(daemons), nil
}

// configureWireGuard waits until a daemon takes its configuration.
func configureWireGuard(ctx context.Context, socket, config string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(startPatience)); err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			if _, err := io.WriteString(conn, config); err != nil {
				return fmt.Errorf("bench: configure wireguard-go: %w", err)
			}
			return readUAPIAnswer(conn)
		}
		select {
		case <-exited:
			return fmt.Errorf("bench: wireguard-go has ended")
		case <-ctx.Done():
			return fmt.Errorf("bench: wireguard-go does not open its socket: %w", err)
		case <-time.After(pollInterval):
		}
	}
}

// pollInterval is how often we look whether something is there.
const pollInterval = 5 * time.Millisecond
