package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"campagnol/internal/cli"
)

// options are what the command line asks for.
type options struct {
	rounds     int
	transfer   time.Duration // of TCP, once it is under way
	steps      []string
	tools      []string
	paths      []string
	gomaxprocs int           // 0: left alone
	patience   time.Duration // for other programs to leave the machine, in all
	foreign    float64       // load of others that does not disturb, in cores
	short      bool
	nebula     string // its version

	from     string // file of a report to show, instead of measuring
	json     string
	markdown string
	svg      string
	docs     string // folder
	profiles string // folder
	check    bool
}

const usageText = `Measure Campagnol beside other tunnels written in Go, in network namespaces on
this machine: every tool gets the same two hosts with one cable, the same
traffic, and its turn in every round. It needs Linux, root, Go, and for the
other tools the Go module proxy.

usage: go run ./internal/bench [options]

`

// parseOptions reads the command line. Help goes to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	o := options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the caller prints what is wrong
	f.IntVar(&o.rounds, "rounds", 5, "how often everything is measured; an odd `number` has a true median")
	f.DurationVar(&o.transfer, "time", 5*time.Second, "how `long` a TCP transfer is measured")
	f.Func("only", "`steps` to take, separated by commas: "+strings.Join(steps, ","), listOf(&o.steps, steps))
	f.Func("tools", "`tools` to measure: "+strings.Join(toolNames(), ","), listOf(&o.tools, toolNames()))
	f.Func("paths", "`paths` between the hosts: "+strings.Join(pathNames(), ","), listOf(&o.paths, pathNames()))
	f.IntVar(&o.gomaxprocs, "gomaxprocs", 0, "give every daemon this GOMAXPROCS; 0 leaves it alone")
	f.DurationVar(&o.patience, "patience", 10*time.Minute, "how `long`, in all, to wait for other programs to leave the machine")
	f.Float64Var(&o.foreign, "foreign", 0.12, "load of other programs, in `cores`, that makes a measurement be repeated")
	f.BoolVar(&o.short, "short", false, "one quick round, to see that everything works")
	f.StringVar(&o.nebula, "nebula", nebulaVersion, "`version` of Nebula; 1.12 and later need Go 1.27")
	f.StringVar(&o.from, "from", "", "measure nothing, but show the report in this JSON `file`")
	f.StringVar(&o.json, "json", "", "write the report with all values to this `file`")
	f.StringVar(&o.markdown, "markdown", "", "write the tables to this `file`")
	f.StringVar(&o.svg, "svg", "", "draw the chart into this `file`")
	f.StringVar(&o.docs, "docs", "", "put tables and chart into performance.md and performance.svg of this `folder`")
	f.StringVar(&o.profiles, "profile", "", "put CPU profiles of Campagnol's daemons under load into this `folder`; they cost a little of what is measured")
	f.BoolVar(&o.check, "check", false, "exit with status 1 if a gate is missed")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(w, usageText)
		f.SetOutput(w)
		f.PrintDefaults()
		return o, err
	case err == nil && f.NArg() > 0:
		err = fmt.Errorf("bench: there is no use for the argument %q", f.Arg(0))
	case err == nil:
		err = o.complete()
	}
	if err != nil {
		err = cli.WithHint(err, "go run ./internal/bench -h lists the options")
	}
	return o, err
}

// complete checks the options and fills in those that depend on others.
func (o *options) complete() error {
	if o.short {
		o.rounds, o.transfer, o.patience, o.foreign = 1, time.Second, 0, 1e9
	}
	if o.rounds < 1 || o.transfer <= 0 || o.gomaxprocs < 0 || o.patience < 0 || o.foreign <= 0 {
		return errors.New("bench: -rounds, -time and -foreign have to be positive, -gomaxprocs and -patience not negative")
	}
	if !strings.HasPrefix(o.nebula, "v") {
		return fmt.Errorf("bench: -nebula %s is not a version such as %s", o.nebula, nebulaVersion)
	}
	for _, list := range []struct {
		have *[]string
		all  []string
	}{{&o.steps, steps}, {&o.tools, toolNames()}, {&o.paths, pathNames()}} {
		if *list.have == nil {
			*list.have = list.all
		}
	}
	return nil
}

// takes reports whether a step is to be taken.
func (o *options) takes(step string) bool { return slices.Contains(o.steps, step) }

// listOf returns a flag's function that reads names separated by commas into
// list, in the order of all.
func listOf(list *[]string, all []string) func(string) error {
	return func(text string) error {
		names := strings.Split(text, ",")
		for _, name := range names {
			if !slices.Contains(all, name) {
				return fmt.Errorf("there is no %q, only %s", name, strings.Join(all, ","))
			}
		}
		*list = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !slices.Contains(names, name) })
		return nil
	}
}

// toolNames returns the names of all tools.
func toolNames() []string {
	return []string{toolDirect, toolOurs, toolWireGuard, toolNebula, toolNebulaTuned}
}

// pathNames returns the names of all paths.
func pathNames() []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = p.id
	}
	return names
}
