package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A kernelWorld is a demonstration's world made of a Lab.
type kernelWorld struct {
	o      DemoOptions
	lab    *Lab // nil before Build
	server *Host
	peers  []*Host
	nats   []*NAT           // of the peers; nil: none
	outer  []netip.Addr     // of the peers: where datagrams for them go
	creds  []Credentials    // of the peers, then of the RDV if it is to have any
	procs  map[int]*Process // by peer, or theServer
}

func newKernelWorld(o DemoOptions) (world, error) {
	if err := Preflight(); err != nil {
		return nil, err
	}
	return &kernelWorld{o: o, procs: map[int]*Process{}}, nil
}

func (w *kernelWorld) Build(ctx context.Context, plan []Kind) (top Topology, err error) {
	if w.lab, err = New(ctx, Options{IPv6: w.o.Underlay == underlayIPv6 || w.o.Underlay == underlayDual}); err != nil {
		return top, err
	}
	if w.server, err = w.lab.AddHost(nameOf(theServer), nil); err != nil {
		return top, err
	}
	if err := w.reduce(w.server); err != nil {
		return top, err
	}
	top = Topology{Lab: w.lab.ID(), Server: underlayAddr(w.server, w.o.Underlay)}
	for i, kind := range plan {
		if err := ctx.Err(); err != nil {
			return top, context.Cause(ctx)
		}
		place, err := w.addPeer(i, kind)
		if err != nil {
			return top, err
		}
		top.Peers = append(top.Peers, place)
	}
	return top, nil
}

// addPeer makes the host of a peer, and its NAT.
func (w *kernelWorld) addPeer(peer int, kind Kind) (place PeerPlace, err error) {
	var nat *NAT
	if kind != None {
		if nat, err = w.lab.AddNAT(fmt.Sprintf("nat%d", peer+1), NATOptions{Kind: kind}); err != nil {
			return place, err
		}
		place.NAT, place.Outer = nat.Name(), nat.Addr()
	}
	h, err := w.lab.AddHost(nameOf(peer), nat)
	if err != nil {
		return place, err
	}
	if err := w.reduce(h); err != nil {
		return place, err
	}
	place.Addr = underlayAddr(h, w.o.Underlay)
	if w.o.Underlay == underlayIPv6 {
		place.Outer = netip.Addr{} // the host's own is known outside
	}
	outer := place.Outer
	if !outer.IsValid() {
		outer = place.Addr
	}
	w.outer = append(w.outer, outer)
	w.peers, w.nats = append(w.peers, h), append(w.nats, nat)
	return place, nil
}

// reduce takes from a host what is not to be below the VPN.
func (w *kernelWorld) reduce(h *Host) error {
	if w.o.Underlay != underlayIPv6 {
		return nil
	}
	return h.DropIPv4()
}

func (w *kernelWorld) Measure(ctx context.Context, peer int) (Behaviour, error) {
	return w.lab.Measure(ctx, w.peers[peer])
}

func (w *kernelWorld) Certify(context.Context) (err error) {
	hosts := make([]Identity, len(w.peers))
	for i, h := range w.peers {
		hosts[i] = Identity{Name: h.Name(), Addr: vpnAddr(i)}
	}
	if w.o.authenticates() {
		hosts = append(hosts, Identity{Name: nameOf(theServer), RDV: true})
	}
	w.creds, err = w.o.Certify(filepath.Join(w.lab.Dir(), "ca"), hosts)
	if err == nil && len(w.creds) != len(hosts) {
		err = fmt.Errorf("lab: %d certificates for %d hosts", len(w.creds), len(hosts))
	}
	return err
}

// programArgs make a program log what the demonstration reads.
var programArgs = []string{"-d", "--log-format", "json"}

func (w *kernelWorld) StartServer(ctx context.Context) (how string, err error) {
	program := Binary{w.o.Server, w.o.Server}
	if program.Path == "" {
		bin := filepath.Join(w.lab.Dir(), "bin")
		if err := os.MkdirAll(bin, 0o700); err != nil {
			return "", err
		}
		if program, err = FindBinary(ctx, ServerPackage, bin); err != nil {
			return "", err
		}
	}
	args := slices.Clone(programArgs)
	if w.o.authenticates() {
		c := w.creds[len(w.peers)]
		args = append(args, "--certificate", c.Certificate, "--key", c.Key, "--ca", c.CA, "--auth", w.o.RDVMode)
	}
	if w.o.Relay {
		args = append(args, "--relay")
	}
	w.procs[theServer], err = w.server.Start("campagnol_rdv", program.Path, args...)
	return program.How, err
}

// stateDir returns the folder for what a peer remembers, in the peer's own.
func (w *kernelWorld) stateDir(peer int) string {
	return filepath.Join(w.lab.Dir(), nameOf(peer), "state")
}

func (w *kernelWorld) StartClient(_ context.Context, peer int) (err error) {
	state := w.stateDir(peer)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	file := filepath.Join(filepath.Dir(state), "campagnol.conf")
	text := clientConfig(peer, underlayAddr(w.server, w.o.Underlay), w.creds[peer], state, w.o.Mode)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	w.procs[peer], err = w.peers[peer].Start("campagnol", w.o.Client, append(slices.Clone(programArgs), file)...)
	return err
}

func (w *kernelWorld) Await(ctx context.Context, who int, since time.Time, p Pattern) (LogLine, error) {
	return w.procs[who].Await(ctx, since, p)
}

func (w *kernelWorld) Ping(ctx context.Context, from, to int, o PingOptions) (PingResult, error) {
	return w.peers[from].Ping(ctx, vpnAddr(to), o)
}

func (w *kernelWorld) Broadcast(ctx context.Context, from int, to []int) ([]Delivery, error) {
	nodes := make([]*Node, len(to))
	for i, peer := range to {
		nodes[i] = w.peers[peer].Node
	}
	return Broadcast(ctx, w.peers[from].Node, vpnBroadcast(), nodes...)
}

func (w *kernelWorld) Bulk(ctx context.Context, from, to int, size int64) (BulkResult, error) {
	return Bulk(ctx, w.peers[from].Node, w.peers[to].Node, netip.AddrPortFrom(vpnAddr(to), 0), BulkOptions{Size: size})
}

func (w *kernelWorld) ServerTraffic() (Traffic, error) { return w.server.Link().Traffic() }

func (w *kernelWorld) Tail(who int) string {
	if p := w.procs[who]; p != nil {
		return p.Tail()
	}
	return "(not started)\n"
}

// Keep keeps the lab and tells how to enter it.
func (w *kernelWorld) Keep() ([]string, error) {
	if w.lab == nil {
		return nil, errors.New("lab: there is nothing to keep")
	}
	nodes := w.lab.Nodes()
	if err := w.lab.Keep(); err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("the lab %s runs on; its logs and configuration are in %s", w.lab.ID(), w.lab.Dir())}
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		lines = append(lines, fmt.Sprintf("enter %-9s nsenter --net=%s", node+":", filepath.Join(namespaceDir, nodes[node])))
	}
	return append(lines,
		fmt.Sprintf("for example:    nsenter --net=%s ping %v", filepath.Join(namespaceDir, nodes[nameOf(0)]), vpnAddr(1)),
		fmt.Sprintf("ask a peer:     campagnol status --socket %s", controlSocket(w.stateDir(0))),
		"remove it:      campagnol lab --clean"), nil
}

// Close removes the lab and makes sure that it is gone.
func (w *kernelWorld) Close() error {
	if w.lab == nil {
		return nil
	}
	if err := w.lab.Close(); err != nil {
		return err
	}
	left, err := w.lab.entry.namespaces()
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("lab: namespaces are left: %v", left)
	}
	return err
}
