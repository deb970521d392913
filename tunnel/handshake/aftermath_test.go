package handshake

import (
	"testing"
	"time"
)

func TestAftermath(t *testing.T) {
	const finished, clientHello, helloRequest = 20, 1, 0
	type step struct {
		at           time.Duration
		message      []byte
		repeat       int // datagrams
		renegotiates bool
	}
	for _, c := range []struct {
		name    string
		settled bool
		steps   []step
	}{
		{"the last flight is missed", false, []step{
			{0, []byte{finished}, 2, false},
			{RepeatGap - 1, []byte{finished}, 0, false},
			{RepeatGap, []byte{finished, 1, 2}, 2, false},
			{RepeatLife, []byte{finished}, 2, false},
			{RepeatLife + 1, []byte{finished}, 0, false},
			{RepeatLife + RepeatGap, []byte{finished}, 0, false},
		}},
		{"data has come", true, []step{{0, []byte{finished}, 0, false}, {sec, []byte{finished}, 0, false}}},
		{"a new handshake within the session", false, []step{
			{0, []byte{clientHello}, 0, true},
			{RepeatGap / 2, []byte{helloRequest}, 0, false},
			{RepeatGap, []byte{helloRequest}, 0, true},
			{2 * RepeatGap, []byte{finished}, 2, false},
			{2 * RepeatGap, []byte{clientHello}, 0, false},
		}},
		{"nonsense", false, []step{{0, nil, 0, false}, {0, []byte{2}, 0, false}, {0, []byte{255, 1}, 0, false}, {0, []byte{finished}, 2, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			a := NewAftermath(begin, &Result{LastFlight: [][]byte{{1}, {2}}})
			if c.settled {
				a.Settle()
			}
			for _, s := range c.steps {
				repeat, renegotiates := a.Handle(begin.Add(s.at), s.message)
				if len(repeat) != s.repeat || renegotiates != s.renegotiates {
					t.Errorf("at %v, %x: %d datagrams, %v, want %d, %v", s.at, s.message, len(repeat), renegotiates, s.repeat, s.renegotiates)
				}
			}
		})
	}
}

const sec = time.Second

func TestClientHello(t *testing.T) {
	hello := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1}, make([]byte, 59)...)
	for i := range 32 {
		hello[13+12+2+i] = byte(i + 1)
	}
	change := func(at int, to byte) []byte {
		b := append([]byte(nil), hello...)
		b[at] = to
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"one", hello, true},
		{"with more behind it", append(hello[:len(hello):len(hello)], 1, 2, 3), true},
		{"cut", hello[:len(hello)-1], false},
		{"nothing", nil, false},
		{"another message", change(13, 2), false},
		{"another record", change(0, 23), false},
		{"protected", change(4, 1), false},
		{"too short for a random", change(12, 45), false},
	} {
		random, ok := ClientHello(c.b)
		if ok != c.want {
			t.Errorf("%s: %v, want %v", c.name, ok, c.want)
		}
		if ok && (random[0] != 1 || random[31] != 32) {
			t.Errorf("%s: random %x", c.name, random)
		}
	}
}

func FuzzClientHello(f *testing.F) {
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) { ClientHello(b) })
}
