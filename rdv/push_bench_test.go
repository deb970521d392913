package rdv

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/channel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// BenchmarkPush is what control does, without the kernel, to bring a bulletin to
// 50,000 members: it seals NOTICE and CHUNK, and opens DONE and FETCH.
func BenchmarkPush(b *testing.B) {
	const members = 50_000
	s, ca := idleServer(b, Mixed)
	leaf := ca.Issue(b, "host")
	now, in := time.Now(), &batch{}
	var tmp record.Scratch
	seal := func(c *handshake.Result, m channel.Message) []byte {
		rec, err := c.Seal.Seal(nil, m.Append(nil), record.ApplicationData, &tmp)
		if err != nil {
			b.Fatal(err)
		}
		return rec
	}
	clients := make([]*handshake.Result, members)
	for i := range clients {
		clients[i] = connect(b, s, now, i, leaf, nthVPN(i))
		arrive(b, s, now, in, nthEndpoint(i), seal(clients[i], channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{nthVPN(i)}}))
	}
	answers := make([][2][]byte, members)
	var round uint64
	for b.Loop() {
		b.StopTimer()
		round++
		began, chunks := now, s.registry.Counters().Chunks
		if err := s.take(b.Context(), now, Object{channel.Bulletin, signBulletin(b, now, round, "", 0, ca)}, "bench"); err != nil {
			b.Fatal(err)
		}
		s.renew(now)
		for i, c := range clients {
			answers[i] = [2][]byte{
				seal(c, channel.Message{Type: channel.Done, ID: s.registry.push.notice.ID}),
				seal(c, channel.Message{Type: channel.Fetch, ID: 2, Objects: s.registry.push.catalog.all()}),
			}
		}
		b.StartTimer()
		for next := 0; next < members; now = now.Add(noticeTick) {
			s.advance(now)
			told := len(s.out)
			s.flush(b.Context())
			for i := next; i < min(next+told, members); i++ { // as many as were told
				arrive(b, s, now, in, nthEndpoint(i), answers[i][0])
				arrive(b, s, now, in, nthEndpoint(i), answers[i][1])
			}
			next += told
		}
		if got := s.registry.Counters().Chunks - chunks; got != members {
			b.Fatalf("%d CHUNKs, want %d", got, members)
		}
		b.ReportMetric(now.Sub(began).Seconds(), "spread-s")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/members, "ns/member")
}
