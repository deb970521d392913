package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// TextReport returns a function for [DemoOptions] that writes a line for each
// step, and for a failed step the logs that belong to it.
func TextReport(w io.Writer) func(Step) {
	return func(s Step) {
		fmt.Fprintf(w, "%8.3fs  %-12s  %s\n", s.Time, s.Name, strings.ReplaceAll(s.Text, "\n", "\n"+strings.Repeat(" ", 25)))
		logs, _ := s.Data.([]LogTail)
		for _, l := range logs {
			fmt.Fprintf(w, "\n    the end of the log of %s:\n", l.Who)
			for line := range strings.Lines(l.Tail) {
				fmt.Fprintf(w, "    | %s", line)
			}
			fmt.Fprintln(w)
		}
	}
}

// JSONReport returns a function for [DemoOptions] that writes one JSON object a
// line for each step.
func JSONReport(w io.Writer) func(Step) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(s Step) {
		if err := enc.Encode(s); err != nil {
			// What cannot be encoded is told as text; nothing in a step is
			// of this kind.
			s.Data = nil
			enc.Encode(s)
		}
	}
}
