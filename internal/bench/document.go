package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"campagnol/internal/cli"
)

// Names of the files of the documentation.
const (
	docFile   = "performance.md"
	chartFile = "performance.svg"
)

// What is between these lines of the document is written by this program.
const (
	docBegin = "<!-- measured: begin (go run ./internal/bench -docs docs) -->"
	docEnd   = "<!-- measured: end -->"
)

// writeDocs puts the tables into the document of a folder, and draws the chart
// beside it.
func (r *report) writeDocs(dir string) error {
	file := filepath.Join(dir, docFile)
	old, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("bench: update the documentation: %w", err)
	}
	var tables, chart bytes.Buffer
	r.writeMarkdown(&tables)
	text, err := replaceMeasured(old, tables.Bytes())
	if err != nil {
		return cli.WithHint(fmt.Errorf("bench: update the documentation: %s: %w", file, err), "it needs these two lines:\n%s\n%s", docBegin, docEnd)
	}
	r.writeSVG(&chart)
	return errors.Join(
		writeFile(file, text),
		writeFile(filepath.Join(dir, chartFile), chart.Bytes()),
	)
}

// replaceMeasured replaces what is between the two lines of a document.
func replaceMeasured(doc, tables []byte) ([]byte, error) {
	before, rest, begins := bytes.Cut(doc, []byte(docBegin))
	_, after, ends := bytes.Cut(rest, []byte(docEnd))
	if !begins || !ends {
		return nil, errors.New("there is no place for what is measured")
	}
	return bytes.Join([][]byte{before, []byte(docBegin + "\n\n"), bytes.TrimSpace(tables), []byte("\n\n" + docEnd), after}, nil), nil
}

// writeFile writes a file that anybody may read.
func writeFile(file string, b []byte) error {
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}
