package control

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"campagnol/internal/audit"
)

// TestCommanded: requests for a change are told with who has asked, once they are answered,
// whether they were granted or not; questions are not.
func TestCommanded(t *testing.T) {
	var mu sync.Mutex
	var told []Command
	s, stop := serve(t, Config{
		Routes: map[string]Handler{
			"GET " + StatusPath:  func(*http.Request) (any, error) { return "fine", nil },
			"POST " + ReloadPath: func(*http.Request) (any, error) { return "done", nil },
			"POST " + DisconnectPath: func(*http.Request) (any, error) {
				return nil, &Error{Status: http.StatusNotFound, Text: "no such peer"}
			},
			"POST " + LogLevelPath: func(*http.Request) (any, error) { return nil, errors.New("broken") },
		},
		Commanded: func(c Command) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, c)
		},
	})
	c := newClient(t, s.Path())
	for _, ask := range []struct{ method, path string }{
		{http.MethodGet, StatusPath}, {http.MethodPost, ReloadPath}, {http.MethodPost, DisconnectPath + "?peer=b"}, {http.MethodPost, LogLevelPath}, {http.MethodPost, "/v1/nothing"},
	} {
		c.ask(t.Context(), ask.method, ask.path, askTime) // most of it is refused
	}
	stop()
	want := []struct {
		request string
		outcome audit.Outcome
		reason  string
	}{
		{"POST " + ReloadPath, "", ""}, {"POST " + DisconnectPath + "?peer=b", audit.Refused, "no such peer"},
		{"POST " + LogLevelPath, audit.Failed, "broken"}, {"POST /v1/nothing", audit.Refused, "there is no request"},
	}
	if len(told) != len(want) {
		t.Fatalf("told %+v, want %+v", told, want)
	}
	for i, w := range want {
		r := told[i].Audit()
		if r.Event != audit.ControlCommand || r.Command != w.request || r.Outcome != w.outcome || !strings.HasPrefix(r.Reason, w.reason) {
			t.Errorf("number %d is %+v, want %+v", i, r, w)
		}
		if r.Caller != nil && (r.Caller.UID != os.Getuid() || r.Caller.PID != os.Getpid()) {
			t.Errorf("number %d is by %+v, want %d and %d", i, r.Caller, os.Getuid(), os.Getpid())
		}
	}
}

// TestCommandWithoutCaller: where the system does not tell who has asked, nothing is said.
func TestCommandWithoutCaller(t *testing.T) {
	if r := (&Command{Request: "POST /x", UID: -1}).Audit(); r.Caller != nil {
		t.Errorf("the caller is %+v", r.Caller)
	}
}
