package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"campagnol/internal/control"

	"github.com/spf13/cobra"
)

// answering serves documents about bob at a socket, one after the other, the last one
// again and again. It returns how often a tunnel was asked for.
func answering(t *testing.T, dir string, documents ...any) *atomic.Int32 {
	t.Helper()
	var next, reached atomic.Int32
	answer := func(r *http.Request) (any, error) {
		if who := r.URL.Query().Get("peer"); who != "bob & co" {
			return nil, fmt.Errorf("somebody asks for %q", who)
		}
		d := documents[min(int(next.Add(1)), len(documents))-1]
		if err, is := d.(error); is {
			return nil, err
		}
		return d, nil
	}
	serveControl(t, filepath.Join(dir, "tun0.sock"), map[string]control.Handler{
		"GET " + control.PeersPath:   func(*http.Request) (any, error) { return samplePeers(0), nil },
		"GET " + control.ExplainPath: answer,
		"POST " + control.ReachPath:  func(r *http.Request) (any, error) { reached.Add(1); return answer(r) },
	})
	return &reached
}

// inState returns a document.
func inState(state string, reached bool) *control.Explanation {
	e := sampleExplanation()
	e.State, e.Reached = state, reached
	return e
}

func TestExplainCommand(t *testing.T) {
	busy := &control.Error{Status: http.StatusServiceUnavailable, Text: "just being started"}
	no := &control.Error{Status: http.StatusUnprocessableEntity, Text: "no peer is known by the name", Advice: "name its address"}
	for _, c := range []struct {
		name      string
		documents []any
		args      []string
		status    int
		reached   int32
		stderr    string
	}{
		{"a path", []any{inState("ESTABLISHED", true)}, nil, 0, 0, ""},
		{"none", []any{inState("CLOSED", false)}, nil, 2, 0, ""},
		{"a path, with --try", []any{inState("ESTABLISHED", true)}, []string{"--try"}, 0, 0, ""},
		{"a try", []any{inState("CLOSED", false), inState("NEW", false), inState("NEW", false), busy, inState("PUNCHING", false), inState("LINKED", false), inState("ESTABLISHED", true)},
			[]string{"--try"}, 0, 1, "asking the rendezvous server for the peer|looking for a path to the peer|there is a path; the two hosts show their certificates|the tunnel is open"},
		{"a try in vain", []any{inState("CLOSED", false), inState("NEW", false), inState("CLOSED", false)},
			[]string{"--try"}, 2, 1, "asking the rendezvous server for the peer|no tunnel is being opened"},
		{"an error", []any{no}, nil, 1, 0, "explain: explain: no peer is known by the name|hint: name its address"},
		{"an error in a try", []any{inState("CLOSED", false), inState("NEW", false), no}, []string{"--try"}, 1, 1,
			"asking the rendezvous server for the peer|explain: explain: no peer is known by the name|hint: name its address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := socketDir(t)
			reached := answering(t, dir, c.documents...)
			out, errOut, status := runTable(t, explainCommand(dir), append([]string{"bob & co"}, c.args...)...)
			var lines []string
			for line := range strings.Lines(errOut) {
				if _, text, isProgress := strings.Cut(line, " s  "); isProgress {
					line = text
				}
				lines = append(lines, strings.TrimSpace(line))
			}
			if got := strings.Join(lines, "|"); status != c.status || got != c.stderr || reached.Load() != c.reached {
				t.Errorf("status %d, %d times asked for a tunnel, and said %q; want %d, %d, %q", status, reached.Load(), got, c.status, c.reached, c.stderr)
			}
			if want := map[bool]string{true: sampleExplanationText}[c.status != 1]; out != want {
				t.Errorf("output\n%s\nwant\n%s", out, want)
			}
		})
	}
}

// TestExplainJSON: --json shows the document as it was sent, with the same exit status.
func TestExplainJSON(t *testing.T) {
	dir := socketDir(t)
	answering(t, dir, inState("CLOSED", false))
	out, _, status := runTable(t, explainCommand(dir), "bob & co", "--json")
	got := new(control.Explanation)
	if err := json.Unmarshal([]byte(out), got); err != nil || status != 2 || !strings.HasPrefix(out, "{\n  \"version\": \"1.0.0\",\n") {
		t.Fatalf("status %d, %v in\n%s", status, err, out)
	}
	if text := explainText(got, 0); text != sampleExplanationText {
		t.Errorf("the document is another one:\n%s", text)
	}
}

// TestExplainArguments: one peer, and no more.
func TestExplainArguments(t *testing.T) {
	dir := socketDir(t)
	for _, args := range [][]string{{}, {"a", "b"}} {
		out, errOut, status := runTable(t, explainCommand(dir), args...)
		if out != "" || status != 1 || !strings.Contains(errOut, fmt.Sprintf("explain: expected a peer, not %d arguments\nhint: name it by", len(args))) {
			t.Errorf("%q: status %d, %s%s", args, status, out, errOut)
		}
	}
	if _, errOut, status := runTable(t, explainCommand(dir), "bob"); status != 1 || !strings.Contains(errOut, "explain: no client runs on this host") {
		t.Errorf("without a client: status %d, %s", status, errOut)
	}
}

// TestExplainCompletion: a shell is told the peers that the client knows.
func TestExplainCompletion(t *testing.T) {
	dir := socketDir(t)
	if words, _ := completePeers(t.Context(), "", dir, nil); words != nil {
		t.Errorf("without a client: %q", words)
	}
	answering(t, dir, inState("CLOSED", false))
	words, directive := completePeers(t.Context(), "", dir, nil)
	for _, want := range []string{"10.9.0.2\tcarol", "carol\t10.9.0.2", "Bob\t10.9.0.3", "10.9.0.4\tnot reached"} {
		if !slices.Contains(words, want) {
			t.Errorf("%q, want %q among them", words, want)
		}
	}
	if directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("files are offered, too: %v", directive)
	}
	if words, _ = completePeers(t.Context(), "", dir, []string{"10.9.0.2"}); words != nil {
		t.Errorf("after a peer: %q", words)
	}
}

// TestExplainClient: an answer that is no explanation is refused, as are others.
func TestExplainClient(t *testing.T) {
	dir := socketDir(t)
	answering(t, dir, map[string]string{"version": "1.0.0"})
	_, errOut, status := runTable(t, explainCommand(dir), "bob & co")
	if status != 1 || !strings.Contains(errOut, "version, time or summary is missing") {
		t.Errorf("status %d, %s", status, errOut)
	}
}
