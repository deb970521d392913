package main

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
)

// shell returns what runs a command of the configuration. The command line is
// passed as it is, since cmd.exe reads it by rules of its own: with /S it takes
// what stands between the first quote and the last. When ctx ends, cmd.exe is
// killed, and what it has started is not.
func shell(ctx context.Context, command string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "cmd.exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		CmdLine:       `cmd.exe /S /C "` + command + `"`,
		CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP,
	}
	return cmd, nil
}

// quoteShell returns s as one word for cmd.exe. What has a meaning even between
// quotes cannot be escaped, and is in the name of no interface and no network: it
// is left out.
func quoteShell(s string) string {
	return `"` + strings.Map(func(c rune) rune {
		if c < ' ' || strings.ContainsRune(`"%!^`, c) {
			return -1
		}
		return c
	}, s) + `"`
}
