package lab

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"campagnol/conf"
	"campagnol/internal/lab/frame"
)

// TestClientConfigFrames: what a client that carries frames is told.
func TestClientConfigFrames(t *testing.T) {
	text := clientConfig(1, netip.MustParseAddr("203.0.113.10"), Credentials{"/c", "/k", "/a"}, "/tmp/state", modeTAP)
	c, problems, err := conf.ParseClient("campagnol.conf", []byte(text))
	if err != nil || len(problems) != 0 {
		t.Fatalf("the configuration has problems: %v, %v\n%s", problems, err, text)
	}
	if c.Mode != conf.ModeTAP || c.TunDevice != tapName || !c.Ethernet.FullMesh {
		t.Errorf("mode %v on %s, full mesh %v, want frames on %s and a full mesh", c.Mode, c.TunDevice, c.Ethernet.FullMesh, tapName)
	}
}

func TestIsARP(t *testing.T) {
	const head = "ffffffffffff02ca0a0900010806" + "0001080006040001"
	question := head + "02ca0a0900010a090001" + "0000000000000a090002"
	answer := "02ca0a09000102ca0a0900020806" + "0001080006040002" + "02ca0a0900020a090002" + "02ca0a0900010a090001"
	addr := netip.MustParseAddr("10.9.0.2")
	for _, c := range []struct {
		name  string
		frame string
		op    uint16
		want  bool
	}{
		{"question", question, arpRequest, true},
		{"question as an answer", question, arpReply, false},
		{"answer", answer, arpReply, true},
		{"answer as a question", answer, arpRequest, false},
		{"about another", question[:len(question)-1] + "3", arpRequest, false},
		{"of another kind", question[:24] + "0800" + question[28:], arpRequest, false},
		{"cut short", question[:len(question)-2], arpRequest, false},
		{"nothing", "", arpRequest, false},
	} {
		b, err := hex.DecodeString(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		if got := isARP(b, c.op, addr); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRecords: how many datagrams of the stream a frame on the way has in it.
func TestRecords(t *testing.T) {
	member, outgoing := netip.MustParseAddr("203.0.113.12"), true
	of := func(to string, n int, out bool) Sighting {
		f := frame.Frame{Protocol: 17, DstIP: netip.MustParseAddr(to)}
		return Sighting{Outgoing: out, Raw: make([]byte, n), Frame: f}
	}
	const outside = 14 + 20 + 8
	for _, c := range []struct {
		what string
		s    Sighting
		want int
	}{
		{"a record of AES-GCM", of("203.0.113.12", outside+13+8+14+28+streamSize+16, outgoing), 1},
		{"a record of ChaCha20", of("203.0.113.12", outside+13+14+28+streamSize+16, outgoing), 1},
		{"twenty, to be cut later", of("203.0.113.12", outside+20*(13+8+14+28+streamSize+16), outgoing), 20},
		{"what is said about groups", of("203.0.113.12", 200, outgoing), 0},
		{"for another", of("203.0.113.13", 900, outgoing), 0},
		{"from there", of("203.0.113.12", 900, false), 0},
	} {
		if got := records(c.s, member); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}
