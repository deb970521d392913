package control

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRenew: the client is asked by POST, and its answer is read.
func TestRenew(t *testing.T) {
	end := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	s, _ := serve(t, Config{Routes: map[string]Handler{
		"POST " + RenewPath: func(*http.Request) (any, error) { return &Renewal{"CN=alice", "2A", end}, nil },
	}})
	r, err := newClient(t, s.Path()).Renew(t.Context())
	if err != nil || r.Name != "CN=alice" || r.Serial != "2A" || !r.Expires.Equal(end) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, _, err := newClient(t, s.Path()).ask(t.Context(), http.MethodGet, RenewPath, askTime); err == nil {
		t.Error("GET renews a certificate")
	}
}

// TestRenewAnswers: what is no answer is an error that says what to do.
func TestRenewAnswers(t *testing.T) {
	for _, c := range []struct{ name, answer, text string }{
		{"no JSON", reply(200, "campagnol/9.9", "hello"), "cannot read: invalid character"},
		{"another document", reply(200, "campagnol/9.9", `{"version":"9.9"}`), "cannot read: name or time is missing"},
		{"an older client", reply(404, "campagnol/0.9", `{"error":"there is no request POST /v1/renew"}`), "is of version 0.9"},
		{"a refusal", reply(502, "campagnol/9.9", `{"error":"nobody answers","hint":"wait"}`), "nobody answers"},
		{"another server", reply(200, "nginx", `{}`), "is not a campagnol client"},
	} {
		if _, err := newClient(t, speak(t, c.answer)).Renew(t.Context()); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
	}
}
