package handshake

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"time"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/transport/v5/deadline"
)

// Bounds on what a peer that has proven nothing yet can make us keep.
const (
	maxQueued    = 32      // datagrams for pion
	maxEarly     = 64      // records for the time after the take-over
	maxFinished  = 8       // copies of protected handshake records
	maxRecordLen = 4 << 10 // of a kept record, in bytes; a VPN packet is smaller
)

// finishedLen is the length of a Finished with its type (RFC 5246 section 7.4.9, RFC
// 6347 section 4.2.2), as it is sealed in a record with a connection ID, in bytes.
const finishedLen = 12 + 12 + 1

// A pipe is the net.PacketConn that pion speaks through. It stands between pion
// and the network: it shows pion only the records of a handshake, keeps those
// that come early, and watches which sequence numbers leave.
type pipe struct {
	send    func([]byte)
	in      chan []byte
	doubted chan struct{} // closed when the peer seems to refuse the handshake, or not to be able to do it
	closed  chan struct{}
	expired *deadline.Deadline // of reads
	withID  bool               // records with a connection ID may come

	mu         sync.Mutex
	swallowing bool
	shut       bool
	doubt      error // why doubted is closed: a *LegacyError or an *AlertError
	refused    bool  // doubt is about a hello that pion has not seen
	peer       diagnosis
	early      [][]byte // whole records of epoch 1 that are not handshake records, or may be others
	finished   [][]byte // copies of epoch-1 handshake records from the peer, the newest
	lastFlight [][]byte // datagrams since our last ChangeCipherSpec
	nextSeq    uint64   // one more than the highest epoch-1 number that left
	nextClear  uint64   // the same of epoch 0
}

func newPipe(server bool, suites []record.Suite, send func([]byte)) *pipe {
	return &pipe{
		send:    send,
		peer:    diagnosis{server: server, suites: suites},
		in:      make(chan []byte, maxQueued),
		doubted: make(chan struct{}),
		closed:  make(chan struct{}),
		expired: deadline.New(),
	}
}

// deliver sorts the records of a datagram from the network.
func (p *pipe) deliver(datagram []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var forPion []byte
	for rest := datagram; len(rest) > 0; {
		h, rec, r, err := record.Split(rest)
		if err != nil {
			break
		}
		if p.sort(h, rec) {
			forPion = append(forPion, rec...)
		}
		rest = r
	}
	if forPion == nil || p.shut {
		return
	}
	select {
	case p.in <- forPion:
	default: // pion is behind; the peer repeats its flight
	}
}

// sort keeps what has to be kept of a record and reports whether pion may see
// it. p.mu is held.
func (p *pipe) sort(h record.Header, rec []byte) (forPion bool) {
	switch {
	case h.Epoch == 0 && h.Type == record.Handshake:
		return p.showHandshake(h, rec[record.HeaderLen:])
	case h.Epoch == 0 && h.Type == record.ChangeCipherSpec:
		return true
	case h.Epoch == 0 && h.Type == record.Alert:
		p.noteAlert(h, rec[record.HeaderLen:])
	case h.Epoch == 1 && h.Type == record.Handshake:
		if len(rec) <= maxRecordLen {
			p.keepFinished(rec)
		}
		if p.swallowing { // after the take-over: a repeated flight, for the session
			p.keepEarly(rec)
			return false
		}
		return true
	case h.Epoch == 1 && (h.Type == record.ApplicationData || h.Type == record.Alert):
		p.keepEarly(rec)
	case h.Epoch == 1 && h.Type == record.WithID && p.withID:
		p.keepEarly(rec)
		if p.swallowing || !p.mayFinish(h) {
			return false
		}
		p.keepFinished(rec)
		return true
	}
	return false
}

// mayFinish reports whether a record with a connection ID has the length of a Finished.
// If it is something else all the same, pion drops it.
func (p *pipe) mayFinish(h record.Header) bool {
	return slices.ContainsFunc(p.peer.suites, func(s record.Suite) bool {
		return h.Length == finishedLen+s.Overhead()-record.HeaderLen
	})
}

// keepFinished keeps a copy of what may be the peer's Finished. The newest are kept,
// since the handshake ends with the true one, and anybody can send others before.
func (p *pipe) keepFinished(rec []byte) {
	if len(p.finished) == maxFinished {
		p.finished = slices.Delete(p.finished, 0, 1)
	}
	p.finished = append(p.finished, bytes.Clone(rec))
}

func (p *pipe) keepEarly(rec []byte) {
	if len(p.early) < maxEarly && len(rec) <= maxRecordLen {
		p.early = append(p.early, bytes.Clone(rec))
	}
}

// showHandshake reports whether pion may see a handshake record in clear. It
// does not see the hello of a peer who is out of reach: its handshake would end
// there, and anybody who can spoof the peer's address can send one.
func (p *pipe) showHandshake(h record.Header, body []byte) bool {
	if e := p.peer.record(h, body); e != nil {
		if p.doubt == nil {
			p.refused = true
		}
		p.doubtPeer(e)
		return false
	}
	return true
}

// noteAlert keeps the first fatal alert that came in clear. pion never sees
// alerts in clear, since a spoofed one would end its handshake.
func (p *pipe) noteAlert(h record.Header, body []byte) {
	var a alert.Alert
	if a.Unmarshal(body) != nil || a.Level != alert.Fatal {
		return
	}
	if e := p.peer.record(h, body); e != nil {
		p.doubtPeer(e)
	} else {
		p.doubtPeer(&AlertError{a.Description})
	}
}

// doubtPeer notes why the handshake will fail. It is a hint, not proof: see
// doubtGrace. p.mu is held.
func (p *pipe) doubtPeer(why error) {
	if p.doubt == nil {
		p.doubt = why
		close(p.doubted)
	}
}

// reason returns why the peer was doubted, if it was.
func (p *pipe) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doubt
}

// refuse tells a peer that is out of reach that we do not go on. Else it would
// repeat its hello for minutes; the original does for eight.
func (p *pipe) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.doubt.(*LegacyError); ok && p.refused && !p.swallowing {
		p.send(e.Legacy.refusal(p.nextClear))
	}
}

// forgetEarly makes a copy of a record no early one. p.mu is held.
func (p *pipe) forgetEarly(rec []byte) {
	p.early = slices.DeleteFunc(p.early, func(b []byte) bool { return bytes.Equal(b, rec) })
}

func (p *pipe) takeEarly() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	early := p.early
	p.early = nil
	return early
}

// swallow makes the pipe drop what pion writes from now on. When it returns,
// nothing more of pion's leaves.
func (p *pipe) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallowing = true
}

// WriteTo sends a datagram of pion's to the network.
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.swallowing {
		return len(b), nil
	}
	d := inClear(b)
	p.watch(d)
	p.send(d) // under the lock: after swallow has returned, nothing leaves
	return len(b), nil
}

// inClear returns a datagram as it is to be sent. pion puts the peer's connection ID
// into its alerts in clear, too, and the alert where it would be encrypted; but IDs are
// for protected records only (RFC 9146 section 3), and the peer would not understand.
func inClear(b []byte) []byte {
	const alertLen = 2
	h, ok := record.Peek(b)
	if !ok || h.Type != record.WithID || h.Epoch != 0 || len(b) < record.HeaderLen+alertLen+1 {
		return b
	}
	content := b[len(b)-alertLen-1 : len(b)-1]
	d := append([]byte{b[len(b)-1]}, b[1:record.HeaderLen-2]...)
	return append(append(d, 0, alertLen), content...)
}

// watch notes the highest sequence numbers of datagram b, and keeps b if it
// belongs to the last flight: the ChangeCipherSpec and what follows it.
func (p *pipe) watch(b []byte) {
	last := len(p.lastFlight) > 0
	for rest := b; len(rest) > 0; {
		h, ok := record.Peek(rest)
		if !ok {
			break
		}
		if h.Epoch == 0 {
			p.nextClear = max(p.nextClear, h.Seq+1)
		}
		switch {
		case h.Epoch == 0 && h.Type == record.ChangeCipherSpec:
			p.lastFlight, last = nil, true
		case h.Epoch == 1:
			p.nextSeq = max(p.nextSeq, h.Seq+1)
		case h.Type == record.Handshake: // a flight before the last, repeated
			p.lastFlight, last = nil, false
		}
		if h.Type == record.WithID {
			break // how long its ID is, the peer knows; pion puts nothing behind a Finished
		}
		_, _, r, err := record.Split(rest)
		if err != nil {
			break
		}
		rest = r
	}
	if last {
		p.lastFlight = append(p.lastFlight, bytes.Clone(b))
	}
}

// ReadFrom gives pion the next datagram.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select { // an expired deadline wins over a datagram that waits
	case <-p.expired.Done():
		return 0, nil, errExpired{}
	default:
	}
	select {
	case d := <-p.in:
		return copy(b, d), p.RemoteAddr(), nil
	case <-p.expired.Done():
		return 0, nil, errExpired{}
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

// Close unblocks ReadFrom.
func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shut {
		p.shut = true
		close(p.closed)
	}
	return nil
}

// An addr is the address of either end: pion wants one, nobody looks at it.
type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }

// The rest of net.PacketConn.

func (p *pipe) LocalAddr() net.Addr               { return addr{} }
func (p *pipe) RemoteAddr() net.Addr              { return addr{} }
func (p *pipe) SetReadDeadline(t time.Time) error { p.expired.Set(t); return nil }
func (p *pipe) SetWriteDeadline(time.Time) error  { return nil } // writes never wait
func (p *pipe) SetDeadline(t time.Time) error     { return p.SetReadDeadline(t) }

// errExpired is what a net.PacketConn returns after its deadline.
type errExpired struct{}

func (errExpired) Error() string   { return "deadline exceeded" }
func (errExpired) Timeout() bool   { return true }
func (errExpired) Temporary() bool { return true }
