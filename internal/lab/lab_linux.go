package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// The first addresses of the Internet belong to itself, which measures NATs
// from there.
var (
	probe1 = netip.MustParseAddr("203.0.113.2")
	probe2 = netip.MustParseAddr("203.0.113.3")
)

// The last part of the first address that a host gets, on the Internet and in a
// LAN: below are the gateway and the probes.
const (
	firstPublicHost = 10
	firstHost       = 2
)

// A Lab is a laboratory. It is safe for concurrent use.
type Lab struct {
	entry *entry
	log   *slog.Logger
	ipv6  bool
	env   []string // of processes, beyond our own

	internet *segment
	world    *Node // the namespace of the Internet

	mu    sync.Mutex // protects the following
	nodes []*Node    // in the order of creation, world first
	procs []*Process
	lans  int // LANs made so far
	ended bool
}

// New removes leftovers of labs whose program was killed (see [Sweep]) and
// makes a lab that consists of an empty Internet. The context limits the
// making; it does not end the lab, which [Lab.Close] does.
func New(ctx context.Context, o Options) (*Lab, error) {
	if err := Preflight(); err != nil {
		return nil, err
	}
	l := &Lab{log: o.Log, ipv6: o.IPv6, env: slices.Clone(o.Env)}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if swept, err := Sweep(false); err != nil {
		// What cannot be removed is a nuisance, but not in our way.
		l.log.Warn("Cannot remove all leftovers", "err", err)
	} else if len(swept.Removed) > 0 {
		l.log.Info("Removed leftovers", "labs", swept.Removed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var err error
	if l.entry, err = register(); err != nil {
		return nil, err
	}
	if err := l.makeInternet(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// needRoot returns an error for anybody but root.
func needRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return &hinted{
		errors.New("lab: only root can make and remove network namespaces and TUN devices"),
		"run it with sudo; nothing outside of its own namespaces is changed",
	}
}

// Preflight reports, in a sentence for people, why no lab can be made here, as
// far as this can be known before trying.
func Preflight() error {
	if err := needRoot(); err != nil {
		return err
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return &hinted{
			fmt.Errorf("lab: the kernel's TUN driver cannot be used: %w", err),
			"load it with: modprobe tun; a container needs --device /dev/net/tun",
		}
	}
	return f.Close()
}

// makeInternet makes the namespace of the Internet and its bridge.
func (l *Lab) makeInternet() error {
	ns, err := newNamespace(l.namespaceName("internet"))
	if err != nil {
		return err
	}
	l.world = &Node{lab: l, name: "internet", ns: ns}
	l.nodes = append(l.nodes, l.world)
	l.internet = &segment{
		ns: ns, bridge: "inet",
		prefix4: internet4, next: firstPublicHost,
	}
	own := []netip.Addr{nth(internet4, 1), probe1, probe2}
	if l.ipv6 {
		l.internet.prefix6 = internet6
		own = append(own, nth(internet6, 1))
		// It routes between the networks behind NATs, which no bridge does.
		if err := ns.sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
			return err
		}
	}
	return l.internet.make(own)
}

// namespaceName returns the system-wide name of a node's namespace.
func (l *Lab) namespaceName(node string) string { return namePrefix + l.entry.id + "-" + node }

// ID returns the name of the lab, which no other lab on the system has.
func (l *Lab) ID() string { return l.entry.id }

// Dir returns the lab's folder for temporary files, which [Lab.Close] removes.
func (l *Lab) Dir() string { return l.entry.Dir }

// AddHost adds a host: on the Internet, with a public address, or behind a NAT
// if there is one. Names of hosts and NATs are of letters, digits, dots and
// underscores, and are not used twice. After an error there may be half a host
// of that name, until the lab is closed.
func (l *Lab) AddHost(name string, behind *NAT) (*Host, error) {
	node, err := l.addNode(name)
	if err != nil {
		return nil, err
	}
	if err := l.segmentOf(behind).connect(node, "eth0"); err != nil {
		return nil, err
	}
	return &Host{Node: node}, nil
}

// segmentOf returns the network behind nat, or the Internet.
func (l *Lab) segmentOf(nat *NAT) *segment {
	if nat == nil {
		return l.internet
	}
	return nat.lan
}

// addNode makes a namespace for a new node.
func (l *Lab) addNode(name string) (*Node, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, os.ErrClosed
	}
	if slices.ContainsFunc(l.nodes, func(n *Node) bool { return n.name == name }) {
		return nil, fmt.Errorf("lab: there is a %q already", name)
	}
	ns, err := newNamespace(l.namespaceName(name))
	if err != nil {
		return nil, err
	}
	n := &Node{lab: l, name: name, ns: ns}
	l.nodes = append(l.nodes, n)
	return n, nil
}

// checkName accepts what can be part of a file name and of a namespace's name,
// in which a hyphen separates the parts.
func checkName(name string) error {
	for _, r := range name {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_') {
			return fmt.Errorf("lab: a name has letters, digits, dots and underscores: %q", name)
		}
	}
	if name == "" || len(name) > 64 {
		return fmt.Errorf("lab: a name has 1 to 64 characters: %q", name)
	}
	return nil
}

// Nodes returns the names of the lab's namespaces by the names of the nodes in
// them, for nsenter --net=/run/netns/NAME and ip netns exec NAME.
func (l *Lab) Nodes() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make(map[string]string, len(l.nodes))
	for _, n := range l.nodes {
		names[n.name] = n.ns.name
	}
	return names
}

// Keep leaves the lab as it is, with everything that runs in it, when the
// program ends. It is removed by [Sweep] if told so. The lab cannot be used
// after Keep; Close has no effect.
func (l *Lab) Keep() error {
	if !l.end() {
		return os.ErrClosed
	}
	l.entry.Kept = true
	err := l.entry.write()
	for _, n := range l.nodes {
		err = errors.Join(err, n.ns.close())
	}
	return errors.Join(err, release(l.entry.file))
}

// Close ends everything that runs in the lab, the latest first, and removes
// the lab. Each process gets SIGTERM and three seconds. It returns what could
// not be removed. The second call does nothing.
func (l *Lab) Close() error {
	if !l.end() {
		return nil
	}
	var errs []error
	for _, p := range slices.Backward(l.procs) {
		errs = append(errs, p.Stop())
	}
	for _, n := range l.nodes {
		errs = append(errs, n.ns.close())
	}
	if err := l.entry.demolish(); err != nil {
		// The entry stays, without its lock, for the next sweep.
		errs = append(errs, err, l.entry.file.Close())
	} else {
		errs = append(errs, l.entry.unregister(), tidyRegistry())
	}
	return errors.Join(errs...)
}

// end marks the lab as ended, so that nothing is added any more, and reports
// whether it was not yet.
func (l *Lab) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.ended = true
	return true
}

// logDir returns the folder of the processes' logs, which it makes.
func (l *Lab) logDir() (string, error) {
	dir := filepath.Join(l.Dir(), "log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("lab: make the folder of logs: %w", err)
	}
	return dir, nil
}
