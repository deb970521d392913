package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/sandbox"
	"campagnol/pki"
	"campagnol/pki/ca"

	"github.com/vishvananda/netlink"
)

// awaitAudit waits until files of a trail have an event for which a function is true, and
// returns it.
func awaitAudit(t *testing.T, event string, is func(*auditLine) bool, files ...string) auditLine {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		list := auditLines(t, files...)
		for _, l := range list {
			if l.Event == event && is(&l) {
				return l
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v has no such %s:\n%+v", files, event, list)
		}
	}
}

// of is for awaitAudit: the record is about the certificate with a name.
func of(name string) func(*auditLine) bool {
	return func(l *auditLine) bool { return l.Name == name }
}

func anyAudit(*auditLine) bool { return true }

// An auditMesh is a mesh in which the first peer and the server have a trail, the first
// peer obeys a policy, and the third peer was revoked before.
type auditMesh struct {
	*mesh
	a, b, c  *meshPeer
	trail    string // of a
	trailRDV string
	socket   string // of a
	list     string // the revocation list of all
	ca       *ca.CA
}

func newAuditMesh(t *testing.T) *auditMesh {
	t.Helper()
	m := &auditMesh{mesh: newMesh(t, lab.None, lab.None, lab.None)}
	m.a, m.b, m.c = m.peers[0], m.peers[1], m.peers[2]
	folder := filepath.Join(m.lab.Dir(), "trails")
	m.trail, m.trailRDV = filepath.Join(folder, "audit.log"), filepath.Join(folder, "rdv.log")
	m.list = filepath.Join(m.lab.Dir(), "list.pem")
	var err error
	if m.ca, err = ca.Open(filepath.Join(m.lab.Dir(), "ca"), ca.Files{}); err != nil {
		t.Fatal(err)
	}
	m.revoke("peer3")
	m.restartServer(append(m.modeOf("strict"), "--crl", m.list, "--audit-log", m.trailRDV)...)
	m.socket = m.a.withSocket()
	m.a.configure("[CLIENT]\naudit_log = " + m.trail + "\n[SECURITY]\ncrl_file = " + m.list + "\n")
	m.a.obey(strings.NewReplacer("A", m.a.vpn.String(), "B", m.b.vpn.String()).
		Replace("default deny\nallow A <-> B\nfilter B -> A: allow icmp\nfilter B -> A: deny\n"))
	return m
}

// revoke revokes a peer, and writes the list for all.
func (m *auditMesh) revoke(name string) {
	m.t.Helper()
	code, _, stderr := campagnol(m.t, "ca", "--dir", filepath.Join(m.lab.Dir(), "ca"), "revoke", name)
	if code != 0 {
		m.t.Fatalf("campagnol ca revoke %s: %s", name, stderr)
	}
	text, err := os.ReadFile(filepath.Join(m.lab.Dir(), "ca", "crl.pem"))
	if err == nil {
		err = os.WriteFile(m.list, text, 0o600)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// send sends a datagram to a from an address of b's virtual interface.
func (m *auditMesh) send(from netip.Addr) {
	m.t.Helper()
	out, err := m.b.ListenUDP(netip.AddrPortFrom(from, 0))
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.a.vpn, 5001))); err != nil {
		m.t.Fatal(err)
	}
}

// TestAuditForReal: who was let in and who was not is in the trails of client and server,
// each once and with the right certificate, while the file is moved away.
func TestAuditForReal(t *testing.T) {
	t.Parallel()
	m := newAuditMesh(t)
	moved := m.trail + ".1"
	m.a.start()
	m.b.start()
	chain, err := pki.LoadCertificates(filepath.Join(m.lab.Dir(), "ca", "hosts", "peer2", "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	bob := pki.PeerOf(chain[0])
	isBob := func(l *auditLine) {
		t.Helper()
		if l.Name != "peer2" || l.VPNAddress != m.b.vpn || l.Key != bob.Key.String() || l.Serial != pki.SerialOf(bob.Leaf) {
			t.Errorf("%s is about %+v, want peer2", l.Event, l)
		}
	}
	m.letIn(isBob)
	m.keptOut(isBob)

	if err := os.Rename(m.trail, moved); err != nil {
		t.Fatal(err)
	}
	asks(t, m.socket, 0, "was read again, and is used", "reload")
	asked := awaitAudit(t, "control_command", anyAudit, m.trail)
	if asked.Command != "POST /v1/reload" || asked.UID == nil || *asked.UID != 0 || asked.PID <= 0 || asked.Outcome != "success" {
		t.Errorf("the request is %+v", asked)
	}
	awaitAudit(t, "configuration_reloaded", anyAudit, moved, m.trail)

	m.revoke("peer2")
	for _, l := range []auditLine{awaitAudit(t, "tunnel_cut", anyAudit, m.trail), awaitAudit(t, "client_cut", of("peer2"), m.trailRDV)} {
		if l.Serial != pki.SerialOf(bob.Leaf) || l.Code != "revoked" || l.Outcome != "success" {
			t.Errorf("%s is %+v", l.Event, l)
		}
	}
	m.stop(moved)
}

// letIn: the server has a and b, and a tunnel opens.
func (m *auditMesh) letIn(isBob func(*auditLine)) {
	m.t.Helper()
	registered := awaitAudit(m.t, "client_registered", of("peer2"), m.trailRDV)
	isBob(&registered)
	if at := netip.MustParseAddrPort(registered.From); at.Addr() != m.b.Addr() {
		m.t.Errorf("peer2 has registered from %v, want %v", at, m.b.Addr())
	}
	m.b.ping(m.a, 3)
	opened := awaitAudit(m.t, "tunnel_opened", anyAudit, m.trail)
	isBob(&opened)
	if l := awaitAudit(m.t, "registered", anyAudit, m.trail); l.Name != "rdv" || !strings.HasPrefix(l.From, m.server.Addr().String()) {
		m.t.Errorf("a is registered at %+v", l)
	}
}

// keptOut: who was revoked, what the policy forbids, and what has a false address.
func (m *auditMesh) keptOut(isBob func(*auditLine)) {
	m.t.Helper()
	var err error
	if m.c.process, err = m.c.Start("campagnol.c", filepath.Join(binaries, "campagnol"), "-d", "--log-format", "json", m.c.conf); err != nil {
		m.t.Fatal(err)
	}
	refused := awaitAudit(m.t, "handshake_refused", anyAudit, m.trailRDV)
	if refused.Name != "peer3" || refused.Code != "revoked" || refused.Outcome != "refused" || !strings.HasPrefix(refused.From, m.c.Addr().String()) {
		m.t.Errorf("the revoked host was refused so: %+v", refused)
	}
	const packets = 3
	for range packets {
		m.send(m.b.vpn)
	}
	filtered := awaitAudit(m.t, "packets_refused", anyAudit, m.trail)
	isBob(&filtered)
	if filtered.Direction != "in" || filtered.Count < 1 || filtered.Count > packets {
		m.t.Errorf("the policy has dropped %+v", filtered)
	}
	stranger := netip.MustParseAddr("10.9.0.99")
	m.b.tun(func(l netlink.Link) error {
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: stranger.AsSlice(), Mask: net.CIDRMask(32, 32)}})
	})
	m.send(stranger)
	spoofed := awaitAudit(m.t, "source_spoofed", anyAudit, m.trail)
	isBob(&spoofed)
	if spoofed.Count != 1 {
		m.t.Errorf("one packet is %+v", spoofed)
	}
}

// stop ends both programs, and counts what their trails have.
func (m *auditMesh) stop(moved string) {
	m.t.Helper()
	for _, p := range []*lab.Process{m.a.process, m.rdv} {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			m.t.Fatal(err)
		}
		<-p.Exited()
	}
	count := func(list []auditLine, event string, is func(*auditLine) bool) (n int) {
		for _, l := range list {
			if l.Event == event && is(&l) {
				n++
			}
		}
		return n
	}
	old, list := auditLines(m.t, moved), auditLines(m.t, moved, m.trail)
	server := auditLines(m.t, m.trailRDV)
	for _, c := range []struct {
		list  []auditLine
		event string
		is    func(*auditLine) bool
	}{
		{old, "started", anyAudit}, {old, "tunnel_opened", of("peer2")}, {old, "registered", anyAudit}, {old, "pin_made", anyAudit},
		{list, "source_spoofed", anyAudit}, {list, "control_command", anyAudit}, {list, "configuration_reloaded", anyAudit},
		{list, "revocation_list_changed", anyAudit}, {list, "tunnel_cut", of("peer2")},
		{list, "stopped", func(l *auditLine) bool { return l.Reason == "signal 15" }},
		{server, "started", anyAudit}, {server, "client_registered", of("peer1")}, {server, "client_registered", of("peer2")},
		{server, "handshake_refused", func(l *auditLine) bool { return l.Name == "peer3" && l.Count == 0 }},
		{server, "client_cut", anyAudit}, {server, "revocation_list_changed", anyAudit}, {server, "stopped", anyAudit},
	} {
		if n := count(c.list, c.event, c.is); n != 1 {
			m.t.Errorf("%s is there %d times, want once, in\n%+v", c.event, n, c.list)
		}
	}
	lost := func(l auditLine) bool { return l.Event == "records_lost" }
	if slices.ContainsFunc(list, lost) || slices.ContainsFunc(server, lost) || list[len(list)-1].Event != "stopped" {
		m.t.Errorf("records are lost, or come after the end:\n%+v\n%+v", list, server)
	}
}

// TestAuditUser: a client that has given up the rights of root makes its file anew when it
// was moved away; a folder that is not its own it says that it cannot.
func TestAuditUser(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	folder := filepath.Join(m.lab.Dir(), "trails")
	trail := filepath.Join(folder, "audit.log")
	account, err := sandbox.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	m.giveTo(account)
	a := m.peers[0]
	a.configure("[CLIENT]\nuser = nobody\naudit_log = " + trail + "\n")
	a.start()
	awaitAudit(t, "registered", anyAudit, trail)
	if err := os.Rename(trail, trail+".1"); err != nil {
		t.Fatal(err)
	}
	a.signal(syscall.SIGHUP)
	awaitAudit(t, "configuration_reloaded", anyAudit, trail)
	info, err := os.Stat(trail)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != account.UID || info.Mode() != 0o640 {
		t.Errorf("the new file belongs to %d, mode %v, want %d and 0640", st.Uid, info.Mode(), account.UID)
	}
	if n := a.count("The audit log cannot be written"); n != 0 {
		t.Errorf("%d complaints", n)
	}
	a.signal(syscall.SIGTERM)
	<-a.process.Exited()

	other := filepath.Join(m.lab.Dir(), "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	a.edit("audit_log = "+trail, "audit_log = "+filepath.Join(other, "audit.log"))
	since := time.Now()
	a.start()
	line := m.awaitSince(a.process, since, "audit_log: the user nobody cannot")
	if !strings.Contains(fmt.Sprint(line.Attrs), "no other can be made") {
		t.Errorf("the warning is %+v", line)
	}
	awaitAudit(t, "registered", anyAudit, filepath.Join(other, "audit.log"))
}
