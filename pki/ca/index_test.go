package ca

import (
	"math/big"
	"strings"
	"testing"
	"time"
)

// sample has what "openssl ca" writes, and a comment, which it skips.
const sample = "# mine\n" +
	"V\t281231235959Z\t\t01\tunknown\t/C=FR/O=Campagnol VPN/CN=alice/emailAddress=root@alice\n" +
	"R\t281231235959Z\t260301120000Z,keyCompromise\t0A1B\tunknown\t/CN=bob\n" +
	"R\t491231235959Z\t260301120000Z\t0C\tcerts/0C.pem\t/CN=carl\n" +
	"E\t20500101000000Z\t\t0D\tunknown\t/CN=a\\\tb\n"

func TestIndex(t *testing.T) {
	x, err := parseIndex([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(x.append(nil)); got != sample {
		t.Errorf("written again = %q, want %q", got, sample)
	}
	rs := x.records()
	if len(rs) != 4 {
		t.Fatalf("%d records, want 4", len(rs))
	}
	bob := x.find(big.NewInt(0xa1b))
	if bob == nil || bob != rs[1] || bob.reason != "keyCompromise" || bob.subject != "/CN=bob" ||
		!bob.revoked.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) || bob.status != statusRevoked {
		t.Errorf("record = %+v, want bob's", bob)
	}
	if rs[3].subject != "/CN=a\\\tb" {
		t.Errorf("subject with an escaped tab = %q", rs[3].subject)
	}
	if x.find(big.NewInt(2)) != nil {
		t.Error("a serial number was found that is not there")
	}
	// Only the line that changes is written anew.
	alice := rs[0]
	alice.status, alice.revoked = statusRevoked, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	x.touch(alice)
	want := strings.Replace(sample, "V\t281231235959Z\t", "R\t281231235959Z\t260302000000Z", 1)
	if got := string(x.append(nil)); got != want {
		t.Errorf("after the change = %q, want %q", got, want)
	}
	x.add(&record{status: statusValid, expires: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), serial: big.NewInt(0xabc), file: "unknown", subject: "/CN=dora"})
	if got := string(x.append(nil)); got != want+"V\t20500101000000Z\t\t0ABC\tunknown\t/CN=dora\n" {
		t.Errorf("after add = %q", got)
	}
	if x.find(big.NewInt(0xabc)) == nil {
		t.Error("the new record is not found")
	}
}

func TestIndexErrors(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"V\t281231235959Z\t\t01\tunknown", "5 fields"},
		{"V\t281231235959Z\t\t01\tunknown\t/CN=a\tx", "7 fields"},
		{"X\t281231235959Z\t\t01\tunknown\t/CN=a", "status"},
		{"\t281231235959Z\t\t01\tunknown\t/CN=a", "status"},
		{"V\t281331235959Z\t\t01\tunknown\t/CN=a", "expiry"},
		{"V\t\t\t01\tunknown\t/CN=a", "expiry"},
		{"V\t281231235959Z\t260301120000Z\t01\tunknown\t/CN=a", "status V with a time"},
		{"R\t281231235959Z\t\t01\tunknown\t/CN=a", "revocation"},
		{"R\t281231235959Z\t20263\t01\tunknown\t/CN=a", "revocation"},
		{"V\t281231235959Z\t\t\tunknown\t/CN=a", "serial"},
		{"V\t281231235959Z\t\t-1\tunknown\t/CN=a", "serial"},
		{"V\t281231235959Z\t\t+1\tunknown\t/CN=a", "serial"},
		{"V\t281231235959Z\t\t1_0\tunknown\t/CN=a", "serial"},
		{"V\t281231235959Z\t\t0x1\tunknown\t/CN=a", "serial"},
		{"V\t281231235959Z\t\t" + strings.Repeat("1", 41) + "\tunknown\t/CN=a", "serial"},
		{"V\t281231235959Z\t\t0001\tunknown\t/CN=a\nV\t281231235959Z\t\t01\tunknown\t/CN=b", "line 2: a second"},
	} {
		_, err := parseIndex([]byte(c.line + "\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%q: error %v, want %q with the line", c.line, err, c.want)
		}
	}
}

func TestIndexTimes(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Time
	}{
		{"500101000000Z", time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"991231235959Z", time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"000101000000Z", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"491231235959Z", time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"20500101000000Z", time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"99991231235959Z", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	} {
		got, err := parseTime(c.text)
		if err != nil || !got.Equal(c.want) {
			t.Errorf("parseTime(%s) = %v, %v, want %v", c.text, got, err, c.want)
		}
		if s := formatTime(c.want.In(time.FixedZone("", 3600))); s != c.text {
			t.Errorf("formatTime(%v) = %s, want %s", c.want, s, c.text)
		}
	}
	for _, bad := range []string{"", "Z", "2812312359Z", "281231235959", "281231235959+", "281231246060Z", "2028123123595"} {
		if got, err := parseTime(bad); err == nil {
			t.Errorf("parseTime(%q) = %v, want an error", bad, got)
		}
	}
}

func TestCommonName(t *testing.T) {
	for subject, want := range map[string]string{
		"/CN=alice": "alice",
		"/C=FR/O=Campagnol VPN/CN=alice/emailAddress=root@alice": "alice",
		"/C=FR/CN=alice/OU=x/L=y":                                "alice",
		"/CN=a/b":                                                "a/b",
		"/CN=http://a/b=c/serialNumber=1":                        "http://a",
		"/O=nobody":                                              "",
		"":                                                       "",
		"/CN=one/CN=two":                                         "two",
		"/CN=alice/1.2.840.113549.1.9.1=x":                       "alice",
		"/CN=":                                                   "",
		"/DC=org/CN=Zo\\xC3\\xAB":                                "Zo\\xC3\\xAB",
		"/CN=a/emailAddress":                                     "a/emailAddress",
		"/C=FR/ST=France/L=Paris/OU=host/CN=h.example/UID=x/CN=y": "y",
	} {
		if got := (&record{subject: subject}).commonName(); got != want {
			t.Errorf("common name of %q = %q, want %q", subject, got, want)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("V\t281231235959Z\t\t01\tunknown\t/CN=\\\t\r\n\n#"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parseIndex(data)
		if err != nil {
			return
		}
		for _, r := range x.records() {
			r.commonName()
			x.touch(r) // so that all are written from what was understood
		}
		written := x.append(nil)
		y, err := parseIndex(written)
		if err != nil {
			t.Fatalf("%q became %q: %v", data, written, err)
		}
		a, b := x.records(), y.records()
		if len(a) != len(b) {
			t.Fatalf("%d records became %d", len(a), len(b))
		}
		for i := range a {
			if a[i].status != b[i].status || !a[i].expires.Equal(b[i].expires) || !a[i].revoked.Equal(b[i].revoked) ||
				a[i].reason != b[i].reason || a[i].serial.Cmp(b[i].serial) != 0 || a[i].subject != b[i].subject {
				t.Fatalf("record %+v became %+v", a[i], b[i])
			}
		}
	})
}
