package client

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestServersLoad: while 200 tunnels are opened each second, one of three RDVs ends
// without a word; none of the tunnels fails, and none takes longer than before.
func TestServersLoad(t *testing.T) {
	const (
		hosts  = 40
		rate   = 200 // tunnels a second
		length = 2 * time.Second
		most   = 250 * time.Millisecond
	)
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			inTown(t, 3, k.authentic, func(w *town) {
				var nodes []*node
				for i := range hosts {
					nodes = append(nodes, w.node(w.net.Internet(), fmt.Sprintf("203.0.113.%d:5000", 100+i), fmt.Sprintf("10.9.0.%d", i+1),
						w.authentic(k.auth, nil, func(c *Config) { c.Servers, c.MaxClients = At(w.addrs...), 2*hosts })))
				}
				pass(3 * time.Second)
				for _, n := range nodes {
					n.wantsRegistered("at first", k.all)
				}
				type opening struct {
					from, to *node
					text     string
				}
				var all []opening
				for gap := 1; len(all) < int(length.Seconds())*rate; gap++ { // each pair once
					for i := 0; i < hosts && len(all) < int(length.Seconds())*rate; i++ {
						all = append(all, opening{nodes[i], nodes[(i+gap)%hosts], fmt.Sprintf("%d to %d", i, gap)})
					}
				}
				start := time.Now()
				for i, o := range all {
					if i == len(all)/2 {
						w.kill(1)
					}
					o.from.send(o.to.vpn, o.text)
					time.Sleep(time.Until(start.Add(time.Duration(i+1) * time.Second / rate)))
				}
				pass(most)
				got := map[netip.Addr]map[string]bool{}
				for _, n := range nodes {
					got[n.vpn] = map[string]bool{}
					for _, text := range n.texts() {
						got[n.vpn][text] = true
					}
				}
				failed := 0
				for _, o := range all {
					if !got[o.to.vpn][o.text] {
						failed++
					}
				}
				if failed > 0 {
					t.Errorf("%d of %d tunnels were not open after %v", failed, len(all), most)
				}
			})
		})
	}
}
