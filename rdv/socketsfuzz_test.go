package rdv

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// FuzzSockets sends random messages at random times from a few endpoints to a few
// sockets: the tables stay whole, and everything leaves by the socket that its receiver
// has come to.
func FuzzSockets(f *testing.F) {
	f.Add([]byte{
		0, 0, byte(wire.Hello), 1, 0, 4, byte(wire.Hello), 2, 1, 0, byte(wire.Ask), 2,
		1, 4, byte(wire.Hello), 1, 20, 4, byte(wire.Hello), 1, 1, 0, byte(wire.Ping), 0,
		90, 8, byte(wire.Hello), 2, 1, 5, byte(wire.Hello), 2, 1, 8, byte(wire.Close), 1, 1, 8, byte(wire.Bye), 1,
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewRegistry(RegistryConfig{MaxClients: 5})
		now := time.Unix(1_000_000_000, 0)
		for steps := 0; len(b) >= 4 && steps < 300; steps, b = steps+1, b[4:] {
			now = now.Add(time.Duration(b[0]) * 50 * time.Millisecond)
			in := In{
				From:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1 + b[1]&3}), 1000),
				Socket: b[1] >> 2 & 3,
				Msg:    wire.Message{Type: wire.Type(b[2] % 16), IP1: netip.AddrFrom4([4]byte{10, 0, 0, b[3] & 3})},
			}
			r.Advance(now, nil)
			holder := r.byVPN[vpnOf(in.Msg.IP1)]
			for _, o := range r.Handle(now, in, nil) {
				reply := o.To == in.From && o.Socket == in.Socket
				if told := holder != nil && o.To == holder.endpoint.addrPort() && o.Socket == holder.endpoint.socket(); !reply && !told {
					t.Errorf("%v from %v at socket %d: %v leaves for %v by socket %d", in.Msg, in.From, in.Socket, o.Msg, o.To, o.Socket)
				}
			}
			if err := check(r); err != nil {
				t.Fatal(err)
			}
			if e, ok := endpointOf(in.From); ok && in.Msg.Type == wire.Ping {
				if _, known := r.VPN(in.From, in.Socket); known != (r.byEndpoint[e.on(in.Socket)] != nil) {
					t.Errorf("%v at socket %d is known: %v", in.From, in.Socket, known)
				}
			}
		}
	})
}
