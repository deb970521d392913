package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// completed runs a program without subcommands, and returns what it says.
func completed(args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	ran := false
	root := &cobra.Command{Use: "prog", Version: "1", Args: MaxArgs(0), RunE: func(*cobra.Command, []string) error {
		ran = true
		return nil
	}}
	root.Flags().Bool("some-option", false, "what it does")
	root.SetOut(&out)
	root.SetErr(&errOut)
	code = Execute(context.Background(), root, args)
	if ran {
		out.WriteString("(it ran)")
	}
	return code, out.String(), errOut.String()
}

// TestCompletionScripts: a program without subcommands writes completions, and answers shells
// that use them.
func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -F __start_prog prog", "zsh": "#compdef prog", "fish": "complete -c prog", "powershell": "Register-ArgumentCompleter"} {
		code, out, errOut := completed("completion", shell)
		if code != 0 || errOut != "" || !strings.Contains(out, want) || strings.Contains(out, "(it ran)") {
			t.Errorf("%s: status %d, %q, it lacks %q:\n%.300s", shell, code, errOut, want, out)
		}
	}
	if code, out, _ := completed(cobra.ShellCompRequestCmd, "--some"); code != 0 || !strings.Contains(out, "--some-option\twhat it does") {
		t.Errorf("what a shell gets: status %d, %q", code, out)
	}
	if code, _, errOut := completed("completion", "csh"); code != 1 || !strings.Contains(errOut, `there are no completions for "csh"`) {
		t.Errorf("another shell: status %d, %q", code, errOut)
	}
	if code, _, errOut := completed("completion"); code != 1 || !strings.Contains(errOut, `no use for the argument "completion"`) {
		t.Errorf("no shell: status %d, %q", code, errOut)
	}
}
