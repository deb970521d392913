package main

import (
	"testing"

	"campagnol/client"
)

func TestLineOf(t *testing.T) {
	rdv := func(name string, registered bool) client.RDVStatus {
		return client.RDVStatus{Name: name, Used: true, Registered: registered}
	}
	peer := func(state string) client.PeerStatus { return client.PeerStatus{State: state} }
	for _, c := range []struct {
		name   string
		status client.Status
		want   string
	}{
		{"at the start", client.Status{RDVs: []client.RDVStatus{rdv("a:1", false)}},
			"Not registered with any rendezvous server; 0 tunnels are open"},
		{"one on its way", client.Status{RDVs: []client.RDVStatus{rdv("a:1", true)}, Peers: []client.PeerStatus{peer("PUNCHING")}},
			"Registered with a:1; 0 tunnels are open"},
		{"one of each", client.Status{RDVs: []client.RDVStatus{rdv("a:1", true), rdv("b:2", false)}, Peers: []client.PeerStatus{peer("NEW"), peer("ESTABLISHED")}},
			"Registered with a:1; 1 tunnel is open"},
		{"two of each", client.Status{RDVs: []client.RDVStatus{rdv("a:1", true), rdv("b:2", true)}, Peers: []client.PeerStatus{peer("ESTABLISHED"), peer("ESTABLISHED")}},
			"Registered with a:1, b:2; 2 tunnels are open"},
		{"the servers have gone", client.Status{Peers: []client.PeerStatus{peer("ESTABLISHED")}},
			"Not registered with any rendezvous server; 1 tunnel is open"},
	} {
		if got := lineOf(c.status); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
