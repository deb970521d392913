package version

import (
	"runtime/debug"
	"testing"
)

func TestBuilt(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "vcs.revision", Value: "4662b1a0"}, {Key: "vcs.modified", Value: "true"}}}
	if got, want := built(info), (Build{Commit: "4662b1a0", Modified: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := built(&debug.BuildInfo{}); got != (Build{}) {
		t.Errorf("of a build without a repository: %+v", got)
	}
}
