//go:build unix

package audit

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/journal"
)

// A daemon is a log daemon that takes texts, or not.
type daemon struct {
	texts []string
	deaf  bool
}

func (d *daemon) Send(_ time.Time, severity int, text string) bool {
	if !d.deaf {
		d.texts = append(d.texts, fmt.Sprintf("%d %s", severity, text))
	}
	return !d.deaf
}

func (d *daemon) Close() error { return nil }

// TestSyslog: a record is a line of JSON, a warning if something was refused, and lost if
// the daemon does not take it.
func TestSyslog(t *testing.T) {
	d := &daemon{}
	trail, end := running(t, &syslogSink{d}, nil)
	trail.Record(Record{Time: noon, Event: Started})
	trail.Record(Record{Time: noon, Event: PeerRefused, Outcome: Refused})
	trail.Record(Record{Time: noon, Event: CertificateExpires})
	end()
	want := []string{
		`5 {"time":"2026-11-02T11:00:00.123456Z","program":"campagnol","event":"started","outcome":"success"}`,
		`4 {"time":"2026-11-02T11:00:00.123456Z","program":"campagnol","event":"peer_refused","outcome":"refused"}`,
		`4 {"time":"2026-11-02T11:00:00.123456Z","program":"campagnol","event":"certificate_expiring","outcome":"success"}`,
	}
	if !slices.Equal(d.texts, want) {
		t.Errorf("the daemon got\n%s\nwant\n%s", strings.Join(d.texts, "\n"), strings.Join(want, "\n"))
	}
	trail, end = running(t, &syslogSink{&daemon{deaf: true}}, nil)
	trail.Record(Record{Event: Started})
	end()
	if trail.Lost() != 1 || trail.Written() != 0 {
		t.Errorf("of a daemon that takes nothing: %d lost, %d written", trail.Lost(), trail.Written())
	}
}

// TestJournal plays the journal, which gets what there is to search for as fields.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := journal.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	trail, end := running(t, &journalSink{s, "campagnol_rdv"}, nil)
	r := full()
	r.Name = "a\nb"
	trail.Record(r)
	end()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1<<16)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := journal.Parse(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range fields {
		got[f.Name] = f.Value
	}
	for name, want := range map[string]string{
		"MESSAGE": r.Summary(), "PRIORITY": "4", "SYSLOG_FACILITY": "10", "SYSLOG_IDENTIFIER": "campagnol_rdv-audit",
		"CAMPAGNOL_EVENT": "peer_refused", "CAMPAGNOL_OUTCOME": "refused", "CAMPAGNOL_NAME": "a\nb", "CAMPAGNOL_CODE": "revoked",
		"CAMPAGNOL_VPN_ADDRESS": "10.9.0.7", "CAMPAGNOL_PEER": "10.9.0.1", "CAMPAGNOL_FROM": "192.0.2.7:57888", "CAMPAGNOL_UID": "0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	var l line
	if err := json.Unmarshal([]byte(got["CAMPAGNOL_AUDIT"]), &l); err != nil || l.Event != PeerRefused || l.Program != "campagnol" {
		t.Errorf("the record is %q: %v", got["CAMPAGNOL_AUDIT"], err)
	}
}

// TestWrite: a command writes at once, to a file that others write to as well.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for _, event := range []Event{InvitationMade, CertificateRevoked} {
		if err := Write("campagnol ca", Place{Where: path}, Record{Event: event}, Record{Event: ListMade}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := events(t, path), "invitation_made revocation_list_made certificate_revoked revocation_list_made"; got != want {
		t.Errorf("it has %s, want %s", got, want)
	}
	if err := Write("campagnol ca", Place{}, Record{Event: ListMade}); err != nil {
		t.Errorf("nowhere: %v", err)
	}
	if err := Write("campagnol ca", Place{Where: "x"}, Record{Event: ListMade}); err == nil {
		t.Error("a place that is none is no error")
	}
}
