package path

import (
	"slices"
	"testing"
	"time"

	"campagnol/punch"
)

// FuzzKeeper: whatever happens, the path is one that has answered, the memory is
// bounded, and time goes on.
func FuzzKeeper(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{1, 9, 0, 9, 9, 0, 41, 9, 9, 73, 9, 9, 105, 9, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 500 {
			return
		}
		addrs := []punch.Endpoint{wan, other, third, lan, {}, at("192.0.2.1:0"), at("192.0.2.1:9")}
		extra, relay := &plainConn{}, &relayConn{name: "relay"}
		addrs = append(addrs, punch.Endpoint{Addr: wan.Addr, Conn: relay}, punch.Endpoint{Addr: other.Addr, Conn: relay}, punch.Endpoint{Addr: wan.Addr, Conn: extra})
		var drawn uint64
		k := New(start, func() uint64 { drawn++; return drawn }, wan, nil)
		proven := map[punch.Endpoint]bool{wan: true}
		sentTo := map[uint64]punch.Endpoint{}
		now := start
		for i, b := range script {
			addr, what := addrs[int(b>>4)%len(addrs)], b&15
			number := drawn - uint64(i%3)
			switch what {
			case 0, 1:
				k.Introduce(now, named(addr, addrs[i%len(addrs)]))
			case 2:
				k.Wake(now)
			case 3:
				k.Observe(now, time.Time{}, time.Time{})
			case 4:
				k.Observe(time.Time{}, now, now)
			case 5:
				k.Doubt(now)
			case 6:
				if addr.Addr.IsValid() {
					k.Challenged(now, addr)
				}
			case 7:
				if addr.Addr.IsValid() {
					k.Stray(now, addr)
				}
			case 8, 9:
				if k.Responded(now, number) {
					to, ok := sentTo[number]
					if !ok {
						t.Fatalf("a response to no challenge, %d, proves a path", number)
					}
					proven[to] = true
				}
			case 10:
				k.AskAgain(now)
			case 11:
				if addr.Addr.IsValid() {
					k.Hint(now, addr)
				}
			case 12:
				k.IntroduceBy(now, addr.Conn, named(addr, addrs[i%len(addrs)]))
			case 13:
				k.Lost(now, addr.Conn)
			default:
				now = now.Add(time.Duration(b) * ms)
			}
			for _, o := range k.Advance(now, nil) {
				switch o.Do {
				case Challenge:
					sentTo[o.Number] = o.At
				case Move:
					if !proven[o.At] || k.Path() != o.At {
						t.Fatalf("moves to %v, which has not answered", o.At)
					}
				}
			}
			if n := len(k.Endpoints()); n > maxNamed+maxByOther+maxReflexive+maxHinted+2 || !slices.Contains(k.Endpoints(), k.Path()) {
				t.Fatalf("%d addresses, with the path %v: %v", n, k.Path(), k.Endpoints())
			}
			k.View()
			k.Report(now)
		}
		for range 10_000 {
			at := k.Timeout()
			if at.IsZero() {
				break
			}
			if at.Sub(now) > 24*time.Hour {
				t.Fatalf("wakes in %v", at.Sub(now))
			}
			now = later(now, at)
			k.Advance(now, nil)
		}
		if at := k.Timeout(); !at.IsZero() && now.Sub(start) < time.Minute {
			t.Fatal("the machine does not let time pass")
		}
	})
}
