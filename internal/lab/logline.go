package lab

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A LogLine is one line of a program's log. The programs of the project write
// JSON objects of log/slog; other lines, such as the traces of a panic, have
// only Message.
type LogLine struct {
	Time    time.Time // zero if the line has none
	Level   string
	Message string
	Attrs   map[string]any // the rest of the object; nil for other lines
}

// ParseLogLine reads a line, without its end. It accepts everything.
func ParseLogLine(line []byte) LogLine {
	var attrs map[string]any
	if err := json.Unmarshal(line, &attrs); err != nil || attrs == nil {
		return LogLine{Message: string(line)}
	}
	take := func(key string) string {
		s, ok := attrs[key].(string)
		if ok {
			delete(attrs, key)
		}
		return s
	}
	l := LogLine{Level: take("level"), Message: take("msg"), Attrs: attrs}
	if s, ok := attrs["time"].(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			l.Time = t
			delete(attrs, "time")
		}
	}
	return l
}

// Attr returns an attribute as text, and "" if there is none. An attribute of a
// group is named with dots.
func (l LogLine) Attr(key string) string {
	attrs := l.Attrs
	for {
		if v, ok := attrs[key]; ok {
			return fmt.Sprint(v)
		}
		group, rest, found := strings.Cut(key, ".")
		inner, ok := attrs[group].(map[string]any)
		if !found || !ok {
			return ""
		}
		attrs, key = inner, rest
	}
}

// A Pattern selects lines of a log: those whose message begins with Message
// and, if Peer is not empty, whose attribute "peer" is that. (Messages may go
// on with the names of attributes in braces.)
type Pattern struct {
	Message string
	Peer    string
}

// String describes the pattern for people.
func (p Pattern) String() string {
	if p.Peer == "" {
		return fmt.Sprintf("%q", p.Message)
	}
	return fmt.Sprintf("%q with peer %s", p.Message, p.Peer)
}

// Matches reports whether l is such a line.
func (p Pattern) Matches(l LogLine) bool {
	return strings.HasPrefix(l.Message, p.Message) && (p.Peer == "" || l.Attr("peer") == p.Peer)
}
