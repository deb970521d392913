package control

import (
	"errors"
	"net/http"

	"campagnol/internal/audit"
)

// A Command is a request that changes something.
type Command struct {
	Request string // its method, path and query
	Err     error  // why it was not granted; nil: it was

	UID, PID int // of who has asked; UID -1: not known, PID 0: likewise
}

// callerKey is the key of the credential of who has connected.
type callerKey struct{}

// tellCommand tells of a request that was answered, if it was one to change something.
func (s *Server) tellCommand(r *http.Request, err error) {
	if s.cfg.Commanded == nil || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return
	}
	if _, stranger := r.Context().Value(refusalKey{}).(error); stranger {
		return // it was told when he came
	}
	c := Command{Request: r.Method + " " + r.URL.RequestURI(), Err: err, UID: -1}
	if who, ok := r.Context().Value(callerKey{}).(credential); ok {
		c.UID, c.PID = who.uid, who.pid
	}
	s.cfg.Commanded(c)
}

// Audit returns what the audit trail says of c.
func (c *Command) Audit() audit.Record {
	r := audit.Record{Event: audit.ControlCommand, Command: c.Request}
	if c.UID >= 0 {
		r.Caller = &audit.Caller{UID: c.UID, PID: c.PID}
	}
	var e *Error
	switch {
	case errors.As(c.Err, &e) && e.Status < http.StatusInternalServerError:
		r.Outcome, r.Reason = audit.Refused, e.Text
	case c.Err != nil:
		r.Outcome, r.Reason = audit.Failed, c.Err.Error()
	}
	return r
}

// refusedCaller returns what the audit trail says of somebody who may not ask.
func refusedCaller(who credential, err error) audit.Record {
	return audit.Record{Event: audit.ControlRefused, Outcome: audit.Refused, Reason: err.Error(), Caller: &audit.Caller{UID: who.uid, PID: who.pid}}
}
