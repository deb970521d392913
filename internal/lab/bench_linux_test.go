package lab

import (
	"net/netip"
	"testing"
)

// BenchmarkBulk is what the traffic generator can do without anything in
// between: what is measured with it is slower than this.
func BenchmarkBulk(b *testing.B) {
	for _, c := range []struct {
		name string
		o    BulkOptions
	}{
		{"checksum", BulkOptions{Size: 200_000_000}},
		{"plain", BulkOptions{Size: 200_000_000, NoChecksum: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLab(b, Options{})
			from, to := addHost(b, l, "from", nil), addHost(b, l, "to", nil)
			b.SetBytes(c.o.Size)
			for b.Loop() {
				if _, err := Bulk(b.Context(), from.Node, to.Node, netip.AddrPortFrom(to.Addr(), 0), c.o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPing is the round-trip time of an echo request between two hosts.
func BenchmarkPing(b *testing.B) {
	l := newLab(b, Options{})
	from, to := addHost(b, l, "from", nil), addHost(b, l, "to", nil)
	var r PingResult
	for b.Loop() {
		var err error
		r, err = from.Ping(b.Context(), to.Addr(), PingOptions{Count: 100, Interval: ms / 10})
		if err != nil || r.Received() != 100 {
			b.Fatalf("%v, %v", r, err)
		}
	}
	b.ReportMetric(float64(r.Median().Nanoseconds()), "ns/rtt")
}

// BenchmarkLab is how long a lab with two hosts behind NATs takes to make and
// to remove.
func BenchmarkLab(b *testing.B) {
	needLab(b)
	for b.Loop() {
		l, err := New(b.Context(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"1", "2"} {
			nat := addNAT(b, l, "nat"+name, NATOptions{Kind: PortRestricted})
			addHost(b, l, "h"+name, nat)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
