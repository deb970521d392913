package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/audit"
)

// TestLogsFolder: the units have the folder of audit logs, logrotate moves what is there,
// and makes no file itself: that is for the programs, which else would write to another.
func TestLogsFolder(t *testing.T) {
	for name := range units {
		if text := readUnit(t, name); !strings.Contains(text, "\nLogsDirectory="+filepath.Base(audit.DefaultFolder)+"\nLogsDirectoryMode=0750\n") {
			t.Errorf("%s has no folder for audit logs", name)
		}
	}
	b, err := os.ReadFile(filepath.Join("..", "logrotate", "campagnol"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"\n" + audit.DefaultFolder + "/*.log {\n", "\tnocreate\n", "\tdelaycompress\n", "\tsu campagnol campagnol\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the file of logrotate lacks %q", want)
		}
	}
	if strings.Contains(text, "copytruncate") {
		t.Error("copytruncate loses records")
	}
}
