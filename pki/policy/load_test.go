package policy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/pki/safefile"
)

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, c := range []struct {
		text string
		want string // substring of the error; "": none
	}{
		{"default allow\n", ""},
		{"default allow\nallow x\n", path + ":2:"},
		{strings.Repeat("#\n", MaxSize/2+1), safefile.ErrTooLarge.Error()},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Load(path)
		switch {
		case c.want == "" && (err != nil || p.Name() != path):
			t.Errorf("%.20q: %v, %v", c.text, p, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%.20q: %v, want %q", c.text, err, c.want)
		}
	}
}
