package program

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Arg is the first argument of a binary that is to play one of the programs.
const Arg = "play-lab-program"

// programs are the programs by name. Each takes its options as JSON and runs
// until the context ends.
var programs = map[string]func(ctx context.Context, options []byte) error{
	"receive": withOptions(receive),
	"send":    withOptions(send),
	"route":   withOptions(route),
}

// withOptions decodes the options of a program.
func withOptions[T any](fn func(context.Context, T) error) func(context.Context, []byte) error {
	return func(ctx context.Context, b []byte) error {
		var o T
		if err := json.Unmarshal(b, &o); err != nil {
			return fmt.Errorf("program: options: %w", err)
		}
		return fn(ctx, o)
	}
}

// Main plays a program and exits, if the binary was started for that.
func Main() {
	if len(os.Args) == 4 && os.Args[1] == Arg {
		os.Exit(play(os.Args[2], []byte(os.Args[3])))
	}
}

// play runs a program until SIGTERM and returns the exit status.
func play(name string, options []byte) int {
	fn := programs[name]
	if fn == nil {
		fmt.Fprintf(os.Stderr, "program: there is no program %q\n", name)
		return 2
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	if err := fn(ctx, options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// args returns the arguments that start a program.
func args(name string, options any) ([]string, error) {
	b, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("program: options: %w", err)
	}
	return []string{Arg, name, string(b)}, nil
}
