package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"campagnol/pki/safefile"
)

// A serverMemory remembers with which rendezvous servers an authenticated channel
// has stood, so that nobody who keeps such a server's answers from us makes us
// register in clear.
//
// It lives in a file that several processes may use at once: the running client,
// and "campagnol forget --rdv". The file is read again when it has changed. When it
// cannot be written, the memory lasts as long as it does.
//
// It is safe for concurrent use.
type serverMemory struct {
	path string // empty: memory only

	mu      sync.Mutex
	lines   []string        // of the file, without newlines
	unsaved map[string]bool // names that could not be written
	stat    fs.FileInfo     // of the file when it was read; nil if there was none
}

// maxServerFile is the size of the largest file that is read, in bytes.
const maxServerFile = 1 << 20

// serverHeader starts a new file.
const serverHeader = `# Rendezvous servers with which an authenticated channel has stood: with
# rdv_auth = auto the client never registers at them in clear again. One line per
# server:
#
#	host:port  since  name in its certificate
#
# To undo it, take the line out, or run "campagnol forget --rdv".
`

// serverFile returns the file of the memory.
func serverFile(stateDir string) string { return filepath.Join(stateDir, "servers") }

// openServers returns the memory in a file, which need not exist.
func openServers(path string) (*serverMemory, error) {
	m := &serverMemory{path: path, unsaved: map[string]bool{}}
	if path == "" {
		return m, nil
	}
	if err := m.readLocked(); err != nil {
		return nil, fmt.Errorf("servers file: %w", err)
	}
	return m, nil
}

// known reports whether a channel has stood with a server.
func (m *serverMemory) known(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshLocked()
	return m.unsaved[name] || findServer(m.lines, name) >= 0
}

// remember notes that a channel with a server stands, whose certificate has a name
// for people. Its error says that it is remembered in memory only.
func (m *serverMemory) remember(now time.Time, name, certificate string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	line := fmt.Sprintf("%s %s %q", name, now.UTC().Format(time.RFC3339), certificate)
	m.refreshLocked()
	if findServer(m.lines, name) >= 0 {
		return nil
	}
	err := m.updateLocked(func(lines []string) []string {
		if findServer(lines, name) >= 0 {
			return nil
		}
		return append(lines, line)
	})
	m.unsaved[name] = err != nil || m.path == ""
	return err
}

// forget forgets a server, and reports whether it was known.
func (m *serverMemory) forget(name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.unsaved[name]
	delete(m.unsaved, name)
	err := m.updateLocked(func(lines []string) []string {
		i := findServer(lines, name)
		if i < 0 {
			return nil
		}
		was = true
		return slices.Delete(lines, i, i+1)
	})
	return was, err
}

// updateLocked replaces the lines by what change makes of them, nil for no change,
// in the file and here.
func (m *serverMemory) updateLocked(change func([]string) []string) error {
	if m.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return err
	}
	unlock, err := safefile.Lock(m.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	safefile.Sweep(m.path)
	if err := m.readLocked(); err != nil { // it may be another's by now
		return err
	}
	lines := change(slices.Clone(m.lines))
	if lines == nil {
		return nil
	}
	text := strings.Join(lines, "\n") + "\n"
	if len(m.lines) == 0 {
		text = serverHeader + text
	}
	if err := safefile.Write(m.path, []byte(text), 0o600); err != nil {
		return err
	}
	return m.readLocked()
}

// refreshLocked reads the file again if it has changed. One that cannot be read any
// more leaves us with what we have.
func (m *serverMemory) refreshLocked() {
	if m.path == "" {
		return
	}
	stat, err := os.Stat(m.path)
	if err == nil && m.stat != nil && os.SameFile(stat, m.stat) &&
		stat.Size() == m.stat.Size() && stat.ModTime().Equal(m.stat.ModTime()) {
		return
	}
	_ = m.readLocked()
}

func (m *serverMemory) readLocked() error {
	// The state before the content: if the file changes in between, it is read
	// once more than needed and not once less.
	stat, err := os.Stat(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		m.stat, m.lines = nil, nil
		return nil
	}
	if err != nil {
		return err
	}
	data, err := safefile.Read(m.path, maxServerFile)
	if err != nil {
		return err
	}
	m.stat, m.lines = stat, serverLines(data)
	return nil
}

// serverLines returns the lines of a file.
func serverLines(data []byte) (lines []string) {
	for line := range bytes.Lines(data) {
		lines = append(lines, strings.TrimRight(string(line), "\r\n"))
	}
	return lines
}

// findServer returns the index of the line of a server, or -1. Whatever follows the
// name is for people: a line that was damaged must not open the way back to
// registering in clear.
func findServer(lines []string, name string) int {
	return slices.IndexFunc(lines, func(line string) bool {
		fields := strings.Fields(line)
		return len(fields) > 0 && strings.EqualFold(fields[0], name)
	})
}
