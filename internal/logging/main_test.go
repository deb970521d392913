package logging

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// TestMain lets the test binary play the program whose standard output is a
// closed pipe.
func TestMain(m *testing.M) {
	if os.Getenv("CAMPAGNOL_TEST_CLOSED_PIPE") != "" {
		log := New(Options{Program: "test"})
		for range 3 {
			log.Log(context.Background(), LevelNotice, "nobody reads this")
		}
		fmt.Fprintln(os.Stderr, "survived")
		os.Exit(0)
	}
	os.Exit(m.Run())
}
