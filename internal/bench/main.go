package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"syscall"

	"campagnol/internal/cli"
)

// Exit statuses.
const (
	exitOK          = 0
	exitError       = 1 // also for gates that are missed, with -check
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	// The first signal makes us clean up and show what there is; the second
	// ends us at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		cli.Print(stderr, "bench", err)
		return exitUsage
	}
	r, err := o.obtain(ctx, stderr)
	if err != nil {
		cli.Print(stderr, "bench", err)
	}
	switch {
	case r == nil && ctx.Err() != nil:
		return exitInterrupted
	case r == nil:
		return exitError
	}
	r.Gates = r.judge()
	r.writeText(stdout)
	if err := o.write(r); err != nil {
		cli.Print(stderr, "bench", err)
		return exitError
	}
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case err != nil || len(r.Failures) > 0 || o.check && r.missed():
		return exitError
	}
	return exitOK
}

// obtain returns the report that is asked for. It may return an error as well as
// a report of what was measured before.
func (o options) obtain(ctx context.Context, progress io.Writer) (*report, error) {
	if o.from != "" {
		return readReport(o.from)
	}
	return measure(ctx, o, progress)
}

// write writes the files that are asked for.
func (o options) write(r *report) error {
	var errs []error
	for _, f := range []struct {
		name  string
		write func(io.Writer)
	}{{o.markdown, r.writeMarkdown}, {o.svg, r.writeSVG}} {
		if f.name != "" {
			var b bytes.Buffer
			f.write(&b)
			errs = append(errs, writeFile(f.name, b.Bytes()))
		}
	}
	if o.json != "" {
		b, err := r.encode()
		if err == nil {
			err = writeFile(o.json, b)
		}
		errs = append(errs, err)
	}
	if o.docs != "" {
		errs = append(errs, r.writeDocs(o.docs))
	}
	return errors.Join(errs...)
}

// missed reports whether a gate is missed.
func (r *report) missed() bool {
	for _, v := range r.Gates {
		if !v.Reached {
			return true
		}
	}
	return false
}
