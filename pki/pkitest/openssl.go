package pkitest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"campagnol/internal/testenv"
)

// An OpenSSL runs the command line program, for tests that compare with it.
type OpenSSL struct {
	path string
	dir  string
}

// NeedOpenSSL returns the openssl program, which will run in dir. Without it
// the test is skipped, but in continuous integration it fails.
func NeedOpenSSL(t testing.TB, dir string) OpenSSL {
	t.Helper()
	return OpenSSL{path: testenv.Tool(t, "openssl", "openssl"), dir: dir}
}

// Try runs openssl with the arguments and returns its output, standard error
// included.
func (o OpenSSL) Try(args ...string) (string, error) {
	cmd := exec.Command(o.path, args...)
	cmd.Dir = o.dir
	// A configuration of the machine must not decide about a test.
	cmd.Env = append(os.Environ(), "OPENSSL_CONF=/dev/null", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Run is Try, and fails the test when openssl fails.
func (o OpenSSL) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := o.Try(args...)
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
