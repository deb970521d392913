package simnet

import "testing"

// TestClassifyGrid checks that Classify finds out what is in the description.
func TestClassifyGrid(t *testing.T) {
	for i, cfg := range Grid() {
		t.Run(cfg.String(), func(t *testing.T) {
			bubble(t, uint64(i), func(t *testing.T, n *Net) {
				h := n.Internet().Behind("203.0.113.1", cfg).Host("192.168.1.2")
				want := Behaviour{
					Translated: true,
					Mapping:    cfg.Mapping,
					Filtering:  cfg.Filtering,
					Ports:      cfg.Ports,
					Hairpin:    cfg.Hairpin,
				}
				if cfg.Ports == Overloading {
					want.Mapping = EndpointIndependent
				}
				if want.Mapping != EndpointIndependent && cfg.Filtering != EndpointIndependent {
					want.Hairpin = NoHairpinning
				}
				if got := h.Classify(); got != want {
					t.Errorf("Classify = %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestClassifyOthers(t *testing.T) {
	strict := Firewall{Filtering: AddressAndPortDependent}
	for _, c := range []struct {
		name string
		host func(n *Net) *Host
		want Behaviour
	}{
		{"public", func(n *Net) *Host { return n.Internet().Host("192.0.2.200") }, Behaviour{}},
		{"firewall", func(n *Net) *Host { return n.Internet().Routed("x", strict).Host("203.0.113.5") },
			Behaviour{Filtering: AddressAndPortDependent}},
		{"no IPv4", func(n *Net) *Host { return n.Internet().Host("2001:db8::1") }, Behaviour{Blocked: true}},
		{"blocked", func(n *Net) *Host {
			s := n.Internet().Behind("203.0.113.1", NAT{})
			s.BlockUDP(true)
			return s.Host("192.168.1.2")
		}, Behaviour{Blocked: true}},
		{"two NATs, the stricter of each counts", func(n *Net) *Host {
			outer := NAT{Mapping: AddressDependent, Filtering: EndpointIndependent, Ports: Sequential}
			inner := NAT{Filtering: AddressDependent}
			return n.Internet().Behind("203.0.113.1", outer).Behind("100.64.0.1", inner).Host("192.168.1.2")
		}, Behaviour{Translated: true, Mapping: AddressDependent, Filtering: AddressDependent, Ports: Sequential}},
	} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			h := c.host(n)
			if got := h.Classify(); got != c.want {
				t.Errorf("%s: Classify = %+v, want %+v", c.name, got, c.want)
			}
			// It cleans up: the addresses of its servers are free, its sockets closed.
			if len(h.sockets) != 0 {
				t.Errorf("%s: %d sockets are left", c.name, len(h.sockets))
			}
			if len(n.internet.places) > 1 {
				t.Errorf("%s: %d addresses are left", c.name, len(n.internet.places))
			}
		})
	}
}
