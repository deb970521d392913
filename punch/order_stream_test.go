package punch

import (
	"net/netip"
	"slices"
	"testing"
)

// TestChooseStreams: a place that takes connections is another one than the same address
// by UDP, and few of them are chosen.
func TestChooseStreams(t *testing.T) {
	list := []Candidate{
		cand("203.0.113.7:443", Stream, ""),
		cand("203.0.113.7:443", Host, ""),
		cand("203.0.113.8:443", Stream, "office"),
		cand("203.0.113.9:443", Stream, ""),
		cand("203.0.113.7:443", Stream, ""),
		cand("198.51.100.1:9", Relayed, ""),
	}
	want := []Candidate{
		cand("203.0.113.7:443", Host, ""),
		cand("203.0.113.7:443", Stream, ""),
		cand("203.0.113.8:443", Stream, "office"),
		cand("198.51.100.1:9", Relayed, ""),
	}
	if got := Choose(list); !slices.Equal(got, want) {
		t.Errorf("chosen %v, want %v", got, want)
	}
}

// A testStream is a connection by TCP.
type testStream struct{ Conn }

func (testStream) Transport() string { return "tcp" }

// A testRelayed is a relay that is reached over a connection.
type testRelayed struct{ testStream }

func (testRelayed) Relay() string { return "a relay" }

// TestStreamedEndpoint: what people are shown of an endpoint over a connection; a relay that
// is reached over one is a relay.
func TestStreamedEndpoint(t *testing.T) {
	zoned := netip.MustParseAddrPort("[::ffff:203.0.113.7%tcp]:443")
	for _, c := range []struct {
		at       Endpoint
		streamed bool
		want     string
	}{
		{Endpoint{Addr: zoned, Conn: testStream{}}, true, "203.0.113.7:443 over tcp"},
		{Endpoint{Addr: netip.MustParseAddrPort("[2001:db8::7%tcp]:443"), Conn: testStream{}}, true, "[2001:db8::7]:443 over tcp"},
		{Endpoint{Addr: netip.MustParseAddrPort("203.0.113.7:443"), Conn: testRelayed{}}, false, "203.0.113.7:443 through a relay"},
		{Endpoint{Addr: netip.MustParseAddrPort("203.0.113.7:443")}, false, "203.0.113.7:443"},
	} {
		if c.at.Streamed() != c.streamed || c.at.String() != c.want {
			t.Errorf("%v, streamed %v; want %s, %v", c.at, c.at.Streamed(), c.want, c.streamed)
		}
	}
}
