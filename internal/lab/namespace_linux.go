package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where network namespaces have their names, as with ip-netns(8).
const namespaceDir = "/run/netns"

// The netlink library finds out the byte order of the machine at its first
// use, without a lock; this is the first use.
var _ = nl.NativeEndian()

// errGoexit is what do returns when its function ends the goroutine instead of
// returning, as t.FailNow does.
var errGoexit = errors.New("lab: the function ended its goroutine inside a namespace")

// A namespace is a named network namespace. It is safe for concurrent use.
type namespace struct {
	name string

	mu sync.RWMutex   // protects the following
	fd netns.NsHandle // not open after close
}

// newNamespace makes a network namespace and gives it a name in namespaceDir.
func newNamespace(name string) (*namespace, error) {
	ns := &namespace{name: name}
	err := onThread(func() (err error) {
		ns.fd, err = netns.NewNamed(name)
		return err
	})
	if err != nil {
		return nil, namespaceError(name, err)
	}
	if err := ns.prepare(); err != nil {
		return nil, errors.Join(err, ns.close(), removeNamespace(name))
	}
	return ns, nil
}

// prepare brings up the loopback interface, makes IPv6 addresses usable at once,
// and sets what a new namespace takes over from the machine, so that labs are
// the same everywhere.
func (ns *namespace) prepare() error {
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter"} {
		if err := ns.sysctl(key, "0"); err != nil {
			return err
		}
	}
	for _, conf := range []string{"all", "default"} {
		// Without duplicate address detection (RFC 4862 section 5.4) an
		// address may be bound as soon as it is set.
		if err := ns.sysctlIfAny("net/ipv6/conf/"+conf+"/accept_dad", "0"); err != nil {
			return err
		}
		// Nobody in a lab advertises routers.
		if err := ns.sysctlIfAny("net/ipv6/conf/"+conf+"/accept_ra", "0"); err != nil {
			return err
		}
	}
	return ns.netlink(func(h *netlink.Handle) error {
		lo, err := h.LinkByName("lo")
		if err != nil {
			return err
		}
		return h.LinkSetUp(lo)
	})
}

// path returns the file that names the namespace, which nsenter --net takes.
func (ns *namespace) path() string { return filepath.Join(namespaceDir, ns.name) }

// close gives up the handle. The namespace itself lives until it has neither
// name nor process nor socket.
func (ns *namespace) close() error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.fd.Close()
}

// withFD calls fn with a descriptor of the namespace, which fn does not keep.
// After close it returns os.ErrClosed.
func (ns *namespace) withFD(fn func(fd int) error) error {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	if !ns.fd.IsOpen() {
		return os.ErrClosed
	}
	return fn(int(ns.fd))
}

// do runs fn on an operating system thread inside the namespace and waits for
// it. Sockets that fn makes and processes that it starts belong to the
// namespace for life; goroutines that it starts do not.
func (ns *namespace) do(fn func() error) error {
	return onThread(func() error {
		err := ns.withFD(func(fd int) error { return netns.Set(netns.NsHandle(fd)) })
		if err != nil {
			return fmt.Errorf("lab: enter namespace %s: %w", ns.name, err)
		}
		return fn()
	})
}

// onThread runs fn, which may change the network namespace of its thread, on a
// goroutine of its own and waits for it.
//
// The goroutine owns its thread. The thread returns to the other goroutines
// only when it is back in the namespace it came from: otherwise it stays
// locked, and the runtime ends it together with the goroutine. New threads are
// never started from a locked one, so that none inherits the namespace.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { done <- err }()
		runtime.LockOSThread()
		home, homeErr := netns.Get()
		if homeErr != nil {
			runtime.UnlockOSThread()
			err = fmt.Errorf("lab: find the thread's own namespace: %w", homeErr)
			return
		}
		defer func() {
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
			home.Close()
		}()
		err = fn()
	}()
	return <-done
}

// netlink runs fn with a route netlink handle of the namespace.
func (ns *namespace) netlink(fn func(*netlink.Handle) error) error {
	return ns.withHandle(unix.NETLINK_ROUTE, fn)
}

// withHandle runs fn with a netlink handle of the given family.
func (ns *namespace) withHandle(family int, fn func(*netlink.Handle) error) error {
	var h *netlink.Handle
	err := ns.do(func() (err error) {
		h, err = netlink.NewHandle(family)
		return err
	})
	if err != nil {
		return fmt.Errorf("lab: netlink in namespace %s: %w", ns.name, err)
	}
	defer h.Close()
	return fn(h)
}

// nftables runs fn with a connection to the namespace's nftables and sends what
// it queued.
func (ns *namespace) nftables(fn func(*nftables.Conn) error) error {
	var c *nftables.Conn
	err := ns.do(func() (err error) {
		c, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		return nftablesError(ns.name, err)
	}
	defer c.CloseLasting()
	if err := fn(c); err != nil {
		return nftablesError(ns.name, err)
	}
	if err := c.Flush(); err != nil {
		return nftablesError(ns.name, err)
	}
	return nil
}

// namespaceError says what to do where namespaces cannot be made.
func namespaceError(name string, err error) error {
	wrapped := fmt.Errorf("lab: make network namespace %s: %w", name, err)
	if errors.Is(err, unix.EPERM) {
		return &hinted{wrapped, "a container has to be privileged for this"}
	}
	return wrapped
}

// nftablesError says what to do about the errors of a kernel without nftables.
func nftablesError(name string, err error) error {
	wrapped := fmt.Errorf("lab: nftables in namespace %s: %w", name, err)
	for _, absent := range []error{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EINVAL, unix.ENOENT} {
		if errors.Is(err, absent) {
			return &hinted{wrapped, "the kernel needs nftables with NAT: " +
				"modprobe -a nf_tables nft_chain_nat nft_masq nft_ct nft_fib_ipv4 nft_numgen nf_conntrack_netlink"}
		}
	}
	return wrapped
}

// sysctl sets a kernel parameter; key is its path below /proc/sys. What is
// below net belongs to the namespace of the thread that opens the file.
func (ns *namespace) sysctl(key, value string) error {
	err := ns.do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644)
	})
	if err != nil {
		return fmt.Errorf("lab: set %s in namespace %s: %w", strings.ReplaceAll(key, "/", "."), ns.name, err)
	}
	return nil
}

// sysctlIfAny is sysctl for parameters that not every kernel has.
func (ns *namespace) sysctlIfAny(key, value string) error {
	if err := ns.sysctl(key, value); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeNamespace takes the name of a namespace away. It is no error if there
// is no such name, or if it is a leftover that names nothing.
func removeNamespace(name string) error {
	path := filepath.Join(namespaceDir, name)
	// EINVAL: a file that nothing is mounted on, from a program that was
	// killed between making the one and the other.
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("lab: remove network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("lab: remove network namespace %s: %w", name, err)
	}
	return nil
}

// namespacesNamed returns the names of all namespaces that begin with prefix.
func namespacesNamed(prefix string) ([]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lab: list network namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
