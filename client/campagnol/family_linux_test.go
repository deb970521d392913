package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"campagnol/internal/testenv"
	"campagnol/punch/udp"
)

// TestRouted: a host in a network of its own knows no way to anybody.
func TestRouted(t *testing.T) {
	if a := netip.MustParseAddr("127.0.0.1"); !udp.Routed(a) {
		t.Errorf("no way to %v", a)
	}
	testenv.Root(t)
	ips := []string{"192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"}
	for _, a := range ips {
		if got := inEmptyNetwork(t, func() bool { return udp.Routed(netip.MustParseAddr(a)) }); got {
			t.Errorf("a way to %s where no interface is up", a)
		}
	}
}

// inEmptyNetwork runs f on a thread in a network namespace in which no interface is up.
func inEmptyNetwork(t *testing.T, f func() bool) (result bool) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			result = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(fmt.Errorf("make a network namespace: %w", err))
	}
	return result
}
