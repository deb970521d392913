package main

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// withMapper starts a port mapper in the NAT of a peer.
func (p *meshPeer) withMapper() {
	p.m.t.Helper()
	path := testenv.Tool(p.m.t, "miniupnpd", "miniupnpd-nftables")
	if _, err := p.nat.StartPortMapper(p.m.t.Context(), path, lab.PortMapperOptions{}); err != nil {
		p.m.t.Fatal(err)
	}
}

// isMapped reports whether a client has a mapping.
func isMapped(s *control.Status) bool {
	return len(s.PortMapping.Mappings) > 0 && s.PortMapping.Mappings[0].Method != ""
}

// TestPortMapping: a client has its port forwarded, says so, and is reached there; a
// configuration that does not want it ends it, and so does the end of the client.
func TestPortMapping(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.Symmetric)
	a := m.peers[0]
	socket := a.withSocket()
	a.withMapper()
	a.configure("[NETWORK]\nlocal_port = 4501\n")
	a.start()
	forwarded := func(want int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			n, err := a.nat.MappedPorts()
			if err != nil {
				t.Fatal(err)
			}
			if n == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the gateway forwards %d ports, want %d", n, want)
			}
		}
	}
	external := netip.AddrPortFrom(a.nat.MappedAddr(), 4501)
	s := awaitStatus(t, socket, "a mapping", isMapped)
	if got := s.PortMapping.Mappings[0]; got.Method != "PCP" || got.External != external || got.Private || got.Expires.Sub(s.Time) < time.Hour {
		t.Errorf("the mapping is %+v", got)
	}
	if text := statusText(s, nil, 0); !strings.Contains(text, "the gateway 192.168.1.1 forwards "+external.String()+" to us (PCP), for 1h") {
		t.Errorf("the status says\n%s", text)
	}

	stranger, err := m.lab.AddHost("stranger", nil)
	if err == nil {
		err = stranger.JoinMapped("eth0")
	}
	if err != nil {
		t.Fatal(err)
	}
	conn, err := stranger.ListenUDP(netip.AddrPortFrom(stranger.MappedAddr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := s.Socket.ReceivedDatagrams
	for range 100 {
		if _, err := conn.WriteToUDPAddrPort([]byte("hello"), external); err != nil {
			t.Fatal(err)
		}
	}
	awaitStatus(t, socket, "what the stranger has sent", func(s *control.Status) bool { return s.Socket.ReceivedDatagrams >= before+100 })

	for _, wanted := range []string{"no", "yes"} {
		a.configure("[NETWORK]\nport_mapping = " + wanted + "\n")
		if err := a.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		awaitStatus(t, socket, "port_mapping = "+wanted, func(s *control.Status) bool {
			return isMapped(s) == (wanted == "yes") && s.PortMapping.Enabled == isMapped(s)
		})
		forwarded(map[string]int{"no": 0, "yes": 1}[wanted])
	}
	if err := a.process.Stop(); err != nil {
		t.Fatal(err)
	}
	forwarded(0)
}

// TestPortMappingDirect: behind two NATs that nobody crosses by hole punching, peers
// have a direct tunnel once one of the gateways forwards a port.
func TestPortMappingDirect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		mapper int // the peer whose gateway forwards
	}{{"port-restricted", 1}, {"symmetric", 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, lab.Symmetric, lab.PortRestricted)
			m.restartServer(m.modeOf("strict")...)
			a, b := m.peers[0], m.peers[1]
			if lab.Direct(lab.Symmetric, lab.PortRestricted) {
				t.Fatal("these NATs can be crossed without a mapping")
			}
			mapped := m.peers[c.mapper]
			mapped.withMapper()
			if err := m.peers[1-c.mapper].nat.JoinMapped("wan"); err != nil {
				t.Fatal(err)
			}
			socket := mapped.withSocket()
			a.start()
			b.start()
			awaitStatus(t, socket, "a mapping", isMapped)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			took, err := a.PingUntil(ctx, b.vpn, 100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("reached after %v", took)
			a.ping(b, 5)
			b.ping(a, 5)
		})
	}
}

// TestNoPortMapper: a gateway that forwards nothing delays neither the start nor the
// end of a client.
func TestNoPortMapper(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted)
	a := m.peers[0]
	socket := a.withSocket()
	began := time.Now()
	a.start()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("registered after %v", took)
	}
	s := awaitStatus(t, socket, "an answer about the gateway", func(s *control.Status) bool {
		return len(s.PortMapping.Mappings) == 1 && strings.Contains(s.PortMapping.Mappings[0].Reason, "does not answer")
	})
	if text := statusText(s, nil, 0); !strings.Contains(text, "\nno port mapping: the gateway 192.168.1.1 does not answer by PCP, NAT-PMP or UPnP\n") {
		t.Errorf("the status says\n%s", text)
	}
	began = time.Now()
	if err := a.process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-a.process.Exited()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
}
