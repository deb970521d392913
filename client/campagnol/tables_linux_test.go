package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
)

// TestTablesForReal: clients that run tell what their switch knows, to programs and to
// people; one that carries packets says that there is nothing to tell.
func TestTablesForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.FullCone)
	m.restartServer(m.modeOf("strict")...)
	var sockets []string
	for _, p := range m.peers {
		p.configure("[NETWORK]\nmode = tap\ntun_device = tap9\nrdv_auth = yes\n")
		sockets = append(sockets, p.withSocket())
		p.start()
	}
	m.meshed()
	a, b := m.peers[0], m.peers[1]
	c := control.NewClient(sockets[0])
	defer c.Close()
	// Both kernels say what they want to hear: questions for their IPv6 addresses.
	var groups *control.MDB
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if groups, _, err = c.MDB(t.Context()); err != nil {
			t.Fatal(err)
		}
		here := slices.ContainsFunc(groups.Groups, func(g control.MDBGroup) bool { return g.Mode == "exclude" && len(g.Hosts) == 1 })
		there := slices.ContainsFunc(groups.Groups, func(g control.MDBGroup) bool { return len(g.Members) == 1 && g.Members[0].VPNAddress == b.vpn })
		if here && there {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("wanted here %v, wanted by the peer %v: %+v", here, there, groups.Groups)
		}
	}
	macs, _, err := c.FDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, e := range macs.MACs {
		kinds[e.MAC] = e.Kind + " " + whereText(e.Local, e.VPNAddress, e.Name)
	}
	if kinds["02:ca:0a:09:00:01"] != "own this host" || !strings.HasPrefix(kinds["02:ca:0a:09:00:02"], "pinned "+b.vpn.String()+" (") {
		t.Errorf("hardware addresses: %v", kinds)
	}
	if len(macs.Ports) != 2 || macs.Ports[1].Passed["unicast"] == 0 || macs.Interface != "tap9" || macs.VPNAddress != a.vpn {
		t.Errorf("the table is %+v", macs)
	}
	if s := statusAt(t, sockets[0]); s.Mode != "tap" || s.Ethernet.MembersConnected != 1 || s.Ethernet.Mesh != "full" || s.Ethernet.HardwareAddress != macs.HardwareAddress {
		t.Errorf("the status has %s, %+v", s.Mode, s.Ethernet)
	}
	for command, want := range map[string]string{"fdb": "02:ca:0a:09:00:02", "mdb": "this client", "status": "carries Ethernet frames (mode = tap) from 02:ca:0a:09:00:01"} {
		if code, out, stderr := campagnol(t, command, "--socket", sockets[0]); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit status %d, %q is missing in\n%s%s", command, code, want, out, stderr)
		}
	}
}

// TestNoTables: a client that carries packets says so.
func TestNoTables(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	socket := m.peers[0].withSocket()
	m.peers[0].start()
	for _, command := range []string{"fdb", "mdb"} {
		code, out, stderr := campagnol(t, command, "--json", "--socket", socket)
		if code != 1 || out != "" || !strings.Contains(stderr, command+": this client carries IP packets (mode = tun)") {
			t.Errorf("%s: exit status %d, %q, %q", command, code, out, stderr)
		}
	}
	if s := statusAt(t, socket); s.Mode != "tun" || s.Ethernet.HardwareAddress != "" {
		t.Errorf("the status has %s, %+v", s.Mode, s.Ethernet)
	}
}
