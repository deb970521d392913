package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s until %s", what)
		}
	}
}

// exits waits for the end of a peer's client and returns its exit status.
func (p *meshPeer) exits() int {
	p.m.t.Helper()
	ctx, cancel := context.WithTimeout(p.m.t.Context(), 20*time.Second)
	defer cancel()
	err := p.process.Wait(ctx)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	p.m.t.Fatal(err)
	return -1
}

// tun does something to the peer's virtual interface.
func (p *meshPeer) tun(do func(netlink.Link) error) {
	p.m.t.Helper()
	err := p.Do(func() error {
		link, err := netlink.LinkByName("tun0")
		if err != nil {
			return err
		}
		return do(link)
	})
	if err != nil {
		p.m.t.Fatal(err)
	}
}

// TestD_C1_DeviceTaken: somebody takes the virtual interface down, and later
// deletes it, while a peer sends. The original aborts on the next packet, without
// a word to the server.
func TestD_C1_DeviceTaken(t *testing.T) {
	t.Parallel()
	m, a, b := started(t)
	b.tun(netlink.LinkSetDown)
	if _, err := a.Ping(t.Context(), b.vpn, lab.PingOptions{Count: 5, Patience: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	b.tun(netlink.LinkSetUp)
	b.signal(syscall.SIGHUP) // it is still there to hear it
	m.awaitSince(b.process, time.Time{}, "reloading the configuration")

	since := time.Now()
	b.tun(netlink.LinkDel)
	if code := b.exits(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	m.awaitSince(m.rdv, since, "Deleting the client")
	m.awaitSince(a.process, since, "DTLS connection closed by peer")
	if tail := b.process.Tail(); !strings.Contains(tail, "campagnol: client: ") || strings.Contains(tail, "goroutine") {
		t.Errorf("the client has not said why it ends:\n%s", tail)
	}
}

// TestD_C14_LockedDaemon: -m holds in the background too, where the original
// loses it; and the rest of what -D does.
func TestD_C14_LockedDaemon(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	a := m.peers[0]
	pidfile := filepath.Join(m.lab.Dir(), "campagnol.pid")
	first, err := a.Start("daemon", filepath.Join(binaries, "campagnol"), "-Dmv", "--pid", pidfile, a.conf)
	if err != nil {
		t.Fatal(err)
	}
	a.process = first
	if code := a.exits(); code != 0 {
		t.Fatalf("exit status %d: %s", code, first.Tail())
	}
	// Warnings of the start are shown too; what -v adds goes to syslog.
	if got := first.Tail(); !strings.HasPrefix(got, "Going in background...\n") || strings.Contains(got, "Configuration:") {
		t.Errorf("output %q, want %q and no configuration", got, "Going in background...")
	}
	text := readFile(t, pidfile)
	pid, err := strconv.Atoi(strings.TrimSuffix(text, "\n"))
	if err != nil || text != fmt.Sprintln(pid) {
		t.Fatalf("the pid file contains %q", text)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	var locked int
	_, after, _ := strings.Cut(readFile(t, fmt.Sprintf("/proc/%d/status", pid)), "VmLck:")
	if n, err := fmt.Sscanf(after, "%d kB", &locked); n != 1 || err != nil || locked == 0 {
		t.Errorf("%d kB are locked (%v), want some", locked, err)
	}
	m.await(m.rdv, "Adding new client")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await(m.rdv, "Deleting the client")
	await(t, "the pid file is removed", func() bool {
		_, err := os.Stat(pidfile)
		return errors.Is(err, os.ErrNotExist)
	})
}

// TestTermination: each signal to end is obeyed at once, with status 0, and the
// server and the peer are told.
func TestTermination(t *testing.T) {
	t.Parallel()
	m, a, b := started(t)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		since := b.signal(s)
		if code := b.exits(); code != 0 {
			t.Errorf("%v: exit status %d, want 0", s, code)
		}
		m.awaitSince(b.process, since, "Received signal")
		m.awaitSince(m.rdv, since, "Deleting the client")
		m.awaitSince(a.process, since, "DTLS connection closed by peer")
		b.start()
		b.ping(a, 3)
	}
}

// TestD_C16_SmallPath: the ways out of both homes carry 1400 bytes, of which nobody
// has been told. Full packets come through: the sender's kernel learns what fits,
// or its packets are cut. In the original they vanish.
func TestD_C16_SmallPath(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b := m.peers[0], m.peers[1]
	for _, p := range m.peers {
		if err := p.nat.Link().SetMTU(1400); err != nil {
			t.Fatal(err)
		}
		p.start()
	}
	a.ping(b, 3)
	for _, way := range [][2]*meshPeer{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		if _, err := from.PingUntil(t.Context(), to.vpn, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		r, err := lab.Bulk(t.Context(), from.Node, to.Node, netip.AddrPortFrom(to.vpn, 0), lab.BulkOptions{Size: 4 << 20})
		if err != nil {
			t.Errorf("%s sends 4 MB to %s: %v", from.Name(), to.Name(), err)
		}
		t.Logf("%s to %s: %v", from.Name(), to.Name(), r)
		if got := from.process.Tail(); !strings.Contains(got, "The path to the peer carries smaller packets") {
			t.Errorf("%s has not heard of the small path", from.Name())
		}
		// A first answer may be lost: what fits has to be learnt there as well.
		pings, err := from.Ping(t.Context(), to.vpn, lab.PingOptions{Count: 5, Size: 1419 - 28})
		if err != nil || pings.Received() < 4 {
			t.Errorf("%s pings with full packets: %v, %v", from.Name(), pings, err)
		}
	}
}

// TestBlackHole: the same, and no router says so: what ICMP would tell is dropped on
// the way to both hosts. In the original full packets vanish for ever.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b := m.peers[0], m.peers[1]
	for _, p := range m.peers {
		if err := p.nat.Link().SetMTU(1400); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Link().Drop(lab.ToNode, lab.Match{Protocol: unix.IPPROTO_ICMP}); err != nil {
			t.Fatal(err)
		}
		p.start()
	}
	a.ping(b, 3)
	m.await(a.process, "The path to the peer carries smaller packets")
	m.await(b.process, "The path to the peer carries smaller packets")
	for _, way := range [][2]*meshPeer{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		// Of full packets that must not be cut, a first one may go to tell the sender.
		pings, err := from.Ping(t.Context(), to.vpn, lab.PingOptions{Count: 20, Size: 1419 - 28, Interval: 10 * time.Millisecond})
		if err != nil || pings.Received() < 19 {
			t.Errorf("%s pings with full packets: %v, %v", from.Name(), pings, err)
		}
		r, err := lab.Bulk(t.Context(), from.Node, to.Node, netip.AddrPortFrom(to.vpn, 0), lab.BulkOptions{Size: 4 << 20})
		if err != nil {
			t.Errorf("%s sends 4 MB to %s: %v", from.Name(), to.Name(), err)
		}
		t.Logf("%s to %s: %v", from.Name(), to.Name(), r)
	}
}

// TestOneQueue: a key that has lost its meaning is said to have, and does no
// harm.
func TestOneQueue(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	p := m.peers[0]
	p.configure("tun_one_queue = yes\n[NETWORK]\ntap_id = tap0901\n")
	p.start()
	if n := p.count(p.conf + ": tun_one_queue has no effect"); n != 1 {
		t.Errorf("%d warnings about tun_one_queue, want 1:\n%s", n, p.process.Tail())
	}
}
