package rdv

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// nthNetwork returns an address in a network of its own.
func nthNetwork(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 11<<24+uint32(i)<<8+1)
	return netip.AddrFrom4(b)
}

func half() float64 { return 0.5 }

func TestNetworkOf(t *testing.T) {
	same := func(a, b string, want bool) {
		t.Helper()
		if got := networkOf(netip.MustParseAddr(a)) == networkOf(netip.MustParseAddr(b)); got != want {
			t.Errorf("%s and %s: one network %v, want %v", a, b, got, want)
		}
	}
	same("192.0.2.1", "192.0.2.255", true)
	same("192.0.2.1", "192.0.3.1", false)
	same("192.0.2.1", "::ffff:192.0.2.9", true)
	same("2001:db8:1:200::1", "2001:db8:1:2ff:ffff::1", true)
	same("2001:db8:1:200::1", "2001:db8:1:300::1", false)
	same("::c0:0:0:0:1", "192.0.2.1", false)
}

// TestAdmissionBound: no more handshakes than there is room for, and as many again
// when they are over.
func TestAdmissionBound(t *testing.T) {
	ad := newAdmission(gateStart, half)
	for i := range maxHandshakes {
		if _, ok := ad.admit(gateStart, nthNetwork(i)); !ok {
			t.Fatalf("handshake %d is not admitted", i)
		}
	}
	for i := range 1000 {
		wait, ok := ad.admit(gateStart, nthNetwork(maxHandshakes+i))
		if ok || wait < minWait || wait > maxWait {
			t.Fatalf("one too many: admitted %v, wait %v", ok, wait)
		}
	}
	if len(ad.networks) != maxHandshakes {
		t.Errorf("%d networks are remembered for %d handshakes", len(ad.networks), maxHandshakes)
	}
	for i := range maxHandshakes {
		ad.release(gateStart.Add(sec), nthNetwork(i))
	}
	if ad.open != 0 || len(ad.networks) != 0 {
		t.Errorf("%d handshakes of %d networks are left", ad.open, len(ad.networks))
	}
	if _, ok := ad.admit(gateStart.Add(sec), nthNetwork(0)); !ok {
		t.Error("not admitted although there is room")
	}
}

// TestAdmissionOfOneNetwork: one network cannot take all places, nor begin
// handshakes without end.
func TestAdmissionOfOneNetwork(t *testing.T) {
	ad := newAdmission(gateStart, half)
	here, there := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.1")
	n := 0
	for {
		wait, ok := ad.admit(gateStart, here)
		if !ok {
			if wait < time.Second || wait > 3*time.Second {
				t.Errorf("wait %v", wait)
			}
			break
		}
		n++
	}
	if n != maxOfNetwork {
		t.Errorf("%d handshakes of one network, want %d", n, maxOfNetwork)
	}
	if _, ok := ad.admit(gateStart, there); !ok {
		t.Error("another network is not admitted")
	}
	for range n {
		ad.release(gateStart, here)
	}
	began := n
	for range 1000 {
		if _, ok := ad.admit(gateStart, here); ok {
			began++
			ad.release(gateStart, here)
		}
	}
	if want := int(startBurst / startInterval); began != want {
		t.Errorf("%d handshakes of one network at once, want %d", began, want)
	}
}

// TestAdmissionWaits: who has no place gets a time of its own, one after another,
// and no two clients are sent away for the same time.
func TestAdmissionWaits(t *testing.T) {
	state := uint64(1)
	ad := newAdmission(gateStart, func() float64 {
		state = state*6364136223846793005 + 1442695040888963407
		return float64(state>>11) / (1 << 53)
	})
	for i := range maxHandshakes {
		ad.admit(gateStart, nthNetwork(i))
	}
	const clients = 20_000
	var sum [2]time.Duration // of the first and the last tenth
	seen := map[time.Duration]int{}
	for i := range clients {
		wait, ok := ad.admit(gateStart, nthNetwork(maxHandshakes+i))
		if ok || wait < minWait || wait > maxWait {
			t.Fatalf("client %d: admitted %v, wait %v", i, ok, wait)
		}
		seen[wait.Truncate(100*time.Millisecond)]++
		switch {
		case i < clients/10:
			sum[0] += wait
		case i >= clients-clients/10:
			sum[1] += wait
		}
	}
	if sum[1] < 5*sum[0] {
		t.Errorf("the last wait %v on average, the first %v", sum[1]*10/clients, sum[0]*10/clients)
	}
	for at, n := range seen {
		if n > clients/50 {
			t.Errorf("%d of %d clients come back after %v", n, clients, at)
		}
	}
}

// TestAdmissionPace: the faster handshakes end, the sooner those come back who
// wait.
func TestAdmissionPace(t *testing.T) {
	wait := func(each time.Duration) time.Duration {
		ad := newAdmission(gateStart, half)
		for i := range maxHandshakes {
			ad.admit(gateStart, nthNetwork(i))
		}
		now := gateStart
		for i := range 200 {
			now = now.Add(each)
			ad.release(now, nthNetwork(i))
			ad.admit(now, nthNetwork(i))
		}
		for i := range 1000 {
			ad.admit(now, nthNetwork(1000+i))
		}
		d, _ := ad.admit(now, nthNetwork(5000))
		return d
	}
	fast, slow := wait(300*time.Microsecond), wait(10*time.Millisecond)
	if fast > time.Second || slow < 2*time.Second || slow > 4*time.Second {
		t.Errorf("wait %v where a handshake ends each 0.3 ms, %v where each 10 ms", fast, slow)
	}
}
