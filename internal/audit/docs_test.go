//go:build unix

package audit

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

const document = "../../docs/audit.md"

// eventTable is the table of docs/audit.md.
func eventTable() string {
	short := map[string]string{OfClient: "client", OfRDV: "rdv", OfAuthority: "ca"}
	by := map[Cause]string{Here: "this host", Member: "members", Stranger: "anybody"}
	text := "| event | in | by | meaning |\n|---|---|---|---|\n"
	for _, k := range Kinds {
		var in []string
		for _, p := range k.Programs {
			in = append(in, short[p])
		}
		text += fmt.Sprintf("| `%s` | %s | %s | %s |\n", k.Event, strings.Join(in, ", "), by[k.Cause], k.Meaning)
	}
	return text
}

// TestEventsAreDocumented compares docs/audit.md with the code, both ways.
func TestEventsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Events\n")
	_, got, _ := strings.Cut(rest, "\n\n|")
	got, _, _ = strings.Cut("|"+got, "\n\n")
	if want := eventTable(); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	seen := map[Event]bool{}
	for _, k := range Kinds {
		if seen[k.Event] || !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(string(k.Event)) || k.Meaning == "" || len(k.Programs) == 0 {
			t.Errorf("%+v: it is there twice, or lacks something", k)
		}
		seen[k.Event] = true
	}
}

// TestFieldsAreDocumented compares the table of fields with the code, both ways.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Fields\n")
	part, _, _ := strings.Cut(rest, "\n## ")
	var got, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(part, -1) {
		got = append(got, m[1])
	}
	for i := range reflect.TypeFor[line]().NumField() {
		tag, _, _ := strings.Cut(reflect.TypeFor[line]().Field(i).Tag.Get("json"), ",")
		want = append(want, tag)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the fields are\n%v\nwant\n%v", got, want)
	}
}

// TestEventsAreUsed: every event of the table is made somewhere, and nothing else is.
func TestEventsAreUsed(t *testing.T) {
	names := map[string]Event{}
	source, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) +Event = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		names[m[1]] = Event(m[2])
		if kinds[Event(m[2])] == nil {
			t.Errorf("%s is not in the table of kinds", m[1])
		}
	}
	if len(names) != len(Kinds) {
		t.Errorf("%d events, %d kinds", len(names), len(Kinds))
	}
	states, err := os.ReadFile("state.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	code.WriteString(strings.ReplaceAll(string(states), "Event: ", "audit."))
	for _, folder := range []string{"../../client/campagnol", "../../rdv", "../../rdv/campagnol_rdv", "../../pki/ca", "../../internal/service", "../../internal/control"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err != nil {
				t.Fatal(err)
			} else if !strings.HasSuffix(f, "_test.go") {
				code.Write(b)
			}
		}
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`\baudit\.(\w+)`).FindAllStringSubmatch(code.String(), -1) {
		used[m[1]] = true
	}
	for name, event := range names {
		if event != RecordsLost && !used[name] {
			t.Errorf("nobody makes %s", name)
		}
	}
}

// TestAuditInShort does what docs/audit.md shows, with a trail in which it happened.
func TestAuditInShort(t *testing.T) {
	testenv.Tool(t, "jq", "jq")
	path := filepath.Join(t.TempDir(), "audit.log")
	at := time.Date(2026, 11, 2, 11, 0, 0, 0, time.UTC)
	mallory := Record{Time: at.Add(2 * time.Second), Event: PeerRefused, Outcome: Refused, Name: "mallory", From: netip.MustParseAddrPort("192.0.2.66:4444"), Code: "revoked"}
	again := mallory
	again.Time, again.Count, again.Since = at.Add(90*time.Second), 24, at.Add(3*time.Second)
	err := Write(OfClient, Place{Where: path},
		Record{Time: at, Event: Started},
		Record{Time: at.Add(time.Second), Event: TunnelOpened, Name: "bob", From: netip.MustParseAddrPort("203.0.113.2:57888")},
		mallory,
		Record{Time: at.Add(3 * time.Second), Event: ControlCommand, Caller: &Caller{PID: 9}, Command: "POST /v1/reload"},
		again,
	)
	if err != nil {
		t.Fatal(err)
	}
	for c := range guide.Open(t, "docs/audit.md", "In short").Commands() {
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(c.Line, "/var/log/campagnol/audit.log", path)).CombinedOutput()
		if err != nil || string(out) != c.Output {
			t.Errorf("line %d: %s\nprints %q, %v\nwant   %q", c.At, c.Line, out, err, c.Output)
		}
	}
}
