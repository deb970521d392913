package main

import (
	"strings"
	"testing"
	"time"
)

const statText = `cpu  658226 311623 255564 705780 2889 0 26144 585 0 0
cpu0 326612 159697 127538 352705 1063 0 12464 283 0 0
cpu1 331613 151926 128026 353075 1825 0 13679 301 0 0
intr 1 2 3
ctxt 99
`

func TestParseStat(t *testing.T) {
	t.Parallel()
	got, err := parseStat([]byte(statText))
	want := cpuTimes{count: 2, idle: (705780 + 2889) * tick, steal: 585 * tick}
	if err != nil || got != want {
		t.Errorf("parseStat = %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{
		"",
		"intr 1\n",
		"cpu 1 2 3\ncpu0 1 2 3\n",
		"cpu  1 2 3 x 5 6 7 8\ncpu0 1\n",
		"cpu  1 2 3 4 5 6 7 8\n", // no processor
		"cpu  1 2 3 99999999999999999999 5 6 7 8\ncpu0 1\n",
	} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", bad, got)
		}
	}
}

func TestParseSchedstat(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"5999594 12 1\n": 5999594, "0 0 0": 0, "7": 7,
	} {
		if got, err := parseSchedstat([]byte(in)); err != nil || got != want {
			t.Errorf("parseSchedstat(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "x 1 1", "-1 0 0", "99999999999999999999 0 0"} {
		if got, err := parseSchedstat([]byte(bad)); err == nil {
			t.Errorf("parseSchedstat(%q) = %v, want an error", bad, got)
		}
	}
}

func TestParseRSS(t *testing.T) {
	t.Parallel()
	const status = "Name:\tcampagnol\nVmHWM:\t   99 kB\nVmRSS:\t   25812 kB\nThreads:\t7\n"
	if got, err := parseRSS([]byte(status)); err != nil || got != 25812*1024 {
		t.Errorf("parseRSS = %d, %v, want %d", got, err, 25812*1024)
	}
	for _, bad := range []string{"", "Name:\tkthreadd\n", "VmRSS:\t", "VmRSS:\tmuch kB\n", "VmRSS:\t-4 kB\n"} {
		if got, err := parseRSS([]byte(bad)); err == nil {
			t.Errorf("parseRSS(%q) = %d, want an error", bad, got)
		}
	}
}

func TestParseIsKernel(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"15 (rcu_preempt) I 2 0 0 0 -1 2129984 0 0 0 0 0 7":               true,
		"99 (bash) S 1 99 99 34816 99 4194304 0 0":                        false,
		"99 (a) 2 0 0 0 0 2129984 (b) S 1 99 99 34816 99 4194304 0 0 0 0": false,
	} {
		if got, err := parseIsKernel([]byte(in)); err != nil || got != want {
			t.Errorf("parseIsKernel(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "1 (init", "1 (init) S 0 1 1", "1 (init) S 0 1 1 0 -1 x 0"} {
		if got, err := parseIsKernel([]byte(bad)); err == nil {
			t.Errorf("parseIsKernel(%q) = %v, want an error", bad, got)
		}
	}
}

func TestParseModel(t *testing.T) {
	t.Parallel()
	const info = "processor\t: 0\nmodel name\t: Some CPU @ 2.0 GHz: fast\n\nprocessor\t: 1\nmodel name\t: Other\n"
	if got, want := parseModel([]byte(info)), "Some CPU @ 2.0 GHz: fast"; got != want {
		t.Errorf("parseModel = %q, want %q", got, want)
	}
	if got := parseModel([]byte("processor\t: 0\nBogoMIPS : 50\n")); got != "" {
		t.Errorf("the model of a processor without a name is %q", got)
	}
}

func FuzzProcfs(f *testing.F) {
	for _, s := range []string{statText, "5 6 7", "VmRSS:\t 4 kB\n", "15 (rcu) I 2 0 0 0 -1 2129984 0", "model name : x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parseStat(b); err == nil && (got.count < 1 || got.idle <= 0 || got.steal < 0) {
			t.Errorf("parseStat = %+v", got)
		}
		if got, err := parseSchedstat(b); err == nil && got < 0 {
			t.Errorf("parseSchedstat = %v", got)
		}
		if got, err := parseRSS(b); err == nil && got < 0 {
			t.Errorf("parseRSS = %v", got)
		}
		parseIsKernel(b)
		if m := parseModel(b); strings.TrimSpace(m) != m {
			t.Errorf("parseModel = %q", m)
		}
	})
}
