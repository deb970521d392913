//go:build !unix

package audit

import (
	"errors"
	"io/fs"
	"os"
)

// A fileSink appends records to a file.
type fileSink struct {
	path string
	file *os.File
	info fs.FileInfo // of file, when it was opened
}

// openFile opens the file at path, or makes it. There are no groups here.
func openFile(path, group string) (*fileSink, error) {
	if group != "" {
		return nil, &Error{Text: "there are no groups of files on this system", Advice: "leave the group out"}
	}
	s := &fileSink{path: path}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *fileSink) open() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return &Error{Text: "the file cannot be opened", Err: err}
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return &Error{Text: "the file cannot be opened", Err: err}
	}
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.info = f, info
	return nil
}

// write appends a record.
func (s *fileSink) write(_ *Record, text []byte) error {
	if _, err := s.file.Write(text); err != nil {
		return &Error{Text: "a record is lost", Err: err}
	}
	return nil
}

// renew opens the file anew if another one, or none, has its name.
func (s *fileSink) renew() error {
	info, err := os.Stat(s.path)
	switch {
	case err == nil && os.SameFile(info, s.info):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &Error{Text: "the file cannot be opened", Err: err}
	}
	return s.open()
}

func (s *fileSink) close() error { return s.file.Close() }
