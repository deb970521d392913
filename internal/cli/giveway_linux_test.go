package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// niceHelper makes the test binary a program with a command that gives way.
const niceHelper = "CAMPAGNOL_TEST_NICE"

func TestMain(m *testing.M) {
	if os.Getenv(niceHelper) == "" {
		os.Exit(m.Run())
	}
	root := &cobra.Command{Use: "program"}
	root.AddCommand(GiveWay(&cobra.Command{Use: "look", RunE: func(cmd *cobra.Command, _ []string) error {
		values, err := niceValues()
		fmt.Fprintln(cmd.OutOrStdout(), values)
		return errors.Join(err, errors.New("its own error"))
	}}))
	os.Exit(Execute(context.Background(), root, os.Args[1:]))
}

// niceValues returns those of all threads of this process, each once.
func niceValues() (values string, err error) {
	threads, err := os.ReadDir("/proc/self/task")
	seen := map[string]bool{}
	for _, t := range threads {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/stat")
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if err != nil {
			return "", err
		}
		const niceField = 18 - 2 // proc_pid_stat(5); the name, before, may have blanks
		nice := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[niceField]
		if !seen[nice] {
			seen[nice] = true
			values = strings.TrimSpace(values + " " + nice)
		}
	}
	return values, err
}

// TestGiveWay: all threads of a command that gives way are nicer than they were begun, up
// to what there is, and otherwise it is the command that it was.
func TestGiveWay(t *testing.T) {
	t.Parallel()
	own, err := niceValues()
	if err != nil {
		t.Fatal(err)
	}
	began, err := strconv.Atoi(own)
	if err != nil {
		t.Fatalf("this process has the nice values %q, want one: %v", own, err)
	}
	for _, more := range []int{0, 5, 19} {
		cmd := exec.Command("nice", "-n", strconv.Itoa(more), os.Args[0], "look")
		cmd.Env = append(os.Environ(), niceHelper+"=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitError || !strings.Contains(stderr.String(), "its own error") {
			t.Errorf("begun %d nicer: %v, %q, want the error of the command", more, err, stderr.String())
		}
		if got, want := strings.TrimSpace(string(out)), strconv.Itoa(min(began+more+giveWayBy, 19)); got != want {
			t.Errorf("begun %d nicer than %d, it runs with %q, want %s", more, began, got, want)
		}
	}
}
