package pki

import (
	"os"
	"testing"

	"campagnol/internal/testenv"
	"campagnol/pki/pkitest"
)

// TestKeyForGroup: a key of root's may be for the group that a service runs with; one of
// somebody else's may not.
func TestKeyForGroup(t *testing.T) {
	testenv.Root(t)
	certFile, keyFile := pkitest.NewCA(t, "root", now).Issue(t, "me", pkitest.Addrs("10.9.0.1")).WriteFiles(t, t.TempDir())
	for _, c := range []struct{ uid, warnings int }{{0, 0}, {4242, 1}} {
		if err := os.Chown(keyFile, c.uid, 4242); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(keyFile, 0o640); err != nil {
			t.Fatal(err)
		}
		id, err := LoadIdentity(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		if got := id.Warnings(now); len(got) != c.warnings {
			t.Errorf("a key of user %d: warnings %q, want %d", c.uid, got, c.warnings)
		}
	}
}
