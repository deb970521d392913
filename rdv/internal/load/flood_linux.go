package load

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/punch"
	"campagnol/rdv/wire"
)

// floodTick is how often forged datagrams are sent, many at a time.
const floodTick = time.Millisecond

// forged returns what anybody can send in anybody's name.
func forged() [][]byte {
	hello := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 1}, make([]byte, 199)...)
	return [][]byte{
		wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil),
		hello,
		wire.GateMessage{Type: wire.Admit, Data: hello}.Append(nil),
		wire.Message{Type: wire.Hello, IP1: vpnAddr(7)}.Append(nil),
		wire.Message{Type: wire.Ask, IP1: vpnAddr(8)}.Append(nil),
	}
}

// flood sends forged datagrams until ctx is done: KNOCKs, ClientHellos in clear and
// in an ADMIT with a wrong cookie, HELLOs and ASKs, each from another address, so
// that no limit of a network applies.
func (r *authRunner) flood(ctx context.Context) {
	kinds := forged()
	rnd := rand.New(rand.NewPCG(r.cfg.Seed, 1))
	begin := time.Now()
	for sent := 0; ctx.Err() == nil && time.Since(begin) < r.cfg.Duration; {
		t := unix.NsecToTimespec(int64(floodTick))
		_ = unix.Nanosleep(&t, nil)
		var out []punch.Datagram
		for due := int(time.Since(begin).Seconds() * float64(r.cfg.Flood)); sent < due && len(out) < 1000; sent++ {
			from := netip.AddrFrom4([4]byte{127, byte(128 + rnd.IntN(127)), byte(rnd.IntN(256)), byte(1 + rnd.IntN(254))})
			out = append(out, punch.Datagram{Addr: r.cfg.Server, Local: from, Data: kinds[sent%len(kinds)]})
		}
		if len(out) > 0 {
			_ = r.conn.Send(out) // what does not fit is lost, as it should
		}
		r.flooded.Store(int64(sent))
	}
}
