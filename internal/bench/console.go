package main

import (
	"fmt"
	"io"
	"time"
)

// A console tells people how it goes: a line for every step that is done, and on
// a terminal also what is being done. Owned by one goroutine.
type console struct {
	w        io.Writer
	terminal bool
	where    string // round, path and tool
	left     string // time
}

func newConsole(w io.Writer, terminal bool) *console { return &console{w: w, terminal: terminal} }

// begin says what the following is about, and how long the whole rest takes, if
// that is known.
func (c *console) begin(round int, path, tool string, left time.Duration) {
	c.where = fmt.Sprintf("%2d  %-11s  %-12s", round, path, tool)
	c.left = ""
	if left > 0 {
		c.left = fmt.Sprintf(", about %v left", left.Round(time.Minute))
	}
	c.doing("start")
}

// doing says what is being done. The next line replaces it.
func (c *console) doing(what string) {
	if c.terminal {
		fmt.Fprintf(c.w, "\r\x1b[K%s  %s…%s", c.where, what, c.left)
	}
}

// line says what has been done.
func (c *console) line(step, text string) {
	c.done()
	fmt.Fprintf(c.w, "%s  %-7s  %s\n", c.where, step, text)
}

// done takes away what the last call of doing wrote.
func (c *console) done() {
	if c.terminal {
		fmt.Fprint(c.w, "\r\x1b[K")
	}
}
