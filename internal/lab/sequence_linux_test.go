package lab

import (
	"testing"
	"time"
)

// TestSequence: what a network loses is found out, and what it does not is not.
func TestSequence(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	o := SequenceOptions{Interface: "eth0", Rate: 500}
	s, err := StartSequence(t.Context(), a.Node, b.Node, b.Addr(), "whole", o)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	whole, err := s.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if whole.Sent == 0 || whole.Lost > 0 || whole.Duplicated > 0 || whole.Overtaken > 0 {
		t.Errorf("over a cable: %v, want that all came in order", whole)
	}

	o.Port = 7001
	if s, err = StartSequence(t.Context(), a.Node, b.Node, b.Addr(), "broken", o); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	outage, err := b.LoseUDP()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	lost, err := outage.Lost()
	if err != nil {
		t.Fatal(err)
	}
	if err := outage.End(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	broken, err := s.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if broken.Lost < int(lost) || broken.Lost == 0 || broken.Received == 0 || broken.Duplicated > 0 || broken.Gap < 250*time.Millisecond {
		t.Errorf("with an outage of 0.3 s that has lost %d: %v", lost, broken)
	}
	t.Logf("%v; with an outage: %v", whole, broken)
}
