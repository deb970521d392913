package control

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPages: a page answers as it likes, within the bounds of all requests, and beside
// the documents.
func TestPages(t *testing.T) {
	s, _ := serve(t, Config{Program: "campagnol/test", Pages: map[string]http.Handler{
		"GET /metrics": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := w.Header().Get("Server"); got != "campagnol/test" {
				t.Errorf("Server: %q", got)
			}
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "text\n")
		}),
	}})
	const end = " HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct {
		request string
		status  int
		body    string
	}{
		{"GET /metrics" + end + "\r\n", 503, "text\n"},
		{"POST /metrics" + end + "\r\n", 404, `{"error":"there is no request POST /metrics"`},
		{"GET /metrics/more" + end + "\r\n", 404, `{"error":`},
		{"GET /metrics" + end + "Content-Length: 99999999\r\n\r\n", 413, `{"error":"the request is larger than 64 KiB"}`},
		{"GET /v1/status" + end + "\r\n", 200, "{"},
	} {
		if status, body := exchange(t, s.Path(), c.request); status != c.status || !strings.HasPrefix(body, c.body) {
			t.Errorf("%.30q: %d %.100q, want %d %q", c.request, status, body, c.status, c.body)
		}
	}
}
