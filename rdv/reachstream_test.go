package rdv

import (
	"testing"

	"campagnol/punch"
)

// TestWhereConnectionsAreTaken: who learns where a member takes connections: a public
// place everybody, also where it has the address of the member's endpoint; a private one
// those behind the same NAT; one with a scope those who have it.
func TestWhereConnectionsAreTaken(t *testing.T) {
	list := []punch.Candidate{
		place("203.0.113.21:49380", punch.Stream, ""), // the endpoint's, by UDP
		place("192.168.1.2:443", punch.Stream, ""),
		place("10.1.2.3:443", punch.Stream, "office"),
		place("127.0.0.1:443", punch.Stream, ""),
	}
	for _, c := range []struct {
		name   string
		scopes []string
		near   bool
		want   string
	}{
		{"a stranger", nil, false, " or stream 203.0.113.21:49380 "},
		{"behind the same NAT", nil, true, " or stream 203.0.113.21:49380  or stream 192.168.1.2:443 "},
		{"in the scope", []string{"office"}, false, " or stream 203.0.113.21:49380  or stream 10.1.2.3:443 office"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, Mixed, 0)
			at := epB
			if c.near {
				at = epA2
			}
			a, b := s.join(epA, alice), s.join(at, bob)
			s.says(a, reachable(1, ip1, nil, list...), "alice"+registered+"203.0.113.21:49380")
			s.says(b, reachable(1, ip2, c.scopes), "bob"+registered+at.String())
			s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 at 203.0.113.21:49380 authentic"+c.want, "alice INTRODUCE 10.9.0.2 at "+at.String()+" authentic")
		})
	}
}
