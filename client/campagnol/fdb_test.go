package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"campagnol/client"
	"campagnol/internal/cli"
	"campagnol/internal/control"
)

// sampleFDB is the document of a client with everything that there can be.
func sampleFDB() *control.FDB {
	bob := netip.MustParseAddr("10.9.0.2")
	return &control.FDB{
		Version: "1.0.0", Time: noon, Interface: "tap0", VPNAddress: netip.MustParseAddr("10.9.0.1"), HardwareAddress: "02:ca:0a:09:00:01",
		MACs: []control.FDBEntry{
			{MAC: "02:ca:0a:09:00:01", AllVLANs: true, Local: true, Kind: "own"},
			{MAC: "02:ca:0a:09:00:02", AllVLANs: true, VPNAddress: bob, Name: "bob", Kind: "pinned"},
			{MAC: "52:54:00:00:00:01", Local: true, Kind: "local", AgeSeconds: 4.7},
			{MAC: "52:54:00:00:00:02", VLAN: 7, VPNAddress: bob, Name: "bob", Kind: "learned", AgeSeconds: 75, FrozenSeconds: 12},
			{MAC: "02:ca:0a:09:00:03", AllVLANs: true, VPNAddress: netip.MustParseAddr("10.9.0.3"), Kind: "pinned"},
		},
		Neighbours: []control.FDBNeighbour{
			{Address: bob, MAC: "02:ca:0a:09:00:02", VPNAddress: bob, Name: "bob", AgeSeconds: 3},
			{Address: netip.MustParseAddr("fe80::1"), VLAN: 7, MAC: "52:54:00:00:00:02", VPNAddress: bob, Name: "bob", Router: true},
		},
		Ports: []control.FDBPort{
			{Local: true, MACs: 1, Passed: map[string]uint64{"unicast": 9, "broadcast": 2}, Drops: map[string]uint64{}},
			{VPNAddress: bob, Name: "bob", MACs: 1, UnlearnedFrames: 3, Passed: map[string]uint64{"unicast": 8}, Drops: map[string]uint64{"vlan": 5}},
		},
		Drops: map[string]uint64{"vlan": 5},
	}
}

const sampleFDBText = `tap0 of 10.9.0.1, 02:ca:0a:09:00:01

MAC                VLAN  WHERE             KIND     AGE    STAYS FOR
02:ca:0a:09:00:01  all   this host         own      -      -
02:ca:0a:09:00:02  all   10.9.0.2 ("bob")  pinned   -      -
52:54:00:00:00:01  -     this host         local    4s     -
52:54:00:00:00:02  7     10.9.0.2 ("bob")  learned  1m15s  12s
02:ca:0a:09:00:03  all   10.9.0.3          pinned   -      -

IP addresses:
IP        VLAN  MAC                WHERE             AGE  ROUTER
10.9.0.2  -     02:ca:0a:09:00:02  10.9.0.2 ("bob")  3s   -
fe80::1   7     52:54:00:00:00:02  10.9.0.2 ("bob")  0s   yes

frames from:
WHERE             LEARNED  BEYOND  PASSED                  DROPPED
this host         1        0       broadcast 2, unicast 9  -
10.9.0.2 ("bob")  1        3       unicast 8               vlan 5
`

func TestFDBText(t *testing.T) {
	if got := fdbText(sampleFDB()); got != sampleFDBText {
		t.Errorf("got\n%s\nwant\n%s", got, sampleFDBText)
	}
}

// runTable runs a command for the sockets in dir. stderr is what a user would see of
// its error.
func runTable(t *testing.T, cmd *cobra.Command, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	status = cli.Execute(t.Context(), cmd, args)
	return out.String(), errOut.String(), status
}

// TestTableCommands: "fdb" and "mdb" show text, the document as it was sent, and, of a
// client that carries packets, why there is nothing to show.
func TestTableCommands(t *testing.T) {
	for _, c := range []struct {
		name, path, text string
		document         any
		command          func(dir string) *cobra.Command
	}{
		{"fdb", control.FDBPath, sampleFDBText, sampleFDB(), fdbCommand},
		{"mdb", control.MDBPath, sampleMDBText, sampleMDB(), mdbCommand},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := socketDir(t)
			out, errOut, status := runTable(t, c.command(dir))
			if out != "" || status != 1 || !strings.Contains(errOut, c.name+": no client runs on this host") {
				t.Errorf("without a client: %q, %q, status %d", out, errOut, status)
			}
			answer := c.document
			serveControl(t, filepath.Join(dir, "tap0.sock"), map[string]control.Handler{"GET " + c.path: func(*http.Request) (any, error) {
				err, refused := answer.(error)
				if refused {
					return nil, err
				}
				return answer, nil
			}})
			if out, errOut, status = runTable(t, c.command(dir)); out != c.text || errOut != "" || status != 0 {
				t.Errorf("status %d, output\n%s%s\nwant\n%s", status, out, errOut, c.text)
			}
			out, errOut, status = runTable(t, c.command(dir), "--json")
			var got, want any
			sent, err := json.Marshal(c.document)
			if err = errors.Join(err, json.Unmarshal([]byte(out), &got), json.Unmarshal(sent, &want)); err != nil || errOut != "" || status != 0 {
				t.Fatalf("status %d, %v in\n%s%s", status, err, out, errOut)
			}
			if g, w := compact(t, got), compact(t, want); g != w || !strings.HasPrefix(out, "{\n  \"version\": \"1.0.0\",\n") {
				t.Errorf("--json gives\n%s\nwant\n%s", g, w)
			}
			answer = unanswered(client.ErrNoFrames)
			out, errOut, status = runTable(t, c.command(dir))
			if out != "" || status != 1 || !strings.Contains(errOut, c.name+": this client carries IP packets (mode = tun)") || !strings.Contains(errOut, "hint: ") {
				t.Errorf("of a client with packets: %q, %q, status %d", out, errOut, status)
			}
			answer = map[string]string{"version": "1"}
			if _, errOut, status = runTable(t, c.command(dir)); status != 1 || !strings.Contains(errOut, "whose answer this program cannot read") {
				t.Errorf("of a client without a time: %q, status %d", errOut, status)
			}
		})
	}
}

// compact returns v as JSON, with its fields in order.
func compact(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUnanswered: what somebody is told who gets no table.
func TestUnanswered(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{client.ErrNoFrames, http.StatusConflict},
		{client.ErrStopped, http.StatusServiceUnavailable},
	} {
		var e *control.Error
		if err := unanswered(c.err); !errors.As(err, &e) || e.Status != c.status || !errors.Is(err, c.err) || e.Hint() == "" {
			t.Errorf("%v becomes %v, want status %d", c.err, err, c.status)
		}
	}
}

// FuzzTables renders what a client might say. Whatever it is, the terminal gets
// nothing to obey, and each thing stays in its line.
func FuzzTables(f *testing.F) {
	for _, doc := range []any{sampleFDB(), sampleMDB()} {
		b, err := json.Marshal(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"macs":[{"mac":"\u001b[2J","name":"\n","vpn_address":"fe80::1%\u001b","age_seconds":1e300,"kind":"\t"}],"drops":{"\r":7}}`))
	f.Add([]byte(`{"groups":[{"mode":"x","hosts":["\u0007"],"members":[{"mode":"\n","name":"\t\t"}],"seconds":-1e308}],"counters":{"\n":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fdb, mdb := new(control.FDB), new(control.MDB)
		if json.Unmarshal(b, fdb) != nil || json.Unmarshal(b, mdb) != nil {
			return
		}
		fdbGot, mdbGot := fdbText(fdb), mdbText(mdb)
		for _, text := range []string{fdbGot, mdbGot} {
			if !utf8.ValidString(text) || !strings.HasSuffix(text, "\n") {
				t.Errorf("broken text %q", text)
			}
			for _, c := range text {
				if c != '\n' && !unicode.IsPrint(c) {
					t.Fatalf("%q in %q", c, text)
				}
			}
		}
		if got, want := strings.Count(fdbGot, "\n"), 6+len(fdb.MACs)+len(fdb.Ports); len(fdb.Neighbours) == 0 && got != want {
			t.Errorf("%d lines about hardware addresses, want %d:\n%s", got, want, fdbGot)
		}
	})
}
