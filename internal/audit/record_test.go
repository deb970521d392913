package audit

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// noon is when records of tests are from.
var noon = time.Date(2026, 11, 2, 12, 0, 0, 123456789, time.FixedZone("x", 3600))

// full is a record with everything.
func full() Record {
	return Record{
		Time: noon, Event: PeerRefused, Outcome: Refused, Name: "mallory", Serial: "0A1B", Key: "00112233445566",
		VPNAddr: netip.MustParseAddr("10.9.0.7"), Peer: netip.MustParseAddr("10.9.0.1"), From: netip.MustParseAddrPort("[::ffff:192.0.2.7]:57888"),
		Code: "revoked", Reason: "it is on the list", Authority: "CN=Home", Number: "7", Expires: noon.Add(time.Hour),
		Addresses: []string{"10.9.0.7"}, Direction: "in", Invitation: "i1", Caller: &Caller{UID: 0, PID: 12}, Command: "POST /v1/reload",
		Count: 3, Since: noon.Add(-time.Minute),
	}
}

// TestRecordGolden: the form of records is for programs of others, and does not change.
func TestRecordGolden(t *testing.T) {
	for _, c := range []struct {
		name   string
		record Record
		want   string
	}{
		{"all", full(), `{"time":"2026-11-02T11:00:00.123456Z","program":"campagnol","event":"peer_refused","outcome":"refused",` +
			`"name":"mallory","serial":"0A1B","key":"00112233445566","invitation":"i1","vpn_address":"10.9.0.7","vpn_addresses":["10.9.0.7"],"peer":"10.9.0.1",` +
			`"from":"192.0.2.7:57888","direction":"in","code":"revoked","reason":"it is on the list","authority":"CN=Home","number":"7",` +
			`"expires":"2026-11-02T12:00:00.123456Z","uid":0,"pid":12,"command":"POST /v1/reload","count":3,"since":"2026-11-02T10:59:00.123456Z"}`},
		{"nothing", Record{Time: noon, Event: Started}, `{"time":"2026-11-02T11:00:00.123456Z","program":"campagnol","event":"started","outcome":"success"}`},
		{"microseconds are always there", Record{Time: time.Unix(0, 0), Event: Started}, `{"time":"1970-01-01T00:00:00.000000Z","program":"campagnol","event":"started","outcome":"success"}`},
		{"an address without port", Record{Time: noon, Event: Started, From: netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), 0)},
			`{"time":"2026-11-02T11:00:00.123456Z","program":"campagnol","event":"started","outcome":"success","from":"2001:db8::1"}`},
		{"what a terminal obeys", Record{Time: noon, Event: Started, Name: "a\x1b[2J\n\u202e\u009b\x7f\"é\U000e0001"},
			`{"time":"2026-11-02T11:00:00.123456Z","program":"campagnol","event":"started","outcome":"success","name":"a\u001b[2J\n\u202e\u009b\u007f\"é\udb40\udc01"}`},
	} {
		if got := string(c.record.Append(nil, "campagnol")); got != c.want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestRecordBounds: texts of strangers are cut at whole characters, and a line stays short
// enough for syslog however much of it is escaped.
func TestRecordBounds(t *testing.T) {
	r := Record{Time: noon, Event: PeerRefused, Name: strings.Repeat("é", 1000), Reason: "short"}
	var got line
	if err := json.Unmarshal(r.Append(nil, "campagnol"), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Name) > maxText || len(got.Name) < maxText-5 || !strings.HasSuffix(got.Name, "é…") || got.Reason != "short" {
		t.Errorf("name %q, reason %q", got.Name, got.Reason)
	}
	evil := strings.Repeat("\u009b", 1000)
	r = Record{Time: noon, Event: PeerRefused, Name: evil, Serial: evil, Key: evil, Invitation: evil, Code: evil, Reason: evil,
		Authority: evil, Number: evil, Command: evil, Direction: "in", Addresses: make([]string, 100)}
	for i := range r.Addresses {
		r.Addresses[i] = "2001:db8:1111:2222:3333:4444:5555:6666"
	}
	if b := r.Append([]byte("before"), "campagnol"); len(b) > maxLine || !strings.HasPrefix(string(b), `before{"time"`) {
		t.Errorf("the line has %d bytes: %.50s", len(b), b)
	}
}

// TestSummary: the line that the journal shows says who, and cannot be forged.
func TestSummary(t *testing.T) {
	r := full()
	r.Name = "x\ny\u202e"
	const want = `peer_refused refused name=x\ny\u202e vpn=10.9.0.7 peer=10.9.0.1 from=192.0.2.7:57888 code=revoked number=7 command=POST /v1/reload`
	if got := r.Summary(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// FuzzRecord: whatever strangers say, a record is one line of valid JSON that a terminal
// shows as it is, and says the same.
func FuzzRecord(f *testing.F) {
	f.Add("mallory", "revoked", "because", uint16(1))
	f.Add("a\nb", "\x00\xff", "\u2028\U0001f600\u202e", uint16(0))
	f.Fuzz(func(t *testing.T, name, code, reason string, port uint16) {
		r := Record{Time: noon, Event: PeerRefused, Name: name, Code: code, Reason: reason, From: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)}
		b := r.Append(nil, "campagnol")
		text, ok := strings.CutSuffix(string(b), "\n")
		if !ok || len(b) > maxLine || !utf8.ValidString(text) {
			t.Fatalf("%q is not a line", b)
		}
		for _, c := range text {
			if !unicode.IsPrint(c) {
				t.Fatalf("%q has %U", text, c)
			}
		}
		var got line
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if valid := utf8.ValidString(name); valid && len(name) <= shortText && got.Name != name {
			t.Errorf("the name %q became %q", name, got.Name)
		}
		for _, c := range r.Summary() {
			if !unicode.IsPrint(c) {
				t.Fatalf("the summary %q has %U", r.Summary(), c)
			}
		}
	})
}
