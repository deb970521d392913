package l2

import (
	"testing"

	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/l2/mcast"
)

// The snooper's view says where multicast goes.
var _ Groups = (*mcast.View)(nil)

// TestSeam has the real view of a node of which nobody has joined anything: what the
// link needs goes to all, a film to nobody.
func TestSeam(t *testing.T) {
	x := newNode(t, Config{}, 2)
	s := mcast.New(mcast.Config{})
	s.Up(x.now, nil)
	x.sw.SetGroups(s.View())
	for _, c := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"names of neighbours", udp4(ether.GroupMAC(mdns), macL, ipL, mdns), "1 2"},
		{"a film", udp4(ether.GroupMAC(film), macL, ipL, film), "no_member"},
	} {
		if got := x.outcome(TAP, c.frame); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
