//go:build unix

package main

import (
	"fmt"
	"os"

	"campagnol/internal/cli"
)

// private refuses a file with a secret that others can read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("--web-password-file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return cli.WithHint(fmt.Errorf("--web-password-file: others can read %s (mode %04o)", path, mode), "chmod 600 %s", path)
	}
	return nil
}
