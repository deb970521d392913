// Package version has the version of the programs, in one place.
package version

import (
	"runtime/debug"
	"strings"
)

// Version is the version of this source tree. It ends in "-dev" between
// releases.
const Version = "1.0.0-dev"

// Date is the day of the version, which manual pages have. It changes with Version.
const Date = "2026-11-22"

// String returns the version and, as far as the build recorded it, the commit,
// whether files were changed since, and the Go release: what a bug report needs.
// For example "1.0.0-dev (4662b1a07c3e, modified, go1.26.8)".
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Version
	}
	return describe(info)
}

// describe renders info.
func describe(info *debug.BuildInfo) string {
	var details []string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			details = append(details, s.Value[:min(12, len(s.Value))])
		case s.Key == "vcs.modified" && s.Value == "true":
			details = append(details, "modified")
		}
	}
	if info.GoVersion != "" {
		details = append(details, info.GoVersion)
	}
	if len(details) == 0 {
		return Version
	}
	return Version + " (" + strings.Join(details, ", ") + ")"
}

// A Build is what this program was built from, as far as the build recorded it.
type Build struct {
	Commit   string // "": not recorded
	Modified bool   // files were changed since
}

// Built returns what this program was built from.
func Built() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{}
	}
	return built(info)
}

// built reads info.
func built(info *debug.BuildInfo) (b Build) {
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
