package audit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// marked returns the records that a trail gets of a log, and what the log shows.
func marked(t *testing.T, level slog.Level, write func(*slog.Logger)) ([]line, string) {
	t.Helper()
	m := &memory{}
	trail, end := running(t, m, nil)
	var out bytes.Buffer
	write(slog.New(trail.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))))
	end()
	return m.lines, out.String()
}

// TestMark: a record of the log that is marked is in the trail with what it says, whatever
// the level of the log is, and the log shows no more than before.
func TestMark(t *testing.T) {
	ctx := context.Background()
	at := netip.MustParseAddrPort("192.0.2.7:57888")
	lines, out := marked(t, slog.LevelWarn, func(log *slog.Logger) {
		log = log.With("from", at, "name", "alice")
		log.InfoContext(Mark(ctx, Record{Event: CertificateIssued}), "Issued", "serial", "0A", "key", "ff", "invitation", "i1", "k", "v",
			"addresses", []netip.Addr{netip.MustParseAddr("10.9.0.1")}, "expires", "2027-01-02")
		log.Info("Not marked", "serial", "0B")
		log.WarnContext(Mark(ctx, Record{Event: PeerRefused, Outcome: Refused, Name: "said before"}), "It was refused", "err", errors.New("because"), "code", "revoked",
			"peer", netip.MustParseAddr("10.9.0.2"), "number", 7, "authority", "CN=Home", "expires", time.Unix(0, 0))
		log.WithGroup("g").With("serial", "0C").ErrorContext(Mark(ctx, Record{Event: Reloaded, Outcome: Failed}), "Cannot be used", "code", "of something else")
	})
	want := []line{
		{Event: CertificateIssued, Outcome: Success, From: at.String(), Name: "alice", Serial: "0A", Key: "ff", Invitation: "i1", Addresses: []string{"10.9.0.1"}, Expires: "2027-01-02T00:00:00.000000Z"},
		{Event: PeerRefused, Outcome: Refused, From: at.String(), Name: "said before", Reason: "because", Code: "revoked", VPNAddr: netip.MustParseAddr("10.9.0.2"), Number: "7", Authority: "CN=Home", Expires: "1970-01-01T00:00:00.000000Z"},
		{Event: Reloaded, Outcome: Failed, From: at.String(), Name: "alice", Reason: "Cannot be used"},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d records, want %d: %+v", len(lines), len(want), lines)
	}
	for i, l := range lines {
		if l.Time == "" || l.Program != "campagnol" {
			t.Errorf("record %d: time %q, program %q", i, l.Time, l.Program)
		}
		l.Time, l.Program = "", ""
		if !reflect.DeepEqual(l, want[i]) {
			t.Errorf("record %d:\n got %+v\nwant %+v", i, l, want[i])
		}
	}
	if strings.Contains(out, "Issued") || strings.Contains(out, "Not marked") || !strings.Contains(out, "It was refused") || !strings.Contains(out, "g.serial=0C g.code=") {
		t.Errorf("the log shows %s", out)
	}
}

// TestStateChanges: what counts is told when it changes, and then only.
func TestStateChanges(t *testing.T) {
	state := func() *State {
		return &State{Serial: "01", Lists: map[string]string{"CN=A": "1", "CN=B": "7"}, Bulletin: "3", Policy: "p", Trusted: []string{"x"}}
	}
	end := time.Unix(1, 0)
	for _, c := range []struct {
		name   string
		change func(*State)
		want   []Record
	}{
		{"nothing", func(*State) {}, nil},
		{"certificate", func(s *State) { s.Serial, s.Expires = "02", end }, []Record{{Event: OwnCertificate, Serial: "02", Expires: end}}},
		{"lists", func(s *State) { s.Lists = map[string]string{"CN=A": "2", "CN=C": "1"} }, []Record{
			{Event: ListChanged, Authority: "CN=A", Number: "2"}, {Event: ListChanged, Authority: "CN=C", Number: "1"},
			{Event: ListChanged, Authority: "CN=B", Reason: "there is none any more"}}},
		{"bulletin", func(s *State) { s.Bulletin = "4" }, []Record{{Event: BulletinChanged, Number: "4"}}},
		{"no bulletin", func(s *State) { s.Bulletin = "" }, []Record{{Event: BulletinChanged, Reason: "there is none any more"}}},
		{"policy", func(s *State) { s.Policy = "q" }, []Record{{Event: PolicyChanged, Reason: "q"}}},
		{"no policy", func(s *State) { s.Policy = "" }, []Record{{Event: PolicyChanged, Reason: "there is none any more"}}},
		{"authorities", func(s *State) { s.Trusted, s.Retired = []string{"x", "y"}, []string{"z"} }, []Record{
			{Event: AuthorityTrusted, Authority: "y"}, {Event: AuthorityRetired, Authority: "z"}}},
	} {
		next := state()
		c.change(next)
		if got := next.Changes(state()); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
