package control

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestStatusJSON: the state is returned as it was sent, however long it is; and what is
// none is refused with the same words as when it is decoded.
func TestStatusJSON(t *testing.T) {
	large := sample()
	for range 10_000 {
		large.Peers = append(large.Peers, Peer{State: "ESTABLISHED", Cipher: "<&>"})
	}
	s, _ := serve(t, Config{Routes: routesOf(func(*http.Request) (any, error) { return large, nil })})
	c := newClient(t, s.Path())
	got, err := c.StatusJSON(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	decoded, want, err := c.Status(t.Context())
	if err != nil || len(decoded.Peers) != len(large.Peers) || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want the %d of %d peers: %v", len(got), len(want), len(large.Peers), err)
	}
	if !bytes.HasSuffix(got, []byte("}\n")) {
		t.Errorf("it ends with %q", got[len(got)-10:])
	}
	for _, answer := range []string{
		reply(200, "campagnol/9.9", "hello"), reply(200, "campagnol/9.9", `{}`), reply(200, "campagnol/9.9", `{"version":"1","a":{"time":"2026-03-01T12:00:00Z"}}`),
		reply(200, "nginx", "<html>"), reply(404, "campagnol/9.9", `{}`), reply(503, "campagnol/9.9", `{"error":"not now","hint":"later"}`),
	} {
		c := newClient(t, speak(t, answer))
		_, _, want := c.Status(t.Context())
		_, got := c.StatusJSON(t.Context())
		if want == nil || fmt.Sprint(got) != want.Error() {
			t.Errorf("%q: %v, want %v", answer, got, want)
		}
	}
}

// TestAnswerCutShort: an answer that ends before it should is none, whether or not its
// length was told.
func TestAnswerCutShort(t *testing.T) {
	body := `{"version":"1","time":"2026-03-01T12:00:00Z","peers":[`
	for _, head := range []string{fmt.Sprintf("Content-Length: %d", len(body)+1), "Transfer-Encoding: chunked"} {
		text := body
		if strings.HasPrefix(head, "Transfer") {
			text = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
		}
		c := newClient(t, speak(t, "HTTP/1.1 200 x\r\nServer: campagnol/9.9\r\n"+head+"\r\n\r\n"+text))
		if got, err := c.StatusJSON(t.Context()); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
			t.Errorf("%s: %q, %v; want an error", head, got, err)
		}
	}
}

// TestCheckHead: a document is known by what stands first in it, in any order, and what
// comes after that is not looked at.
func TestCheckHead(t *testing.T) {
	const version, at = `"version":"1"`, `"time":"2026-03-01T12:00:00Z"`
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"{" + version + "," + at + "}", true},
		{"{" + at + `,"x":[{"version":7}],` + version + "}", true},
		{`{"Version":"1",` + at + "}", true},
		{"{" + version + "," + at + ", and no more JSON", true},
		{"{" + version + "}", false},
		{`{"version":"",` + at + "}", false},
		{`{"version":1,` + at + "}", false},
		{"{" + version + `,"time":"noon"}`, false},
		{"{" + version + `,"time":null}`, false},
		{"[" + version + "," + at + "]", false},
		{`{"x":{` + version + "," + at + "}}", false},
		{"{" + version + ",,", false}, {"", false}, {"7", false}, {"null", false},
	} {
		if err := checkHead([]byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%s: %v, want good: %v", c.text, err, c.ok)
		}
	}
}

// FuzzCheckHead: whatever is taken for a state when it is decoded is taken for one when it
// is not.
func FuzzCheckHead(f *testing.F) {
	f.Add([]byte(`{"version":"1","time":"2026-03-01T12:00:00Z"}`))
	f.Add([]byte(`{"peers":[{}],"VERSION":"","time":null,"version":"1","time":"2026-03-01T12:00:00Z"}`))
	f.Add([]byte(`{"version":"1"}{"time":"2026-03-01T12:00:00Z"}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := checkHead(b)
		if _, perr := parseStatus(b); perr == nil && err != nil {
			t.Errorf("%q is a state: %v", b, err)
		}
	})
}

// TestClientsJSON: the list of a rendezvous server's clients is returned as it was sent.
func TestClientsJSON(t *testing.T) {
	path := speak(t, reply(200, "campagnol_rdv/9.9", `{"version":"1","time":"2026-03-01T12:00:00Z","clients":[{"endpoint":"later kind"}]}`))
	c := NewRDVClient(path)
	t.Cleanup(c.Close)
	got, err := c.RDVClientsJSON(t.Context())
	if err != nil || !bytes.Contains(got, []byte("later kind")) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.StatusJSON(t.Context()); err != nil { // it has a head as well
		t.Error(err)
	}
}
