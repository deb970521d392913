package main

import (
	"fmt"
	"strings"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

// statusOCSP says what the responders of certificates have said, if they are asked.
func statusOCSP(b *strings.Builder, s *control.Status, width int) {
	o := &s.OCSP
	if o.Mode == "" {
		return
	}
	wrap(b, fmt.Sprintf("responders of certificates (OCSP, %s): %d good, %d revoked, %d unknown, %d without answer",
		human.Printable(o.Mode), o.Good, o.Revoked, o.Unknown, o.Failed), "", "  ", width)
	for _, f := range o.Failures {
		wrap(b, fmt.Sprintf("%s, %s ago: %s", human.Printable(f.Certificate), human.Age(s.Time.Sub(f.Time)), human.Printable(f.Reason)), "  ", "    ", width)
	}
}
