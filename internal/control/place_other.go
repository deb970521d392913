//go:build !unix || solaris || aix

package control

import "io/fs"

// lock is not possible here: of two processes that start at the same moment with
// the same socket, one may be left without.
func lock(string) (unlock func(), err error) { return func() {}, nil }

// keepPrivate is not possible here.
func keepPrivate(int) {}

// groupOf is not possible here.
func groupOf(fs.FileInfo) (int, bool) { return 0, false }
