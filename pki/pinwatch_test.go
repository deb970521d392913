package pki

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// TestPinsWatch: each key that gets an address is told once, with the one that had it, and
// nothing that stays as it was.
func TestPinsWatch(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "pins")} {
		peers := newPinPeers(t)
		plain, named := peers.peer("plain"), peers.peer("named", "10.9.0.2")
		root := pkitest.NewCA(t, "root", now)
		newer := PeerOf(root.Issue(t, "newer", pkitest.Addrs("10.9.0.2"), pkitest.Valid(now.Add(time.Hour), now.Add(48*time.Hour))).Cert)
		p := openPins(t, path)
		var told []string
		p.Watch(func(before *Pin, now Pin) {
			text := fmt.Sprintf("%v %s", now.Addr, now.Name)
			if before != nil {
				text += " after " + before.Name
			}
			told = append(told, text)
		})
		for range 2 {
			for _, c := range []struct {
				addr string
				peer *Peer
			}{{"10.9.0.1", plain}, {"10.9.0.2", named}} {
				if err := p.Check(now.Add(2*time.Hour), netip.MustParseAddr(c.addr), c.peer, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := p.Check(now.Add(2*time.Hour), netip.MustParseAddr("10.9.0.2"), newer, false); err != nil {
			t.Fatal(err)
		}
		if err := p.Check(now.Add(2*time.Hour), netip.MustParseAddr("10.9.0.1"), named, false); err == nil {
			t.Error("a certificate for another address is accepted")
		}
		if got, want := strings.Join(told, ", "), "10.9.0.1 plain, 10.9.0.2 named, 10.9.0.2 newer after named"; got != want {
			t.Errorf("with the file %q it is told\n%s\nwant\n%s", path, got, want)
		}
	}
}
