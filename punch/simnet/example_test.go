package simnet_test

import (
	"fmt"
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
)

// Two hosts behind port-restricted NATs reach each other after each has sent
// once. A test would do this in a bubble of testing/synctest.
func Example() {
	n := simnet.New(1, simnet.Delay(time.Millisecond))
	defer n.Close()
	strict := simnet.NAT{Filtering: simnet.AddressAndPortDependent}
	a := n.Internet().Behind("203.0.113.1", strict).Listen("192.168.1.2:5000")
	b := n.Internet().Behind("203.0.113.2", strict).Listen("192.168.1.2:5000")
	toA, toB := a.Host().Site().Public(), b.Host().Site().Public()

	say := func(from *simnet.Conn, to netip.Addr, text string) {
		err := from.Send([]punch.Datagram{{Addr: netip.AddrPortFrom(to, 5000), Data: []byte(text)}})
		if err != nil {
			fmt.Println(err)
		}
	}
	refused := make(chan bool, 1)
	n.Observe(func(p simnet.Packet, v simnet.Verdict) {
		if v == simnet.NoMapping {
			refused <- true
		}
	})
	say(a, toB, "is anybody there?")
	<-refused
	say(b, toA, "hello")
	ds, err := a.Receive()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, says %v\n", ds[0].Data, ds[0].Addr)
	fmt.Println(n.Count(simnet.Sent), "sent,", n.Count(simnet.Delivered), "delivered")

	// Output:
	// hello, says 203.0.113.2:5000
	// 2 sent, 1 delivered
}
