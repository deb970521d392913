package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/pki/pkitest"
	"campagnol/punch/udp"
	"campagnol/tunnel/device"
)

// A crowd is many clients in one process, for tests that need a client with many peers:
// each with a certificate, a socket and sessions of its own, but with a device in memory.
// The test binary plays it when its first argument is crowdArg; then come the
// configuration, of which every client has all but address and certificate, the file with
// the certificates, and the address of whom all of them open a tunnel to.
const crowdArg = "play-crowd"

const (
	// crowdHurry is how many of the crowd register, and open their tunnels, at a time.
	crowdHurry = 16

	// crowdTalk is how often each sends a packet, so that its tunnel stays and its numbers
	// change.
	crowdTalk = 5 * time.Second

	// crowdPatience is for one of them to be connected.
	crowdPatience = time.Minute
)

// crowdAddr returns the VPN address of the i-th of a crowd.
func crowdAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(1 + i>>8), byte(i)}) }

// writeCrowd writes certificates and keys for a crowd of n.
func writeCrowd(t *testing.T, ca *pkitest.CA, n int, file string) {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		leaf := ca.Issue(t, fmt.Sprintf("member%d", i), pkitest.Addrs(crowdAddr(i).String()))
		cert, key := leaf.WriteFiles(t, t.TempDir())
		for _, f := range []string{cert, key} {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readCrowd reads what writeCrowd has written.
func readCrowd(file string) (all []tls.Certificate, err error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for {
		var cert, key *pem.Block
		if cert, rest = pem.Decode(rest); cert == nil {
			return all, nil
		}
		if key, rest = pem.Decode(rest); key == nil {
			return nil, errors.New("a certificate without key")
		}
		pair, err := tls.X509KeyPair(pem.EncodeToMemory(cert), pem.EncodeToMemory(key))
		if err != nil {
			return nil, err
		}
		all = append(all, pair)
	}
}

// playCrowd is the program. It says "Connected" when all have their tunnels, and ends with
// SIGTERM.
func playCrowd(args []string) int {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runCrowd(ctx, log, args); err != nil {
		log.Error("The crowd has failed", "err", err)
		return 1
	}
	return 0
}

func runCrowd(ctx context.Context, log *slog.Logger, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%d arguments, want 3", len(args))
	}
	to, err := netip.ParseAddr(args[2])
	if err != nil {
		return err
	}
	settings, cfg, err := crowdSettings(ctx, args[0])
	if err != nil {
		return err
	}
	certs, err := readCrowd(args[1])
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hurry, connected := make(chan struct{}, crowdHurry), make(chan error, len(certs))
	for i, cert := range certs {
		m, err := newCrowdMember(cfg, settings, crowdAddr(i), cert)
		if err != nil {
			return err
		}
		all.Go(func() {
			hurry <- struct{}{}
			all.Go(func() {
				if err := m.client.Run(ctx); err != nil {
					cancel(err)
				}
			})
			connected <- m.connect(ctx, to)
			<-hurry
			m.talk(ctx, to)
		})
	}
	for range certs {
		if err := <-connected; err != nil {
			cancel(err)
			return err
		}
	}
	log.Info("Connected", "peers", strconv.Itoa(len(certs)))
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// crowdSettings returns what a configuration makes of a client.
func crowdSettings(ctx context.Context, file string) (s client.Settings, cfg *conf.Client, err error) {
	if cfg, _, err = conf.LoadClient(file); err != nil {
		return s, nil, err
	}
	p := &parts{cfg: cfg}
	quiet := slog.New(slog.DiscardHandler)
	if p.trust, err = loadTrust(ctx, cfg, time.Now(), quiet, func(string, string) {}); err != nil {
		return s, nil, err
	}
	if p.where, err = findAddresses(ctx, cfg); err != nil {
		return s, nil, err
	}
	return p.settings(cfg, p.trust), cfg, nil
}

// A crowdMember is one client of a crowd.
type crowdMember struct {
	client *client.Client
	device *device.Memory
	vpn    netip.Addr
}

func newCrowdMember(cfg *conf.Client, s client.Settings, vpn netip.Addr, cert tls.Certificate) (*crowdMember, error) {
	// Not much comes at once, and there are many sockets.
	conn, err := udp.Listen(udp.Config{Addr: netip.MustParseAddrPort("0.0.0.0:0"), Batch: 2, RcvBuf: 64 << 10, SndBuf: 64 << 10})
	if err != nil {
		return nil, err
	}
	s.Certificate, s.Objects, s.LocalAddr = cert, nil, netip.AddrPort{}
	m := &crowdMember{device: device.NewMemory("tun0"), vpn: vpn}
	m.client, err = client.New(client.Config{
		VPNAddr: vpn, Network: cfg.Network, Conn: conn, Device: m.device, PathErrors: conn.Errors(), Settings: s,
	})
	return m, err
}

// connect waits until the member is registered, and then until it has a tunnel to the one
// at an address.
func (m *crowdMember) connect(ctx context.Context, to netip.Addr) error {
	began := time.Now()
	for asked := (time.Time{}); time.Since(began) < crowdPatience; {
		s, err := m.client.Status(ctx)
		switch {
		case errors.Is(err, client.ErrStopped), err == nil && !s.Registered: // not yet
		case err != nil:
			return err
		case len(s.Peers) > 0 && s.Peers[0].State == "ESTABLISHED":
			return nil
		case time.Since(asked) > time.Second:
			asked = time.Now()
			m.say(to)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%v has no tunnel to %v after %v", m.vpn, to, crowdPatience)
}

// say sends a small packet: of UDP, to the port that discards.
func (m *crowdMember) say(to netip.Addr) {
	const length, udpHeader = 20 + 8 + 32, 20
	p := make([]byte, length)
	p[0], p[3], p[8], p[9] = 0x45, length, 64, syscall.IPPROTO_UDP
	src, dst := m.vpn.As4(), to.As4()
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	sum := uint32(0)
	for i := 0; i < udpHeader; i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	sum = ^(sum&0xffff + sum>>16)
	p[10], p[11] = byte(sum>>8), byte(sum)
	p[udpHeader+1], p[udpHeader+3], p[udpHeader+5] = 9, 9, length-udpHeader // without checksum
	m.device.Inject(p)
}

// talk sends now and then.
func (m *crowdMember) talk(ctx context.Context, to netip.Addr) {
	ticker := time.NewTicker(crowdTalk)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.device.Delivered(): // what is answered is of no interest
		case <-ticker.C:
			m.say(to)
		}
	}
}
