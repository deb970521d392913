package main

import (
	"testing"

	"campagnol/internal/cli"
	"campagnol/internal/manual"
)

// TestHelps: the helps of all commands are complete. The manual pages are made of them.
func TestHelps(t *testing.T) {
	for _, fault := range manual.Faults(cli.Describe(newCommand())) {
		t.Error(fault)
	}
}
