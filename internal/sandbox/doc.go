// Package sandbox takes from a program what it needs no more once its sockets and
// devices are open: the rights of root, and most of the file system.
//
//	root ──▶ open sockets, device, pid file
//	     ──▶ Account.Own     folders that are written to later change hands
//	     ──▶ Account.Become  an ordinary user, with the capabilities that were
//	                         asked for and no others, on all threads; no program
//	                         that it starts can have more (no_new_privs)
//	     ──▶ Confine         Landlock, if the kernel has it: files outside of a few
//	                         folders are out of reach, whoever may read them
//
// There is no way back from any of it. It knows nothing of the rest of the module.
//
// Linux keeps users and capabilities for each thread, and a Go program has many:
// package cap changes all of them, with and without cgo.
package sandbox

import "errors"

// A Capability is a part of the rights of root.
type Capability int

// Capabilities that our programs keep.
const (
	NetAdmin       Capability = iota // addresses, routes and devices of the network
	NetBindService                   // ports below 1024
)

// String names a capability as capabilities(7) does.
func (c Capability) String() string {
	switch c {
	case NetAdmin:
		return "CAP_NET_ADMIN"
	case NetBindService:
		return "CAP_NET_BIND_SERVICE"
	}
	return "an unknown capability"
}

// ErrUnsupported is for systems on which a program cannot keep a part of the rights
// of root.
var ErrUnsupported = errors.New("this system cannot let a program go on as another user with a part of the rights of root")

// Paths are what a confined program can reach. Files are named by the folder that
// they are in: one that is replaced by a new version is another file.
type Paths struct {
	Read    []string // folders and files
	Write   []string // folders in which files may be made, replaced and removed
	Devices []string // which may be opened for everything
}

// An Error is one for people.
type Error struct {
	Text, Advice string
	Err          error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what to do about it.
func (e *Error) Hint() string { return e.Advice }
