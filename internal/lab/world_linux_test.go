package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// standIn returns a program that plays a helper of the tests, whatever
// arguments it gets.
func standIn(t *testing.T, helper string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), helper)
	write(t, path, fmt.Sprintf("#!/bin/sh\nexec %q %s %s \"$@\"\n", os.Args[0], helperArg, helper))
	return path
}

// fakeCertify makes files that no client looks at.
func fakeCertify(dir string, hosts []Identity) ([]Credentials, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	var all []Credentials
	for i, h := range hosts {
		if want := (Identity{Name: nameOf(i), Addr: vpnAddr(i)}); h != want {
			return nil, fmt.Errorf("host %d is %v, want %v", i, h, want)
		}
		name := filepath.Join(dir, h.Name)
		all = append(all, Credentials{name + ".crt", name + ".key", filepath.Join(dir, "ca.crt")})
	}
	return all, nil
}

// kernelDemo plays a demonstration on the kernel with programs of the tests in
// place of the project's, which have no tunnels: the peers must not be behind
// NATs.
func kernelDemo(t *testing.T, ctx context.Context, change func(*DemoOptions)) (steps []Step, id string, err error) {
	t.Helper()
	needLab(t)
	o := DemoOptions{
		Peers: 3, Size: 5_000_000,
		Client: standIn(t, "client"), Server: standIn(t, "server"), Certify: fakeCertify,
		Report: func(s Step) { steps = append(steps, s) },
	}
	if change != nil {
		change(&o)
	}
	err = Demo(ctx, o)
	if len(steps) > 0 {
		if top, ok := steps[0].Data.(Topology); ok {
			id = top.Lab
		}
	}
	return steps, id, err
}

func TestDemoOnTheKernel(t *testing.T) {
	t.Parallel()
	steps, id, err := kernelDemo(t, testContext(t), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, texts(steps))
	}
	checkGone(t, id, "/nonexistent")
	var names []string
	for _, s := range steps {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	want := []string{"network", "nat", "certificates", "rdv", "register", "connect", "ping", "broadcast", "transfer", "direct", "idle", "removed"}
	if !slices.Equal(names, want) {
		t.Errorf("the steps were %q, want %q\n%s", names, want, texts(steps))
	}
}

// TestDemoOnTheKernelWithServer plays with the real rendezvous server, found as
// a user's would be.
func TestDemoOnTheKernelWithServer(t *testing.T) {
	t.Parallel()
	steps, id, err := kernelDemo(t, testContext(t), func(o *DemoOptions) { o.Peers, o.Server = 2, "" })
	if err != nil {
		t.Fatalf("%v\n%s", err, texts(steps))
	}
	checkGone(t, id, "/nonexistent")
	if got, want := texts(steps), "the rendezvous server listens (campagnol_rdv, "; !strings.Contains(got, want) {
		t.Errorf("the demonstration said\n%swant %q", got, want)
	}
}

// TestDemoOnTheKernelNeedsCertificates has too few of them.
func TestDemoOnTheKernelNeedsCertificates(t *testing.T) {
	t.Parallel()
	_, id, err := kernelDemo(t, testContext(t), func(o *DemoOptions) {
		o.Certify = func(string, []Identity) ([]Credentials, error) { return make([]Credentials, 2), nil }
	})
	if want := "certificates: lab: 2 certificates for 3 hosts"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	checkGone(t, id, "/nonexistent")
}

// TestDemoOnTheKernelHopeless has NATs, and pairs without a direct path: the
// programs of the tests have no path through NATs at all.
func TestDemoOnTheKernelHopeless(t *testing.T) {
	t.Parallel()
	steps, id, err := kernelDemo(t, testContext(t), func(o *DemoOptions) { o.NATs = [2]Kind{Symmetric, Symmetric} })
	if err != nil {
		t.Fatalf("%v\n%s", err, texts(steps))
	}
	checkGone(t, id, "/nonexistent")
	got := texts(steps)
	for _, want := range []string{
		"peer2 is at 192.168.2.2, behind nat2 with the outer address 203.0.113.12",
		"peer3 measured: mapping address-and-port-dependent, filtering address-and-port-dependent = symmetric, as asked for",
		"peer2 → peer3: no answer to 8 packets, as theory says",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the demonstration said\n%swant %q", got, want)
		}
	}
}

func TestDemoOnTheKernelFails(t *testing.T) {
	t.Parallel()
	steps, id, err := kernelDemo(t, testContext(t), func(o *DemoOptions) { o.Client = standIn(t, "fail") })
	var failed *DemoError
	want := `campagnol on peer1 ended (exit status 3) before it logged "Registration complete"`
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v, want one with %s\n%s", err, want, texts(steps))
	}
	if len(failed.Logs) != 2 || !strings.Contains(failed.Logs[0].Tail, "panic: something") || !strings.Contains(failed.Logs[1].Tail, "listening") {
		t.Errorf("the logs are %q, want those of the client and the server", failed.Logs)
	}
	checkGone(t, id, "/nonexistent")
}

func TestDemoOnTheKernelKept(t *testing.T) {
	t.Parallel()
	steps, id, err := kernelDemo(t, testContext(t), func(o *DemoOptions) { o.Keep = true })
	if err != nil {
		t.Fatalf("%v\n%s", err, texts(steps))
	}
	names, err := namespacesNamed(namePrefix + id)
	if err != nil || len(names) != 5 {
		t.Errorf("namespaces %v (%v) are kept, want 5", names, err)
	}
	got := texts(steps)
	example := fmt.Sprintf("nsenter --net=/run/netns/campagnol-lab-%s-peer1 ping 10.9.0.2", id)
	for _, want := range append(names, example, "campagnol lab --clean") {
		if !strings.Contains(got, want) {
			t.Errorf("the demonstration said\n%swant %q", got, want)
		}
	}
	if swept, err := sweepOnly(t, id); err != nil || !slices.Contains(swept.Removed, id) {
		t.Errorf("sweep: %+v, %v, want %s removed", swept, err, id)
	}
	checkGone(t, id, "/nonexistent")
}

func TestDemoOnTheKernelInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var id string
	_, _, err := kernelDemo(t, ctx, func(o *DemoOptions) {
		o.Report = func(s Step) {
			if top, ok := s.Data.(Topology); ok {
				id = top.Lab
			}
			if s.Name == "connect" {
				time.AfterFunc(100*ms, cancel)
			}
		}
	})
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("error %v, want %v", err, ErrInterrupted)
	}
	checkGone(t, id, "/nonexistent")
}

// TestWorldBeforeBuild uses what a demonstration uses that failed early.
func TestWorldBeforeBuild(t *testing.T) {
	t.Parallel()
	needLab(t)
	w, err := newKernelWorld(DemoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.Tail(0), "(not started)\n"; got != want {
		t.Errorf("the tail of a program that was not started is %q, want %q", got, want)
	}
	if _, err := w.Keep(); err == nil {
		t.Error("a lab that was not made can be kept")
	}
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestServerProgram finds or builds the real rendezvous server, runs it in a
// lab, and checks that it logs what the demonstration waits for, and registers
// a client behind a NAT.
func TestServerProgram(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "rdv", nil)
	program, err := FindBinary(testContext(t), ServerPackage, l.Dir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := server.Start("campagnol_rdv", program.Path, programArgs...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Await(testContext(t), time.Time{}, Pattern{Message: msgListening}); err != nil {
		t.Fatalf("%v\n%s", err, p.Tail())
	}
	nat := addNAT(t, l, "nat", NATOptions{Kind: PortRestricted})
	c, err := addHost(t, l, "h", nat).ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A HELLO without local address, as Campagnol 0.3.5 sends it: type, port,
	// VPN address 10.9.0.4, local address.
	hello := []byte{0, 0, 0, 10, 9, 0, 4, 0, 0, 0, 0}
	if _, err := c.WriteToUDPAddrPort(hello, netip.AddrPortFrom(server.Addr(), 57888)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 64)
	n, from, err := c.ReadFromUDPAddrPort(b)
	ok := append([]byte{4}, make([]byte, 10)...)
	if err != nil || !slices.Equal(b[:n], ok) {
		t.Errorf("HELLO is answered by %x from %v (%v), want %x\n%s", b[:n], from, err, ok, p.Tail())
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if got := p.status(); got != "exit status 0" {
		t.Errorf("after SIGTERM the server ended with %s, want exit status 0\n%s", got, p.Tail())
	}
}
