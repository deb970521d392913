package logging

import (
	"fmt"
	"log/slog"
)

// levelNames are the names of levels, from the least to the most that is shown.
var levelNames = []struct {
	name  string
	level slog.Level
}{
	{"error", slog.LevelError},
	{"warn", slog.LevelWarn},
	{"notice", LevelNotice},
	{"info", slog.LevelInfo},
	{"debug", slog.LevelDebug},
	{"packet", LevelPacket},
}

// LevelNames returns the names that [ParseLevel] knows, from the least to the most that
// is shown.
func LevelNames() (names []string) {
	for _, l := range levelNames {
		names = append(names, l.name)
	}
	return names
}

// ParseLevel returns the level with a name.
func ParseLevel(name string) (slog.Level, error) {
	for _, l := range levelNames {
		if l.name == name {
			return l.level, nil
		}
	}
	return 0, fmt.Errorf("there is no log level %q", name)
}

// LevelName returns the name of a level; of one between those that have names, it is that
// of the next one that shows less.
func LevelName(level slog.Level) string {
	name := levelNames[0].name
	for _, l := range levelNames {
		if level <= l.level {
			name = l.name
		}
	}
	return name
}
