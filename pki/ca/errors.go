package ca

import "fmt"

// An Error is an error with a hint about what to do.
type Error struct {
	err  error
	hint string
}

// Error says what is wrong.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error without the hint.
func (e *Error) Unwrap() error { return e.err }

// Hint says what can be done about it.
func (e *Error) Hint() string { return e.hint }

// withHint adds a hint to err.
func withHint(err error, format string, args ...any) error {
	return &Error{err, fmt.Sprintf(format, args...)}
}
