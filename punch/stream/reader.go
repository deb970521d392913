package stream

import (
	"net"
	"net/netip"

	"campagnol/punch"
)

const (
	// firstBuffer is what a connection that says little needs for reading; it grows up
	// to maxBuffer, where a frame is longer or there is more to read at a time.
	firstBuffer = 4 << 10
	maxBuffer   = 68 << 10 // holds the longest frame

	// maxFrames is how many frames are handed over at a time, lest one client keeps a
	// server from all others with thousands of tiny ones.
	maxFrames = 256

	// maxRun and maxRunBytes bound a run, as UDP_SEGMENT does.
	maxRun      = 64
	maxRunBytes = 60 << 10
)

// A reader cuts what comes over a connection into datagrams. One goroutine owns it.
type reader struct {
	conn       net.Conn
	addr       netip.AddrPort // of the other end, as datagrams have it
	local      netip.Addr     // of this host, likewise
	buf        []byte
	start, end int // of what is in buf and was not handed over
	ds         []punch.Datagram
	segment    int // of the run that is the last of ds, if others may join it; else 0
	count      int // of its payloads
	datagrams  int // in ds
	err        error
}

// receive waits for a frame, and returns all that have come whole. They are borrowed
// until the next call.
func (r *reader) receive() ([]punch.Datagram, error) {
	r.ds, r.segment, r.datagrams = r.ds[:0], 0, 0
	r.shift()
	for {
		r.parse()
		switch {
		case len(r.ds) > 0:
			return r.ds, nil // what is wrong behind them comes next time
		case r.err != nil:
			return nil, r.err
		}
		r.grow()
		n, err := r.conn.Read(r.buf[r.end:])
		r.end += n
		if err != nil && n == 0 {
			return nil, err
		}
	}
}

// shift moves what was not handed over to the beginning of the buffer.
func (r *reader) shift() {
	r.end = copy(r.buf, r.buf[r.start:r.end])
	r.start = 0
}

// grow makes sure that there is room to read. It is called where the frame at the
// beginning is not complete, and so the buffer never grows for nothing but a promise.
func (r *reader) grow() {
	if r.end < len(r.buf) {
		return
	}
	size := min(max(firstBuffer, 4*len(r.buf)), maxBuffer)
	buf := make([]byte, size)
	copy(buf, r.buf[:r.end])
	r.buf = buf
}

// parse adds the frames that are complete to ds.
func (r *reader) parse() {
	for r.err == nil && r.datagrams < maxFrames {
		b := r.buf[r.start:r.end]
		payload, size, err := next(b)
		if err != nil {
			r.err = err
			return
		}
		if size == 0 {
			return
		}
		r.add(payload, size)
		r.start += size
		r.datagrams++
	}
}

// add adds the payload of a frame that takes size bytes at start.
func (r *reader) add(payload []byte, size int) {
	run := len(payload) == size && isChannel(payload)
	if run && r.segment > 0 && size <= r.segment && r.count < maxRun {
		last := &r.ds[len(r.ds)-1]
		if n := len(last.Data) + size; n <= maxRunBytes {
			from := r.start - len(last.Data)
			last.Data, last.Segment = r.buf[from:from+n:from+n], r.segment
			r.count++
			if size < r.segment { // only the last one may be shorter
				r.segment = 0
			}
			return
		}
	}
	r.ds = append(r.ds, punch.Datagram{Addr: r.addr, Local: r.local, Data: payload[:len(payload):len(payload)]})
	r.segment, r.count = 0, 1
	if run {
		r.segment = size
	}
}
