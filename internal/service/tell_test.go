package service

import (
	"context"
	"sync/atomic"
	"testing"
)

// TestTell: the service manager is told how the program is when that changes, in one
// line, and nothing that came from elsewhere makes another.
func TestTell(t *testing.T) {
	read := manager(t)
	var calls atomic.Int32
	s := Service{Name: "x", Start: func(context.Context, *Starting) (*Running, error) {
		return &Running{
			Status: func(context.Context) string {
				if calls.Add(1) < 3 {
					return "1 tunnel"
				}
				return "2 tunnels\nSTOPPING=1"
			},
			Serve: func(context.Context) error {
				for _, want := range []string{"READY=1", "STATUS=1 tunnel", "STATUS=2 tunnels STOPPING=1"} {
					if got := read(); got != want {
						t.Errorf("it is told %q, want %q", got, want)
					}
				}
				return nil
			},
		}, nil
	}}
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if got := calls.Load(); got < 3 {
		t.Errorf("asked %d times", got)
	}
}

// TestTellNobody: without a service manager nobody is asked.
func TestTellNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	r := &Running{Status: func(context.Context) string {
		t.Error("asked")
		return ""
	}}
	r.tell(t.Context(), nil)()
}
