package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"slices"

	"campagnol/conf"
)

// echo logs, with -d, what a configuration file sets: each key with the line that
// it begins in and its value, escapes resolved and ${} not, as the original does
// while it reads, but no passwords. What cannot be read or used is for others to report.
func echo(log *slog.Logger, file string) {
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	// The file is read once more to be used. A pipe gives its content only once.
	if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() {
		return
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return
	}
	type line struct {
		section, key, shown string
		conf.Value
	}
	var lines []line
	parsed, _ := conf.Parse(file, src)
	for _, section := range parsed.Sections {
		for _, setting := range section.Settings {
			for _, v := range setting.Values {
				lines = append(lines, line{section.Name, setting.Name, section.Shown(setting.Name, v.Raw), v})
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.KeyPos.Line, b.KeyPos.Line) })
	for _, l := range lines {
		log.Debug("[{file}:{line}] [{section}] '{key}' = '{value}'",
			"file", file, "line", l.KeyPos.Line, "section", l.section, "key", l.key, "value", l.shown)
	}
}
