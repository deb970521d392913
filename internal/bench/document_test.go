package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceMeasured(t *testing.T) {
	t.Parallel()
	const head, tail = "# Title\n\ntext\n\n", "\n\nmore text\n"
	for _, c := range []struct{ name, between string }{
		{"nothing yet", "\n"},
		{"lines that touch", ""},
		{"old tables", "\n\n| old |\n| --- |\n\n"},
	} {
		got, err := replaceMeasured([]byte(head+docBegin+c.between+docEnd+tail), []byte("\n| new |\n\n"))
		want := head + docBegin + "\n\n| new |\n\n" + docEnd + tail
		if err != nil || string(got) != want {
			t.Errorf("%s: the document is\n%s (%v), want\n%s", c.name, got, err, want)
		}
		again, err := replaceMeasured(got, []byte("| new |"))
		if err != nil || string(again) != want {
			t.Errorf("%s: done again, the document is\n%s (%v)", c.name, again, err)
		}
	}
	for _, bad := range []string{"", head, head + docBegin + tail, head + docEnd + tail, docEnd + docBegin} {
		if got, err := replaceMeasured([]byte(bad), nil); err == nil {
			t.Errorf("the document %q becomes %q, want an error", bad, got)
		}
	}
}

func TestWriteDocs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, docFile)
	if err := os.WriteFile(file, []byte("# Performance\n"+docBegin+"\n"+docEnd+"\nend\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := fullReport().writeDocs(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Performance\n", "\n### Veth as it is\n", "\n### Gates of Campagnol\n", "\nend\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document has no %q:\n%s", want, text)
		}
	}
	chart, err := os.ReadFile(filepath.Join(dir, chartFile))
	if err != nil {
		t.Fatal(err)
	}
	wantXML(t, chart)
}

func TestWriteDocsFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := fullReport().writeDocs(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a document: error %v, want %v", err, fs.ErrNotExist)
	}
	file := filepath.Join(dir, docFile)
	if err := os.WriteFile(file, []byte("# Performance\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := fullReport().writeDocs(dir)
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), docBegin) || !strings.Contains(err.Error(), file) {
		t.Errorf("a document without a place: error %v, want one with the file and a hint of what is needed", err)
	}
	if _, err := os.Stat(filepath.Join(dir, chartFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a chart of a document that was not changed (%v)", err)
	}
}

// TestOwnDocument checks that the project's document has a place for the tables,
// shows the chart, and names no option that does not exist.
func TestOwnDocument(t *testing.T) {
	t.Parallel()
	const dir = "../../docs"
	text, err := os.ReadFile(filepath.Join(dir, docFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replaceMeasured(text, nil); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(text), "("+chartFile+")") {
		t.Error("the document does not show the chart")
	}
	for line := range strings.Lines(string(text)) {
		_, args, found := strings.Cut(strings.TrimSpace(line), "go run ./internal/bench")
		if !found || strings.ContainsAny(args, "`)") {
			continue // inside of a sentence
		}
		args, _, _ = strings.Cut(args, "#")
		if _, err := parseOptions(strings.Fields(args), t.Output()); err != nil {
			t.Errorf("the document's command %q: %v", strings.TrimSpace(line), err)
		}
	}
	chart, err := os.ReadFile(filepath.Join(dir, chartFile))
	if err != nil {
		t.Fatal(err)
	}
	wantXML(t, chart)
}
