package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// An auditLine is a record as programs of others read it.
type auditLine struct {
	Time, Program, Event, Outcome, Name, Serial, Key, From, Code, Reason, Authority, Number, Direction, Command, Since string

	Invitation, Expires string

	VPNAddress   netip.Addr `json:"vpn_address"`
	VPNAddresses []string   `json:"vpn_addresses"`

	UID   *int `json:"uid"`
	PID   int  `json:"pid"`
	Count int
}

// auditLines returns the records in files of a trail, in order. A file need not be there.
func auditLines(t *testing.T, files ...string) (list []auditLine) {
	t.Helper()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(b)) {
			var l auditLine
			if !strings.HasSuffix(text, "\n") {
				break // it is being written
			}
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatalf("%s: %q: %v", f, text, err)
			}
			if _, err := time.Parse("2006-01-02T15:04:05.000000Z", l.Time); err != nil || l.Program == "" || l.Outcome == "" {
				t.Errorf("%s: %q: %v", f, text, err)
			}
			list = append(list, l)
		}
	}
	return list
}
