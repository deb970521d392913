package main

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	t.Parallel()
	usual := options{
		rounds: 5, transfer: 5 * time.Second, steps: steps, tools: toolNames(), paths: pathNames(),
		patience: 10 * time.Minute, foreign: 0.12, nebula: nebulaVersion,
	}
	with := func(change func(*options)) options {
		o := usual
		change(&o)
		return o
	}
	for _, c := range []struct {
		args string
		want options
	}{
		{"", usual},
		{"-rounds 9 -time 2s -gomaxprocs 1", with(func(o *options) { o.rounds, o.transfer, o.gomaxprocs = 9, 2*time.Second, 1 })},
		{"-patience 0 -foreign 0.5 -nebula v1.12.0", with(func(o *options) { o.patience, o.foreign, o.nebula = 0, 0.5, "v1.12.0" })},
		{"-tools direct,ours", with(func(o *options) { o.tools = []string{toolDirect, toolOurs} })},
		// In our order, and once.
		{"-only udp64,tcp1,udp64 -paths packets-gro,veth", with(func(o *options) {
			o.steps, o.paths = []string{stepTCP1, stepUDP64}, []string{pathVeth, pathPacketsGRO}
		})},
		{"-short", with(func(o *options) {
			o.short, o.rounds, o.transfer, o.patience, o.foreign = true, 1, time.Second, 0, 1e9
		})},
		{"-json a -markdown b -svg c -docs d -profile e -check -from f", with(func(o *options) {
			o.json, o.markdown, o.svg, o.docs, o.profiles, o.check, o.from = "a", "b", "c", "d", "e", true, "f"
		})},
	} {
		got, err := parseOptions(strings.Fields(c.args), io.Discard)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: options %+v, error %v, want %+v", c.args, got, err, c.want)
		}
	}
}

func TestParseOptionsFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"-rounds 0", "have to be positive"},
		{"-time 0s", "have to be positive"},
		{"-foreign 0", "have to be positive"},
		{"-gomaxprocs -1", "not negative"},
		{"-patience -1s", "not negative"},
		{"-time 5", `invalid value "5"`},
		{"-nebula latest", "-nebula latest is not a version such as v"},
		{"-tools tinc", `there is no "tinc", only direct,ours,wireguard-go,nebula,nebula-tuned`},
		{"-tools ours,", `there is no ""`},
		{"-only speed", `there is no "speed", only cold,ping,tcp1`},
		{"-paths wifi", `there is no "wifi", only veth,packets,packets-gro`},
		{"-fast", "not defined: -fast"},
		{"now", `no use for the argument "now"`},
	} {
		if o, err := parseOptions(strings.Fields(c.args), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: options %+v, error %v, want one with %q", c.args, o, err, c.want)
		}
	}
}

// TestHelp checks that the help tells of every option, and of what may be listed.
func TestHelp(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if _, err := parseOptions([]string{"-h"}, &b); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("-h: error %v, want %v", err, flag.ErrHelp)
	}
	for _, want := range []string{
		"usage: go run ./internal/bench", "-rounds number", "-only steps", "-tools tools", "-paths paths", "-gomaxprocs",
		"-short", "-json file", "-markdown file", "-svg file", "-docs folder", "-profile folder", "-check", "-from file",
		strings.Join(steps, ","), strings.Join(toolNames(), ","), strings.Join(pathNames(), ","), nebulaVersion,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the help has no %q:\n%s", want, b.String())
		}
	}
}

func TestTakes(t *testing.T) {
	t.Parallel()
	o := options{steps: []string{stepTCP1, stepRSS}}
	for step, want := range map[string]bool{stepTCP1: true, stepRSS: true, stepTCP4: false, "": false} {
		if got := o.takes(step); got != want {
			t.Errorf("step %q is taken: %v, want %v", step, got, want)
		}
	}
}

// TestListOfLeavesNames checks that a list of names on the command line does not
// change the list that it is chosen from.
func TestListOfLeavesNames(t *testing.T) {
	t.Parallel()
	all, list := []string{"a", "b", "c"}, []string(nil)
	if err := listOf(&list, all)("c,a"); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(list, []string{"a", "c"}) || !reflect.DeepEqual(all, []string{"a", "b", "c"}) {
		t.Errorf("the list is %q of %q", list, all)
	}
}
