package control

// An Error says that a request was not granted, or that there is nobody to ask.
// It is also the document that a server answers a refused request with.
type Error struct {
	Status int    `json:"-"` // of HTTP; 0 where nothing was answered
	Text   string `json:"error"`
	Advice string `json:"hint,omitempty"`
	Err    error  `json:"-"` // the cause; may be nil
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what to do about it; it may be empty.
func (e *Error) Hint() string { return e.Advice }
