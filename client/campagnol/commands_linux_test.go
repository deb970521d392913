package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// TestUpDownCommands has the device configured by commands of the user's, as the
// original's default ones did it, and looked at by one when it goes down.
func TestUpDownCommands(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "ip", "iproute2")
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	seen := filepath.Join(m.lab.Dir(), "seen")
	a.configure(fmt.Sprintf(`[COMMANDS]
default_up = no
default_down = no
up = ip link set dev %%D mtu %%M up
up = false
up = "ip address add %%V/32 dev $$CAMPAGNOL_DEVICE"
up = ip route replace %%N dev %%D
down = ip -o address show dev %%D >%s
`, seen))
	a.start()
	b.start()
	a.ping(b, 5)
	b.ping(a, 5)
	got, err := lab.Broadcast(t.Context(), b.Node, netip.MustParseAddrPort("10.9.0.255:4321"), a.Node)
	if err != nil || len(got) != 1 {
		t.Errorf("a broadcast was delivered %d times, %v", len(got), err)
	}
	failed := m.await(a.process, "Exited with status")
	t.Logf("what is logged of a command that fails: %v", failed)
	if err := a.process.Stop(); err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile(seen)
	if err != nil || !strings.Contains(string(shown), "10.9.0.1/32") {
		t.Errorf("the down command saw %q, %v; want the device as it was", shown, err)
	}
}
