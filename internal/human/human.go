// Package human writes values as people read them, on a terminal or a page.
package human

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Age returns a duration with its two largest units: 12s, 3m12s, 5h3m, 2d5h.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// SizeUnits are those of 1024 bytes, of 1024 times as much, and so on; they are enough for
// 64 bits. Nobody changes them.
var SizeUnits = [...]string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Size returns a number of bytes, in units of 1024.
func Size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1024, 0
	for ; f >= 1023.95 && unit < len(SizeUnits)-1; unit++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f %s", f, SizeUnits[unit])
}

// Printable returns s with what a terminal would obey, or a table take for an end of
// line, replaced.
func Printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}

// OrDash is Printable, and a dash for nothing.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return Printable(s)
}
