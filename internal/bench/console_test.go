package main

import (
	"strings"
	"testing"
	"time"
)

// TestConsoleFile checks that what goes to a file is a line for each step.
func TestConsoleFile(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := newConsole(&b, false)
	c.begin(1, pathVeth, toolOurs, 0)
	c.doing(stepTCP1)
	c.line(stepTCP1, "5.00 Gbit/s")
	c.begin(12, pathPacketsGRO, toolNebulaTuned, time.Hour)
	c.line(stepUDP1200, "50.0 kpps")
	c.done()
	const want = " 1  veth         ours          tcp1     5.00 Gbit/s\n" +
		"12  packets-gro  nebula-tuned  udp1200  50.0 kpps\n"
	if got := b.String(); got != want {
		t.Errorf("the file has\n%q, want\n%q", got, want)
	}
}

// TestConsoleTerminal checks that on a terminal, what is being done is replaced by
// what comes next.
func TestConsoleTerminal(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := newConsole(&b, true)
	c.begin(1, pathVeth, toolOurs, 90*time.Second)
	c.doing(stepTCP1)
	c.line(stepTCP1, "5.00 Gbit/s")
	c.done()
	var shown []string // what a person sees, one state after the other
	for part := range strings.SplitSeq(b.String(), "\r\x1b[K") {
		shown = append(shown, part)
	}
	want := []string{
		"",
		" 1  veth         ours          start…, about 2m0s left",
		" 1  veth         ours          tcp1…, about 2m0s left",
		" 1  veth         ours          tcp1     5.00 Gbit/s\n",
		"",
	}
	if got := strings.Join(shown, "|"); got != strings.Join(want, "|") {
		t.Errorf("the terminal shows\n%q, want\n%q", shown, want)
	}
}
