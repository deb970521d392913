package load

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the campagnol_rdv under test.
var program string

func TestMain(m *testing.M) {
	flag.StringVar(&program, "program", "", "the campagnol_rdv at `path` instead of one built from this tree")
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "campagnol-load-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "campagnol_rdv")
	if out, err := exec.Command("go", "build", "-o", program, "campagnol/rdv/campagnol_rdv").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// startServer starts the program, which ends with the test.
func startServer(tb testing.TB, cpu int, args ...string) *Server {
	tb.Helper()
	s, err := StartServer(tb.Context(), program, cpu, args...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
