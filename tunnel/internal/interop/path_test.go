package interop

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/tunnel/record"
)

// A datagram on its way.
type datagram struct {
	toPeer bool
	n      int // how many went that way before it
	at     time.Time
	data   []byte
}

// A path relays datagrams between our end, by function calls, and a process, over
// UDP. It can lose, multiply, hold and delay them, and it keeps a copy of each.
type path struct {
	conn  *net.UDPConn
	ended chan struct{}

	// filter returns what becomes of a datagram: nothing, itself, or others with
	// it. It is called for one datagram at a time. nil: the datagram.
	filter func(d datagram) [][]byte

	// delay returns how long a datagram takes. nil: no time, and in order.
	delay func(d datagram) time.Duration

	mu   sync.Mutex // also held while filter runs
	peer *net.UDPAddr
	sent map[bool]int // by direction
	log  []datagram
}

// newPath returns a path to a process at an address; nil: whoever sends first.
func newPath(t *testing.T, peer *net.UDPAddr) *path {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &path{conn: conn, peer: peer, sent: map[bool]int{}, ended: make(chan struct{})}
	t.Cleanup(func() {
		conn.Close()
		<-p.ended
		if t.Failed() {
			t.Log(p.describe())
		}
	})
	return p
}

func (p *path) addr() *net.UDPAddr { return p.conn.LocalAddr().(*net.UDPAddr) }

// run brings what the process sends to our end, until the path is closed.
func (p *path) run(deliver func([]byte)) {
	defer close(p.ended)
	buf := make([]byte, 65536)
	for {
		n, from, err := p.conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.peer == nil {
			p.peer = from
		}
		stranger := p.peer.Port != from.Port || !p.peer.IP.Equal(from.IP)
		p.mu.Unlock()
		if !stranger { // one who has just had our port may still get answers
			p.carry(false, buf[:n], deliver)
		}
	}
}

// send brings a datagram of ours to the process.
func (p *path) send(b []byte) {
	p.carry(true, b, func(b []byte) {
		p.mu.Lock()
		to := p.peer
		p.mu.Unlock()
		p.conn.WriteToUDP(b, to) // a lost datagram if it fails
	})
}

func (p *path) carry(toPeer bool, b []byte, arrive func([]byte)) {
	p.mu.Lock()
	d := datagram{toPeer, p.sent[toPeer], time.Now(), bytes.Clone(b)}
	p.sent[toPeer]++
	p.log = append(p.log, d)
	out := [][]byte{d.data}
	if p.filter != nil {
		out = p.filter(d)
	}
	p.mu.Unlock()
	all := func() {
		for _, b := range out {
			arrive(bytes.Clone(b)) // records are opened in place
		}
	}
	if p.delay == nil {
		all()
		return
	}
	time.AfterFunc(p.delay(d), all)
}

// sentBy returns the datagrams of one direction so far.
func (p *path) sentBy(toPeer bool) []datagram {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ds []datagram
	for _, d := range p.log {
		if d.toPeer == toPeer {
			ds = append(ds, d)
		}
	}
	return ds
}

// describe lists the last datagrams, for whoever has to find out what went wrong.
func (p *path) describe() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var text strings.Builder
	for _, d := range p.log[max(0, len(p.log)-200):] {
		fmt.Fprintf(&text, "%s to the peer=%v %d:", d.at.Format("05.000"), d.toPeer, d.n)
		for rest := d.data; len(rest) > 0; {
			h, rec, r, err := record.Split(rest)
			if err != nil {
				fmt.Fprintf(&text, " %x", rest)
				break
			}
			rest = r
			fmt.Fprintf(&text, " type %d", h.Type)
			if h.Epoch == 0 && h.Length > 0 {
				fmt.Fprintf(&text, "/%d", rec[record.HeaderLen])
			}
			fmt.Fprintf(&text, " number %d.%d,", h.Epoch, h.Seq)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// isHandshake reports whether a datagram begins with a record of a handshake.
func isHandshake(b []byte) bool {
	h, err := record.ParseHeader(b)
	return err == nil && (h.Type == record.Handshake || h.Type == record.ChangeCipherSpec)
}

// hasFinished reports whether a datagram has a protected handshake record.
func hasFinished(b []byte) bool {
	for len(b) > 0 {
		h, _, rest, err := record.Split(b)
		if err != nil {
			return false
		}
		if h.Epoch == 1 && h.Type == record.Handshake {
			return true
		}
		b = rest
	}
	return false
}

// lose returns a filter that loses one of every five of the handshake's datagrams
// in each direction: which, is a matter of the seed alone. It ends with the given
// number, lest a seed that loses the same message of each repetition, whose
// intervals double, takes minutes.
func lose(seed uint64, until int) func(datagram) [][]byte {
	return func(d datagram) [][]byte {
		if d.n < until && isHandshake(d.data) && hash(seed, d.toPeer, d.n/5)%5 == uint64(d.n%5) {
			return nil
		}
		return [][]byte{d.data}
	}
}

// hash mixes a seed, a direction and a number (SplitMix64's finalizer).
func hash(seed uint64, toPeer bool, n int) uint64 {
	x := seed<<32 + uint64(n)<<1
	if toPeer {
		x++
	}
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
