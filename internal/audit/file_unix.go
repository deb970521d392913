//go:build unix

package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"campagnol/internal/group"
)

// A fileSink appends records to a file.
type fileSink struct {
	path string
	gid  int // of files that are made; -1: as it comes
	file *os.File
	info fs.FileInfo // of file, when it was opened
}

// fileMode is the mode of a file that is made.
const fileMode = 0o640

// openFile opens the file at path, or makes it, and its folder. What is made belongs to
// the group owner.
func openFile(path, owner string) (*fileSink, error) {
	s := &fileSink{path: path, gid: -1}
	var err error
	if s.gid, err = groupNumber(owner); err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	if err := os.Mkdir(folder, FolderMode); err == nil {
		if err := s.share(folder); err != nil {
			return nil, &Error{Text: folder, Err: err}
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, &Error{Text: "its folder cannot be made", Err: err, Advice: "make it, for the user that the program runs as to write to: install -d -m 750 " + folder}
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// groupNumber returns the number of a group; -1 for none.
func groupNumber(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	gid, ok := group.Number(name)
	if !ok {
		return -1, &Error{Text: fmt.Sprintf("there is no group %q on this host", name), Advice: "give it the name of a group that exists, or none"}
	}
	return gid, nil
}

// share gives a file or folder that was made to the group.
func (s *fileSink) share(path string) error {
	if s.gid < 0 {
		return nil
	}
	return os.Chown(path, -1, s.gid)
}

// Flags with which the file is opened: nobody's link is followed, and a pipe does not
// hold us up.
const (
	openFlags = syscall.O_WRONLY | syscall.O_APPEND | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
	makeFlags = openFlags | syscall.O_CREAT | syscall.O_EXCL
)

// open opens the file that has the name by now, or makes it.
func (s *fileSink) open() error {
	f, err := os.OpenFile(s.path, openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.OpenFile(s.path, makeFlags, fileMode); err == nil {
			// The umask is for files whose mode nobody has thought about.
			if err = f.Chmod(fileMode); err == nil && s.gid >= 0 {
				err = f.Chown(-1, s.gid)
			}
			if err != nil {
				f.Close()
			}
		}
	}
	if err != nil {
		return s.explain(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = s.suits(info)
	}
	if err != nil {
		f.Close()
		return err
	}
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.info = f, info
	return nil
}

// explain says what to do about an error of opening the file.
func (s *fileSink) explain(err error) error {
	e := &Error{Text: "the file cannot be opened", Err: err}
	switch {
	case errors.Is(err, syscall.ELOOP):
		e.Advice = "it is a symbolic link, which is not followed; name the file itself"
	case errors.Is(err, syscall.ENXIO):
		e.Advice = "it is a pipe that nobody reads; name a file"
	case errors.Is(err, fs.ErrPermission):
		e.Advice = "the user that the program runs as has to be able to write to its folder, " + filepath.Dir(s.path)
	}
	return e
}

// suits returns why a file is none to write to: whoever has prepared it could read, or
// change, what is in it.
func (s *fileSink) suits(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return &Error{Text: s.path + " is not a file", Advice: "name a file, or one that is not there yet"}
	case ok && st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return &Error{Text: fmt.Sprintf("%s belongs to another user (%d)", s.path, st.Uid), Advice: "move it away, or give it to the user that the program runs as"}
	case ok && st.Nlink > 1:
		return &Error{Text: s.path + " has another name, too (a hard link)", Advice: "move it away; it is made anew"}
	case info.Mode().Perm()&0o002 != 0:
		return &Error{Text: "everybody may write to " + s.path, Advice: "chmod o-w " + s.path}
	}
	return nil
}

// write appends a record. If the file has no name any more, nobody will read it there.
func (s *fileSink) write(_ *Record, text []byte) error {
	if err := s.append(text); err != nil {
		return err
	}
	if !s.gone() {
		return nil
	}
	if err := s.open(); err != nil {
		return err
	}
	return s.append(text)
}

func (s *fileSink) append(text []byte) error {
	n, err := s.file.Write(text)
	if err == nil {
		return nil
	}
	if n > 0 { // half a line: the next record begins another one
		_, _ = s.file.Write([]byte{'\n'})
	}
	return &Error{Text: "a record is lost", Err: err}
}

// gone reports whether the file that is written to has no name any more.
func (s *fileSink) gone() bool {
	info, err := s.file.Stat()
	st, ok := info.Sys().(*syscall.Stat_t)
	return err == nil && ok && st.Nlink == 0
}

// renew opens the file anew if another one, or none, has its name. After an error
// records go to the old one, wherever it is.
func (s *fileSink) renew() error {
	info, err := os.Lstat(s.path)
	if err == nil && os.SameFile(info, s.info) {
		return nil
	}
	return s.open()
}

func (s *fileSink) close() error { return s.file.Close() }
