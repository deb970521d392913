package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/human"

	"github.com/spf13/cobra"
)

const bugReportHelp = `Write what helps to find out why the client on this host does not work as it should:
version and system, configuration, status, why each peer is reached as it is, what
has happened, and the end of the log. FILE is a tar archive, or text if its name ends
in .txt or is - for the standard output. A list of contents comes first.

Private keys are not in it. Comments, commands and what nobody knows of the
configuration, and what looks like a password anywhere, are left out; with --anonymous
addresses and names are replaced, too. Read it all the same before you give it away.

The client is asked by its control socket, as by "campagnol status".`

// newBugReportCommand returns the command "campagnol bugreport".
func newBugReportCommand() *cobra.Command { return bugReportCommand(control.DefaultDir()) }

// bugReportCommand returns the command, given where the sockets are.
func bugReportCommand(dir string) *cobra.Command {
	a := &question{name: "bugreport", dir: dir}
	var file string
	var anonymous bool
	cmd := &cobra.Command{
		Use:           "bugreport",
		Short:         "Collect what helps to find out what is wrong",
		Long:          bugReportHelp,
		Example:       "  campagnol bugreport\n  campagnol bugreport --anonymous -o report.txt",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *control.Client) error {
				r, err := c.BugReport(cmd.Context(), anonymous)
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				if a.json {
					e := json.NewEncoder(out)
					e.SetIndent("", "  ")
					return e.Encode(r)
				}
				return saveBugReport(out, r, file)
			})
		},
	}
	a.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&file, "output", "o", "", "write to `FILE` (default campagnol-bugreport-TIME.tar.gz)")
	f.BoolVar(&anonymous, "anonymous", false, "replace addresses and names")
	return cmd
}

// saveBugReport writes a report where the user wants it, and says so.
func saveBugReport(out io.Writer, r *control.BugReport, file string) error {
	if file == "-" {
		_, err := io.WriteString(out, bugReportText(r))
		return err
	}
	if file == "" {
		file = "campagnol-bugreport-" + r.Time.UTC().Format("20060102-150405") + ".tar.gz"
	}
	content := []byte(bugReportText(r))
	if !strings.HasSuffix(file, ".txt") {
		var err error
		if content, err = bugReportArchive(r); err != nil {
			return err
		}
	}
	if err := writeNew(file, content); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return cli.WithHint(fmt.Errorf("%s exists already", file), "name another file with -o, or remove it")
		}
		return cli.WithHint(err, "name a file that you may write with -o; - is the standard output")
	}
	_, err := fmt.Fprintf(out, "%s was written: read it before you give it to anybody.\n", file)
	return err
}

// writeNew writes a file that must not exist, for its owner alone. What cannot be
// written whole is removed.
func writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}

// bugReportText returns a report as one text.
func bugReportText(r *control.BugReport) string {
	var b strings.Builder
	for _, f := range r.Files {
		fmt.Fprintf(&b, "==== %s\n%s\n", human.Printable(f.Name), strings.TrimRight(printableLines(f.Text), "\n"))
	}
	return b.String()
}

// printableLines is printable for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = human.Printable(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// bugReportArchive returns a report as a compressed tar archive. All is in one folder.
func bugReportArchive(r *control.BugReport) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	folder := "campagnol-bugreport-" + r.Time.UTC().Format("20060102-150405")
	for _, f := range r.Files {
		name := path.Join(folder, path.Base("/"+f.Name)) // whatever it is, it stays in there
		h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(f.Text)), ModTime: r.Time.Truncate(time.Second), Format: tar.FormatPAX}
		if err := archive.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(archive, f.Text); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
