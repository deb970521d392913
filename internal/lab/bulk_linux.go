package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"
)

// bulkBuffer is how much a sender and a receiver of a transfer handle at once,
// in bytes.
const bulkBuffer = 128 << 10

// Bulk sends data over one TCP connection from a node to an address of another
// and compares checksums. Port 0 of the address takes any. It is an error if
// not all arrives as it was sent.
func Bulk(ctx context.Context, from, to *Node, addr netip.AddrPort, o BulkOptions) (BulkResult, error) {
	var want string
	seed := rand.Uint64()
	if !o.NoChecksum {
		// Ahead of the transfer, not to slow it down.
		h := sha256.New()
		if _, err := io.CopyN(h, newStream(seed), o.Size); err != nil {
			return BulkResult{}, err
		}
		want = hex.EncodeToString(h.Sum(nil))
	}
	ctx, cancel := context.WithCancel(ctx) // ends the receiver if the sender fails
	defer cancel()
	ln, err := to.ListenTCP(addr)
	if err != nil {
		return BulkResult{}, err
	}
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.SetDeadline(time.Unix(1, 0)) })()

	received := make(chan bulkReceipt, 1)
	go func() { received <- receiveBulk(ctx, ln, !o.NoChecksum) }()
	start, err := sendBulk(ctx, from, ln, newStream(seed), o.Size)
	if err != nil {
		err = inContext(ctx, from.wrap("send", err))
		cancel()
		<-received
		return BulkResult{}, err
	}
	r := <-received
	result := BulkResult{Bytes: r.bytes, Took: r.end.Sub(start), SHA256: r.sum}
	switch {
	case r.err != nil:
		return result, inContext(ctx, to.wrap("receive", r.err))
	case r.bytes != o.Size:
		return result, fmt.Errorf("lab: %s received %d bytes of %d", to.name, r.bytes, o.Size)
	case r.sum != want:
		return result, fmt.Errorf("lab: %s received something else than %s sent: SHA-256 %s, want %s", to.name, from.name, r.sum, want)
	}
	return result, nil
}

// inContext adds why the context ended to the time-out that this caused.
func inContext(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return err
}

// sendBulk sends size bytes and returns when it began.
func sendBulk(ctx context.Context, from *Node, ln *net.TCPListener, s io.Reader, size int64) (start time.Time, err error) {
	to := ln.Addr().(*net.TCPAddr).AddrPort()
	conn, err := from.DialTCP(ctx, to)
	if err != nil {
		return start, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	start = time.Now()
	b := make([]byte, bulkBuffer)
	for left := size; left > 0; {
		part := b[:min(left, int64(len(b)))]
		if _, err := s.Read(part); err != nil {
			return start, err
		}
		n, err := conn.Write(part)
		if err != nil {
			return start, err
		}
		left -= int64(n)
	}
	return start, conn.CloseWrite()
}

// A bulkReceipt is what a receiver got.
type bulkReceipt struct {
	bytes int64
	sum   string
	end   time.Time
	err   error
}

// receiveBulk accepts one connection and reads it to its end.
func receiveBulk(ctx context.Context, ln *net.TCPListener, checksum bool) (r bulkReceipt) {
	conn, err := ln.AcceptTCP()
	if err != nil {
		return bulkReceipt{err: err}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	var h hash.Hash
	if checksum {
		h = sha256.New()
	}
	b := make([]byte, bulkBuffer)
	for {
		n, err := conn.Read(b)
		r.bytes += int64(n)
		if h != nil {
			h.Write(b[:n])
		}
		if err == nil {
			continue
		}
		r.end = time.Now()
		if err != io.EOF {
			r.err = err
		}
		if h != nil {
			r.sum = hex.EncodeToString(h.Sum(nil))
		}
		return r
	}
}
