package lab

import (
	"testing"
	"time"
)

func TestParseLogLine(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, c := range []struct {
		name    string
		line    string
		time    time.Time
		level   string
		message string
		attrs   map[string]string
	}{
		{
			name:  "slog",
			line:  `{"time":"2026-03-01T12:00:00.123456789Z","level":"INFO","msg":"Path open to peer","peer":"10.9.0.2","addr":"203.0.113.12:4000"}`,
			time:  at,
			level: "INFO", message: "Path open to peer",
			attrs: map[string]string{"peer": "10.9.0.2", "addr": "203.0.113.12:4000", "absent": ""},
		},
		{
			name:  "another time zone",
			line:  `{"time":"2026-03-01T13:00:00.123456789+01:00","msg":"x"}`,
			time:  at,
			attrs: map[string]string{}, message: "x",
		},
		{
			name:    "numbers and groups",
			line:    `{"msg":"m","n":3,"took":1500000,"g":{"a":"b","h":{"c":true}},"g.x":"dotted"}`,
			message: "m",
			attrs:   map[string]string{"n": "3", "g.a": "b", "g.h.c": "true", "g.x": "dotted", "g.h.z": "", "n.a": "", "": ""},
		},
		{name: "a panic", line: "goroutine 1 [running]:", message: "goroutine 1 [running]:"},
		{name: "empty", line: "", message: ""},
		{name: "null", line: "null", message: "null"},
		{name: "another JSON value", line: `["msg"]`, message: `["msg"]`},
		{
			name: "fields of other types", line: `{"time":7,"level":[],"msg":{}}`,
			attrs: map[string]string{"time": "7"},
		},
		{
			name: "no time at all", line: `{"time":"noon","msg":"m"}`, message: "m",
			attrs: map[string]string{"time": "noon"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ParseLogLine([]byte(c.line))
			if !got.Time.Equal(c.time) {
				t.Errorf("time %v, want %v", got.Time, c.time)
			}
			if got.Level != c.level || got.Message != c.message {
				t.Errorf("level %q, message %q, want %q, %q", got.Level, got.Message, c.level, c.message)
			}
			for key, want := range c.attrs {
				if v := got.Attr(key); v != want {
					t.Errorf("attribute %q = %q, want %q", key, v, want)
				}
			}
		})
	}
}

func TestPattern(t *testing.T) {
	line := ParseLogLine([]byte(`{"msg":"Session timeout:","peer":"10.9.0.2"}`))
	for _, c := range []struct {
		p    Pattern
		want bool
		name string
	}{
		{Pattern{Message: "Session timeout:"}, true, `"Session timeout:"`},
		{Pattern{"Session timeout:", "10.9.0.2"}, true, `"Session timeout:" with peer 10.9.0.2`},
		{Pattern{"Session timeout:", "10.9.0.20"}, false, `"Session timeout:" with peer 10.9.0.20`},
		{Pattern{"Session", "10.9.0.2"}, true, `"Session" with peer 10.9.0.2`},
		{Pattern{"session", "10.9.0.2"}, false, `"session" with peer 10.9.0.2`},
	} {
		if got := c.p.Matches(line); got != c.want {
			t.Errorf("%v matches %v: %v, want %v", c.p, line, got, c.want)
		}
		if got := c.p.String(); got != c.name {
			t.Errorf("String = %s, want %s", got, c.name)
		}
	}
	if (Pattern{Message: "m", Peer: "x"}).Matches(ParseLogLine([]byte("m"))) {
		t.Error("a line without attributes matches a pattern with a peer")
	}
}

func FuzzParseLogLine(f *testing.F) {
	f.Add([]byte(`{"time":"2026-03-01T12:00:00Z","level":"INFO","msg":"m","peer":"p","g":{"a":1}}`))
	f.Add([]byte(`{"msg":null,"":{"":{}}}`))
	f.Add([]byte("panic: \xff"))
	f.Fuzz(func(t *testing.T, line []byte) {
		l := ParseLogLine(line)
		if l.Attrs == nil && l.Message != string(line) {
			t.Errorf("a line that is no object became %q, want %q", l.Message, line)
		}
		if l.Attrs == nil && (l.Level != "" || !l.Time.IsZero()) {
			t.Errorf("a line that is no object has level %q and time %v", l.Level, l.Time)
		}
		for _, key := range []string{"peer", "g.a", "", ".", "..", string(line)} {
			l.Attr(key)
		}
	})
}
