package lab

import "errors"

// ErrUnsupported is returned by everything that needs the kernel's part of the
// laboratory on systems that have none.
var ErrUnsupported = errors.New("lab: the laboratory needs Linux: network namespaces, nftables and TUN devices")

// A hinted is an error with a sentence about what to do.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// Hint returns the sentence.
func (h *hinted) Hint() string { return h.hint }
