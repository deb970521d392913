package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"campagnol/internal/lab"
)

// TestQueues: with several queues and sockets, behind NATs, several transfers in
// both directions at once arrive whole, and the address that others see is one.
func TestQueues(t *testing.T) {
	t.Parallel()
	const queues, flows, size = 3, 8, 4 << 20
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b := m.peers[0], m.peers[1]
	a.configure("[CLIENT]\nqueues = 3\n[NETWORK]\ntun_device = vpn0\n")
	a.start()
	b.start()
	a.ping(b, 5)
	b.ping(a, 5)
	var wg sync.WaitGroup
	for i := range flows {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		wg.Go(func() {
			if _, err := lab.Bulk(t.Context(), from.Node, to.Node, netip.AddrPortFrom(to.vpn, 0), lab.BulkOptions{Size: size}); err != nil {
				t.Errorf("flow %d: %v", i, err)
			}
		})
	}
	wg.Wait()

	if got := descriptors(t, a.process.PID(), "/dev/net/tun"); got != queues {
		t.Errorf("the client has %d queues open, want %d", got, queues)
	}
	if err := a.process.Stop(); err != nil {
		t.Errorf("with several queues the client ends so: %v", err)
	}
}

// descriptors returns how many descriptors of a file a process has.
func descriptors(t *testing.T, pid int, file string) (n int) {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("the descriptors of process %d: %v, %v", pid, fds, err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == file {
			n++
		}
	}
	return n
}
