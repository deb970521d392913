package lab

import (
	"testing"

	"github.com/google/nftables/expr"
)

// TestPortsInTurn: a NAT of the sequential kind gives every flow the port behind that of
// the flow before, whichever host and destination it is of, and what is no new flow and
// what is no UDP takes none. It goes on so with another outer address.
func TestPortsInTurn(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	servers := []*Host{addHost(t, l, "s1", nil), addHost(t, l, "s2", nil)}
	nat := addNAT(t, l, "nat", NATOptions{Kind: Sequential})
	hosts := []*Host{addHost(t, l, "a", nat), addHost(t, l, "b", nat)}
	var last uint16
	next := func() {
		t.Helper()
		for i := range 20 {
			f := newFlow(t, hosts[i%2], servers[i/2%2])
			got := f.outer()
			if want := last + 1; last != 0 && got.Port() != want || got.Addr() != nat.Addr() {
				t.Errorf("flow %d comes from %v, want %v, port %d", i, got, nat.Addr(), want)
			}
			if again := f.outer(); again != got {
				t.Errorf("flow %d comes from %v, then from %v", i, got, again)
			}
			f.wantBack(got, true)
			last = got.Port()
			if i%5 == 0 {
				wantPing(t, hosts[1], servers[0].Addr(), true)
			}
		}
	}
	next()
	if first := last; first < firstTurnPort || first > firstTurnPort+turnPorts {
		t.Errorf("port %d is none of %d from %d", first, turnPorts, firstTurnPort)
	}
	old := nat.Addr()
	if _, err := nat.Renumber(); err != nil || nat.Addr() == old {
		t.Fatalf("outer address %v, before %v: %v", nat.Addr(), old, err)
	}
	next()
	if err := nat.Flush(); err != nil {
		t.Fatal(err)
	}
	next()
}

// TestOneSocketInTurn: one socket that sends to several destinations has a port for
// each, one behind the other, which is what a client behind such a NAT is found by.
func TestOneSocketInTurn(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	h := addHost(t, l, "h", addNAT(t, l, "nat", NATOptions{Kind: Sequential}))
	f := newFlow(t, h, server)
	first := f.outer()
	for i := range uint16(50) {
		other := newFlow(t, h, server)
		other.inner = f.inner
		if got := other.outer(); got.Port() != first.Port()+1+i || got.Addr() != first.Addr() {
			t.Errorf("destination %d sees %v, want port %d", i, got, first.Port()+1+i)
		}
		if i == 0 {
			other.wantBack(first, false) // it is for the first destination
		}
	}
}

// TestTurnRules: the port is in the order of the network, and comes with the address.
func TestTurnRules(t *testing.T) {
	t.Parallel()
	r := newNATRules(NATOptions{Kind: Sequential})
	if r.turn == nil || r.hosts != nil || newNATRules(NATOptions{Kind: Symmetric}).turn != nil {
		t.Fatalf("maps %v and %v", r.turn, r.hosts)
	}
	port := nextPort(reg1)
	gen, swap := port[0].(*expr.Numgen), port[1].(*expr.Byteorder)
	if gen.Register != reg1 || swap.SourceRegister != reg1 || swap.DestRegister != reg1 || swap.Size != 2 {
		t.Errorf("%+v, %+v", gen, swap)
	}
	if last := gen.Offset + gen.Modulus - 1; last > 65535 || gen.Offset < 1024 {
		t.Errorf("ports %d to %d", gen.Offset, last)
	}
	if e := outerElement(probe1); len(e.Key) != 4 || len(e.Val) != 4 {
		t.Errorf("element %+v", e)
	}
}
