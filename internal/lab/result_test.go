package lab

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestPingResult(t *testing.T) {
	for _, c := range []struct {
		name     string
		result   PingResult
		received int
		first    time.Duration
		median   time.Duration
		text     string
	}{
		{
			"all answered",
			PingResult{RTT: []time.Duration{167 * ms, 2 * ms, 3 * ms}},
			3, 167 * ms, 3 * ms, "3 of 3 answered, first 167ms, median 3ms, slowest 167ms",
		},
		{
			"the first lost",
			PingResult{RTT: []time.Duration{Lost, 1234567, 3 * ms}, Duplicates: 2},
			2, Lost, 3 * ms, "2 of 3 answered, first lost, median 3ms, slowest 3ms, 2 duplicates",
		},
		{"all lost", PingResult{RTT: []time.Duration{Lost, Lost}}, 0, Lost, Lost, "0 of 2 answered"},
		{"nothing sent", PingResult{}, 0, Lost, Lost, "0 of 0 answered"},
	} {
		if got := c.result.Received(); got != c.received {
			t.Errorf("%s: Received = %d, want %d", c.name, got, c.received)
		}
		if got := c.result.First(); got != c.first {
			t.Errorf("%s: First = %v, want %v", c.name, got, c.first)
		}
		if got := c.result.Median(); got != c.median {
			t.Errorf("%s: Median = %v, want %v", c.name, got, c.median)
		}
		if got := c.result.String(); got != c.text {
			t.Errorf("%s: %q, want %q", c.name, got, c.text)
		}
	}
}

func TestPingReply(t *testing.T) {
	start := time.Unix(1000, 0)
	if got, want := (PingResult{Start: start, Answer: start.Add(7 * ms)}).Reply(), 7*ms; got != want {
		t.Errorf("Reply = %v, want %v", got, want)
	}
	if got := (PingResult{Start: start}).Reply(); got != Lost {
		t.Errorf("Reply without an answer = %v, want %v", got, Lost)
	}
}

func TestPingDefaults(t *testing.T) {
	if got, want := (PingOptions{}).withDefaults(), (PingOptions{10, 25 * ms, 2 * time.Second, 56}); got != want {
		t.Errorf("defaults are %+v, want %+v", got, want)
	}
	set := PingOptions{1, 2, 3, 4}
	if got := set.withDefaults(); got != set {
		t.Errorf("defaults changed %+v to %+v", set, got)
	}
}

func TestBulkRate(t *testing.T) {
	if got, want := (BulkResult{Bytes: 1000, Took: 2 * time.Second}).Rate(), 4000.0; got != want {
		t.Errorf("Rate = %v, want %v", got, want)
	}
	if got := (BulkResult{Bytes: 1000}).Rate(); got != 0 {
		t.Errorf("Rate without a time = %v, want 0", got)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{FormatBytes(0), "0 B"},
		{FormatBytes(999), "999 B"},
		{FormatBytes(1000), "1.0 kB"},
		{FormatBytes(104857600), "104.9 MB"},
		{FormatBytes(999_949_999), "999.9 MB"},
		{FormatBytes(999_999_999), "1.0 GB"},
		{FormatBytes(1 << 60), "1152921.5 TB"},
		{FormatRate(1.34e9), "1.3 Gbit/s"},
		{FormatRate(12), "12 bit/s"},
		{short(1234567).String(), "1.23ms"},
		{short(999).String(), "999ns"},
		{short(12_345_678_901).String(), "12.3s"},
		{short(Lost).String(), "-1ns"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTraffic(t *testing.T) {
	before := Traffic{RxPackets: 1, TxPackets: 2, RxBytes: 30, TxBytes: 40}
	after := Traffic{RxPackets: 11, TxPackets: 22, RxBytes: 330, TxBytes: 440}
	got := after.Sub(before)
	if want := (Traffic{10, 20, 300, 400}); got != want {
		t.Errorf("Sub = %+v, want %+v", got, want)
	}
	if got.Packets() != 30 || got.Bytes() != 700 {
		t.Errorf("Packets, Bytes = %d, %d, want 30, 700", got.Packets(), got.Bytes())
	}
}
