// Package journal speaks with systemd's journal, as its "native protocol" has it
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): entries are lists of fields, and each
// is a datagram to a socket of the file system. It knows nothing of the rest of the
// module.
package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Socket is where the journal listens.
const Socket = "/run/systemd/journal/socket"

const (
	// maxEntry is how large an entry may be, in bytes. The kernel takes more; what is
	// larger than its buffer would have to be passed as a file, which nobody here needs.
	maxEntry = 64 << 10

	// sendTime is how long an entry may wait for a journal that does not read.
	sendTime = 100 * time.Millisecond
)

// A Field is one field of an entry. Name is made of capital letters, digits and
// underscores, and begins with a letter: those that begin otherwise are the journal's
// own, and not taken from anybody else.
type Field struct{ Name, Value string }

// ErrSize says that an entry is larger than entries may be.
var ErrSize = errors.New("journal: the entry is too large")

// Append appends an entry, as it goes over the socket. A field whose name is not a
// name is left out: what it says might else become another field.
func Append(b []byte, fields []Field) []byte {
	for _, f := range fields {
		if !isName(f.Name) {
			continue
		}
		b = append(b, f.Name...)
		if strings.IndexByte(f.Value, '\n') >= 0 {
			b = append(b, '\n')
			b = binary.LittleEndian.AppendUint64(b, uint64(len(f.Value)))
		} else {
			b = append(b, '=')
		}
		b = append(b, f.Value...)
		b = append(b, '\n')
	}
	return b
}

// isName reports whether s may name a field.
func isName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'A' || s[0] > 'Z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// errEntry says that something is no entry.
var errEntry = errors.New("journal: not an entry")

// Parse returns the fields of an entry, for those who play the journal.
func Parse(b []byte) (fields []Field, err error) {
	for len(b) > 0 {
		line, rest, ok := bytes.Cut(b, []byte{'\n'})
		if !ok {
			return nil, errEntry
		}
		name, value, plain := strings.Cut(string(line), "=")
		if !plain {
			if len(rest) < 8 {
				return nil, errEntry
			}
			size := binary.LittleEndian.Uint64(rest)
			rest = rest[8:]
			if size >= uint64(len(rest)) || rest[size] != '\n' {
				return nil, errEntry
			}
			value, rest = string(rest[:size]), rest[size+1:]
		}
		if !isName(name) {
			return nil, errEntry
		}
		fields, b = append(fields, Field{name, value}), rest
	}
	return fields, nil
}

// A Sender sends entries. It is safe for concurrent use. A journal that was started
// again is found by itself.
type Sender struct {
	path string

	mu   sync.Mutex
	conn net.Conn // nil: not connected
}

// Dial connects to the journal at a socket.
func Dial(path string) (*Sender, error) {
	s := &Sender{path: path}
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	s.conn = conn
	return s, nil
}

func (s *Sender) dial() (net.Conn, error) {
	conn, err := net.DialTimeout("unixgram", s.path, sendTime)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return conn, nil
}

// Send sends an entry. It waits for a journal that does not read for a tenth of a
// second.
func (s *Sender) Send(fields []Field) error {
	b := Append(nil, fields)
	if len(b) > maxEntry {
		return ErrSize
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range 2 { // the journal may have been started again
		if s.conn == nil {
			if s.conn, err = s.dial(); err != nil {
				s.conn = nil
				return err
			}
		}
		if err = s.write(b); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		s.conn.Close()
		s.conn = nil
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// write sends an entry. s.mu is locked: an entry takes its turn behind one that waits.
func (s *Sender) write(b []byte) error {
	// The deadline is the kernel's business, not that of our clock.
	if err := s.conn.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// Close ends the connection.
func (s *Sender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}

// streamVariable is what systemd tells a service: device and inode of the pipe or
// socket that is its standard output or error and leads to the journal.
const streamVariable = "JOURNAL_STREAM"

// Reads reports whether what is written to f goes to the journal line by line, as a
// service's standard output and error do.
func Reads(f *os.File) bool {
	device, inode, ok := strings.Cut(os.Getenv(streamVariable), ":")
	if !ok || f == nil {
		return false
	}
	dev, err := strconv.ParseUint(device, 10, 64)
	if err != nil {
		return false
	}
	ino, err := strconv.ParseUint(inode, 10, 64)
	return err == nil && isFile(f, dev, ino)
}
