package control

import (
	"context"
	"time"
)

// BugReportPath is where a client tells what helps to find out why it does not work: a
// [BugReport].
const BugReportPath = "/v1/bugreport"

// A BugReport is the document with all of that, as texts that have no secrets.
// docs/control.md explains its fields.
type BugReport struct {
	Version   string          `json:"version"`
	Time      time.Time       `json:"time"`
	Anonymous bool            `json:"anonymous"`
	Files     []BugReportFile `json:"files"`
}

// A BugReportFile is one text.
type BugReportFile struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Text  string `json:"text"`
}

// BugReport asks for a report; an anonymous one has no addresses and names.
func (c *Client) BugReport(ctx context.Context, anonymous bool) (*BugReport, error) {
	path := BugReportPath
	if anonymous {
		path += "?anonymous=yes"
	}
	r := new(BugReport)
	_, err := c.documentWithin(ctx, path, renewTime, r, func() bool { return r.Version != "" && !r.Time.IsZero() && len(r.Files) > 0 })
	if err != nil {
		return nil, err
	}
	return r, nil
}
