package lab

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// here returns the network namespace of the calling thread.
func here(t testing.TB) inode {
	t.Helper()
	ino, err := inodeOf("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return ino
}

func TestDo(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	inside, err := inodeOf(h.Namespace())
	if err != nil {
		t.Fatal(err)
	}
	home := here(t)

	want := errors.New("what fn returns")
	err = h.Do(func() error {
		if got := here(t); got != inside {
			t.Errorf("Do runs in namespace %v, want %v", got, inside)
		}
		// What fn starts is outside: it must not depend on where Do is.
		outside := make(chan inode)
		go func() { outside <- here(t) }()
		if got := <-outside; got != home {
			t.Errorf("a goroutine started by Do is in namespace %v, want %v", got, home)
		}
		return want
	})
	if !errors.Is(err, want) {
		t.Errorf("Do returned %v, want %v", err, want)
	}
	if err := h.Do(func() error { runtime.Goexit(); return nil }); !errors.Is(err, errGoexit) {
		t.Errorf("Do of a function that ends its goroutine returned %v, want %v", err, errGoexit)
	}
}

// TestDoNeverLeaksThreads enters and leaves a namespace from many goroutines,
// some of which spoil the way back, and looks at every thread afterwards.
func TestDoNeverLeaksThreads(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	inside, err := inodeOf(h.Namespace())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if err := h.Do(func() error { return nil }); err != nil {
				t.Error(err)
			}
			if i%10 != 0 {
				return
			}
			// One namespace inside the other: the way back is through both.
			err := h.Do(func() error { return l.world.Do(func() error { return h.Do(func() error { return nil }) }) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("cannot list threads: %v", err)
	}
	for _, task := range tasks {
		if ino, err := inodeOf(task); err == nil && ino == inside {
			t.Errorf("thread %s was left inside the namespace", task)
		}
	}
}

// TestSocketsStayInside uses sockets outside of Do.
func TestSocketsStayInside(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	err := h.Do(func() error {
		ifs, err := net.Interfaces()
		if err != nil {
			return err
		}
		var names []string
		for _, i := range ifs {
			names = append(names, i.Name)
		}
		if got, want := strings.Join(names, " "), "lo eth0"; got != want {
			t.Errorf("the host has interfaces %s, want %s", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f := newFlow(t, h, addHost(t, l, "server", nil))
	f.wantBack(f.outer(), true)
}

func TestSysctl(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	read := func() string {
		b, err := os.ReadFile("/proc/sys/net/ipv4/ip_default_ttl")
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b))
	}
	outside := read()
	if err := h.ns.sysctl("net/ipv4/ip_default_ttl", "77"); err != nil {
		t.Fatal(err)
	}
	err := h.Do(func() error {
		if got := read(); got != "77" {
			t.Errorf("inside, the parameter is %s, want 77", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(); got != outside {
		t.Errorf("outside, the parameter became %s, was %s", got, outside)
	}
	if err := h.ns.sysctl("net/no/such", "1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unknown parameter: error %v, want %v", err, os.ErrNotExist)
	}
	if err := h.ns.sysctlIfAny("net/no/such", "1"); err != nil {
		t.Errorf("an unknown parameter that need not exist: error %v", err)
	}
}

func TestNamespaceErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	if _, err := newNamespace(h.ns.name); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second namespace of one name: error %v, want %v", err, os.ErrExist)
	}
	if err := removeNamespace(namePrefix + "nobody"); err != nil {
		t.Errorf("removing a namespace that does not exist: %v", err)
	}
	// What a program leaves that is killed between making the file and
	// mounting the namespace on it.
	name := h.ns.name + ".half"
	if err := os.WriteFile(filepath.Join(namespaceDir, name), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := removeNamespace(name); err != nil {
		t.Errorf("removing half a namespace: %v", err)
	}
	for _, c := range []struct {
		err  error
		hint string
	}{
		{nftablesError("x", unix.EOPNOTSUPP), "modprobe"},
		{nftablesError("x", unix.ENOENT), "modprobe"},
		{nftablesError("x", unix.EPERM), ""},
		{namespaceError("x", unix.EPERM), "container"},
		{namespaceError("x", unix.ENOSPC), ""},
	} {
		var h interface{ Hint() string }
		switch ok := errors.As(c.err, &h); {
		case ok != (c.hint != ""):
			t.Errorf("%v has a hint: %v, want %v", c.err, ok, c.hint != "")
		case ok && !strings.Contains(h.Hint(), c.hint):
			t.Errorf("the hint of %v is %q, want one with %q", c.err, h.Hint(), c.hint)
		}
	}
}
