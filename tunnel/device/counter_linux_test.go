package device

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// badCounters are the kernel's counters of packets that arrive damaged, as the files
// below /proc/net call them.
var badCounters = map[string]bool{
	"Ip:InHdrErrors": true, "Icmp:InCsumErrors": true,
	"Tcp:InErrs": true, "Tcp:InCsumErrors": true, "Udp:InCsumErrors": true,
	"Ip6InHdrErrors": true, "Ip6InTruncatedPkts": true, "Icmp6InCsumErrors": true, "Udp6InCsumErrors": true,
}

// counters returns the counters of damaged packets of the station's host.
func (s *station) counters(t testing.TB) map[string]int {
	t.Helper()
	got := map[string]int{}
	err := s.Do(func() error {
		v4, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		v6, err := os.ReadFile("/proc/thread-self/net/snmp6")
		if err != nil {
			return err
		}
		readCounters(got, string(v4))
		readCounters(got, string(v6))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(badCounters) {
		t.Fatalf("the kernel has the counters %v, want all of %v", got, badCounters)
	}
	return got
}

// readCounters takes the counters of damaged packets out of a file of the kernel: it
// has either a line of names before each line of numbers, or one name and one number
// on each line.
func readCounters(into map[string]int, file string) {
	var names []string
	for line := range strings.Lines(file) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && !strings.HasSuffix(f[0], ":"):
			set(into, f[0], f[1])
		case len(f) > 0 && len(names) == len(f) && names[0] == f[0]:
			for i := range f[1:] {
				set(into, f[0]+names[i+1], f[i+1])
			}
			names = nil
		default:
			names = f
		}
	}
}

func set(into map[string]int, name, value string) {
	if n, err := strconv.Atoi(value); err == nil && badCounters[name] {
		into[name] = n
	}
}
