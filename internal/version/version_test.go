package version

import (
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestDescribe(t *testing.T) {
	set := func(kv ...string) (s []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			s = append(s, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return s
	}
	const commit = "4662b1a07c3e0d5f6b7a8c9d0e1f2a3b4c5d6e7f"
	for _, c := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"nothing known", debug.BuildInfo{}, ""},
		{"go install of a release", debug.BuildInfo{GoVersion: "go1.26.8"}, " (go1.26.8)"},
		{"checkout", debug.BuildInfo{GoVersion: "go1.26.8", Settings: set("GOOS", "linux", "vcs.revision", commit, "vcs.modified", "false")},
			" (4662b1a07c3e, go1.26.8)"},
		{"changed checkout", debug.BuildInfo{GoVersion: "go1.26.8", Settings: set("vcs.revision", commit, "vcs.modified", "true")},
			" (4662b1a07c3e, modified, go1.26.8)"},
		{"short revision", debug.BuildInfo{Settings: set("vcs.revision", "12")}, " (12)"},
		{"empty revision", debug.BuildInfo{Settings: set("vcs.revision", "")}, ""},
	} {
		if got, want := describe(&c.info), Version+c.want; got != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
}

func TestString(t *testing.T) {
	if got := String(); !strings.HasPrefix(got, Version) || strings.ContainsAny(got, "\n\t") {
		t.Errorf("String = %q, want one line that begins with %q", got, Version)
	}
	if !regexp.MustCompile(`^\d+\.\d+\.\d+(-[a-z0-9.]+)?$`).MatchString(Version) {
		t.Errorf("Version %q is not a semantic version", Version)
	}
	if _, err := time.Parse(time.DateOnly, Date); err != nil {
		t.Errorf("Date: %v", err)
	}
}
