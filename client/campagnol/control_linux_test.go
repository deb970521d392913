package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
)

// withSocket gives the peer a control socket of its own and returns its name.
func (p *meshPeer) withSocket() string {
	p.m.t.Helper()
	path := filepath.Join(p.m.lab.Dir(), p.Name()+".sock")
	p.configure("[CLIENT]\ncontrol_socket = " + path + "\n")
	return path
}

// statusAt asks the client behind a socket.
func statusAt(t *testing.T, path string) *control.Status {
	t.Helper()
	c := control.NewClient(path)
	defer c.Close()
	s, _, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitStatus asks until the answer is as it should be.
func awaitStatus(t *testing.T, path, what string, ok func(*control.Status) bool) *control.Status {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		s := statusAt(t, path)
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: never so: %+v", what, s)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// peerOf returns what a document says of a peer.
func peerOf(t *testing.T, s *control.Status, vpn netip.Addr) control.Peer {
	t.Helper()
	for _, p := range s.Peers {
		if p.VPNAddress == vpn {
			return p
		}
	}
	t.Fatalf("%v is not among the peers %+v", vpn, s.Peers)
	return control.Peer{}
}

// TestControlSocket asks two clients with a tunnel between them, before, during
// and after.
func TestControlSocket(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b := m.peers[0], m.peers[1]
	sockets := []string{a.withSocket(), b.withSocket()}
	before := time.Now()
	a.start()
	b.start()

	s := statusAt(t, sockets[0])
	if !s.RDV.Registered || s.RDV.Address != netip.AddrPortFrom(m.server.Addr(), 57888) || s.RDV.Host != m.server.Addr().String() {
		t.Errorf("the rendezvous server is %+v", s.RDV)
	}
	if s.VPNAddress != a.vpn || s.Network.String() != "10.9.0.0/24" || s.Interface != "tun0" || s.ConfigFile != a.conf || s.ProcessID != a.process.PID() {
		t.Errorf("the client is %+v", s)
	}
	if s.Started.Before(before) || s.Time.Before(s.Started) || s.Time.After(time.Now()) {
		t.Errorf("started at %v, asked at %v", s.Started, s.Time)
	}
	if len(s.Socket.Features)+len(s.Socket.MissingFeatures) == 0 || s.Socket.ReceiveBufferBytes == 0 || s.Socket.SentDatagrams == 0 || s.Device.MTUBytes != 1419 {
		t.Errorf("socket %+v, device %+v", s.Socket, s.Device)
	}
	if len(s.Peers)+len(s.Failures) != 0 {
		t.Errorf("peers %+v and failures %+v before there was any", s.Peers, s.Failures)
	}

	a.ping(b, 3)
	checkTunnel(t, a, b, statusAt(t, sockets[0]), "client")
	checkTunnel(t, b, a, statusAt(t, sockets[1]), "server")
	first := peerOf(t, statusAt(t, sockets[0]), b.vpn)
	a.ping(b, 5)
	second := peerOf(t, statusAt(t, sockets[0]), b.vpn)
	if second.PacketsOut < first.PacketsOut+5 || second.PacketsIn < first.PacketsIn+5 ||
		second.BytesOut < first.BytesOut+5*28 || second.BytesIn < first.BytesIn+5*28 || !second.LastIn.After(first.LastIn) {
		t.Errorf("after 5 pings %+v, before %+v", second, first)
	}

	if err := a.process.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(sockets[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket of a client that has ended: %v, want that it is gone", err)
	}
	if code, _, stderr := campagnol(t, "status", "--socket", sockets[0]); code != 1 || !strings.Contains(stderr, "no client runs with the control socket "+sockets[0]) {
		t.Errorf("status of a client that has ended: exit status %d, %s", code, stderr)
	}
}

// checkTunnel checks what p says of its tunnel to another peer.
func checkTunnel(t *testing.T, p, to *meshPeer, s *control.Status, role string) {
	t.Helper()
	got := peerOf(t, s, to.vpn)
	if got.State != "ESTABLISHED" || got.Role != role || got.Protocol != "campagnol/1" || !strings.HasPrefix(got.Cipher, "ECDHE-ECDSA-") {
		t.Errorf("%s says of %s: %+v", p.Name(), to.Name(), got)
	}
	if got.Path.Addr() != to.nat.Addr() || got.Path.Port() == 0 {
		t.Errorf("%s reaches %s at %v, want an address of %v", p.Name(), to.Name(), got.Path, to.nat.Addr())
	}
	if got.PacketsIn < 3 || got.PacketsOut < 3 || got.Since.IsZero() || got.LastIn.Before(got.Since) || got.LastOut.IsZero() {
		t.Errorf("%s has exchanged with %s: %+v", p.Name(), to.Name(), got)
	}
}

// TestStatusForReal runs the command for a client with a tunnel and with peers
// that cannot be reached.
func TestStatusForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	socket := a.withSocket()
	b.configure("control_socket = none\n")
	a.start()
	b.start()
	a.ping(b, 3)
	absent := netip.MustParseAddr("10.9.0.77")
	if _, err := a.Ping(t.Context(), absent, lab.PingOptions{Count: 1}); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, socket, "a failure", func(s *control.Status) bool { return len(s.Failures) > 0 })

	code, out, stderr := campagnol(t, "status", "--socket", socket)
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d, %s", code, stderr)
	}
	for _, want := range []string{
		"\n10.9.0.1 in 10.9.0.0/24 on tun0, configured in " + a.conf + "\n",
		fmt.Sprintf("\nregistered at the RDV server %v:57888, in clear\n", m.server.Addr()),
		"\n10.9.0.2  ESTABLISHED  ",
		"\nnot reached:\n  10.9.0.77, ",
		" ago: the RDV server does not know the peer\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	watchForReal(t, socket)
}

// watchForReal watches until the second block has rates, and interrupts it.
func watchForReal(t *testing.T, socket string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "campagnol"), "status", "--watch", "--socket", socket)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if seen += lines.Text() + "\n"; strings.Contains(lines.Text(), "KiB/s") {
			break
		}
	}
	if !strings.Contains(seen, "IN/S") {
		t.Errorf("no rates in\n%s", seen)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGINT: %v, want exit status 0", err)
	}
}

// mode returns the permissions of a file, and "none" if there is no file.
func mode(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return "none"
	}
	return fmt.Sprintf("%#o", info.Mode().Perm())
}

// TestControlSocketMoves: the socket is called after the interface unless it was
// configured, and SIGHUP moves it. A kill leaves one that the next start replaces.
func TestControlSocketMoves(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	a := m.peers[0]
	// The folder is that of the whole machine; the names are ours alone.
	first, second := fmt.Sprintf("ctl%da", os.Getpid()), fmt.Sprintf("ctl%db", os.Getpid())
	a.edit("control_socket = none\n", "")
	a.configure("[NETWORK]\ntun_device = " + first + "\n[CLIENT]\n")
	a.start()
	path := control.DefaultPath(first)
	if s := statusAt(t, path); s.Interface != first || mode(path) != "0600" {
		t.Errorf("the interface is %s, the mode %s", s.Interface, mode(path))
	}
	started := statusAt(t, path).Started

	reload := func(msg string) {
		t.Helper()
		m.awaitSince(a.process, a.signal(syscall.SIGHUP), msg)
	}
	a.edit("tun_device = "+first, "tun_device = "+second)
	reload("Registration complete")
	s := statusAt(t, control.DefaultPath(second))
	if s.Interface != second || !s.Started.Equal(started) || mode(path) != "none" {
		t.Errorf("after another name: interface %s, started at %v (%v before), old socket %s", s.Interface, s.Started, started, mode(path))
	}

	own := filepath.Join(m.lab.Dir(), "own.sock")
	a.configure("control_socket = " + own + "\n")
	reload("reloading the configuration")
	awaitMode(t, control.DefaultPath(second), "none")
	statusAt(t, own)

	a.configure("control_group = 54321\n")
	reload("reloading the configuration")
	awaitMode(t, own, "0660")
	statusAt(t, own)

	a.edit("control_group = 54321", "control_group = no such group")
	reload("The control socket cannot be as the new configuration has it")
	if statusAt(t, own); mode(own) != "0660" {
		t.Errorf("after a group that does not exist the socket is %s, want it as it was", mode(own))
	}

	if err := a.process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-a.process.Exited()
	a.edit("control_group = no such group\n", "")
	a.edit("control_socket = "+own+"\n", "")
	if err := os.Remove(own); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	a.start()
	if err := a.process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-a.process.Exited()
	if got := mode(control.DefaultPath(second)); got != "0600" {
		t.Fatalf("a client that was killed has left %s", got)
	}
	a.start()
	if s := statusAt(t, control.DefaultPath(second)); s.ProcessID != a.process.PID() {
		t.Errorf("process %d answers, want %d", s.ProcessID, a.process.PID())
	}
}

// awaitMode waits until a file has certain permissions.
func awaitMode(t *testing.T, path, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); mode(path) != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %s, want %s", path, mode(path), want)
		}
	}
}

// TestControlSocketInUse: with the default a client goes on without the socket
// that another has; one that was configured it insists on.
func TestControlSocketInUse(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	name := fmt.Sprintf("ctl%dc", os.Getpid())
	for _, p := range m.peers {
		p.edit("control_socket = none\n", "")
		p.configure("[NETWORK]\ntun_device = " + name + "\n[CLIENT]\n")
	}
	a.start()
	b.start()
	want := fmt.Sprintf("going on without control socket: %s is in use by process %d (campagnol)", control.DefaultPath(name), a.process.PID())
	line := m.await(b.process, want)
	if hint := line.Attr("hint"); !strings.Contains(hint, "control_socket") {
		t.Errorf("the hint is %q", hint)
	}
	a.ping(b, 3)
	if err := b.process.Stop(); err != nil {
		t.Fatal(err)
	}
	statusAt(t, control.DefaultPath(name)) // not removed by the one that never had it

	b.configure("control_socket = " + control.DefaultPath(name) + "\n")
	refused, err := b.Start("refused", filepath.Join(binaries, "campagnol"), b.conf)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := refused.Wait(t.Context()); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("a configured socket that is in use: %v, want exit status 1", err)
	}
	if log := refused.Tail(); !strings.Contains(log, fmt.Sprintf("is in use by process %d (campagnol)\nhint: give each client", a.process.PID())) {
		t.Errorf("it says\n%s", log)
	}
}
