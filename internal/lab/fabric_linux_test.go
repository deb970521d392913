package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab/frame"
	"campagnol/internal/lab/scenario"
)

// newFabric makes an oracle with four ports.
func newFabric(t *testing.T, o BridgeOptions) *BridgeFabric {
	t.Helper()
	f, err := newLab(t, Options{}).NewBridgeFabric(testContext(t), "sw", 4, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// TestScenarios plays all scenarios on a kernel's bridge: they say what the
// kernel does, and other switches can be compared with it.
func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, s := range scenario.All() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			f := newFabric(t, OracleOptions(s.Quick))
			if err := scenario.Run(testContext(t), f, s, scenario.Options{Log: t.Logf}); err != nil {
				m, mdbErr := f.Bridge.MDB()
				t.Errorf("%v\nthe bridge's database (%v):", err, mdbErr)
				for _, e := range m.Entries {
					t.Log(e)
				}
			}
		})
	}
}

// TestScenariosTagged plays scenarios in a VLAN, one after the other on one
// bridge. A bridge that does not keep VLANs apart does the same with tags as
// without.
func TestScenariosTagged(t *testing.T) {
	t.Parallel()
	f := newFabric(t, OracleOptions(false))
	played := 0
	for i, s := range scenario.All() {
		if s.Quick || strings.HasPrefix(s.Name, "MLD") {
			continue
		}
		played++
		s = s.On(netip.AddrFrom4([4]byte{239, 42, 0, byte(i)}))
		tags := []frame.Tag{{VID: 42, Priority: 5}}
		s.Steps = s.Steps[:min(len(s.Steps), 3)] // what is at once
		if err := scenario.Run(testContext(t), f, s, scenario.Options{Tags: tags, Log: t.Logf}); err != nil {
			t.Error(err)
		}
	}
	tagged := f.Port(1).Count(func(s Sighting) bool { return s.Frame.VID() == 42 && s.Frame.DstIP.IsMulticast() })
	if tagged < played {
		t.Errorf("%d tagged frames to groups came out of port 1, want one of each of %d scenarios at least", tagged, played)
	}
}

// TestFabricIsMistaken breaks the bridge in ways that a scenario has to find: it
// floods, and it
// remembers too long.
func TestFabricIsMistaken(t *testing.T) {
	t.Parallel()
	all := scenario.All()
	for _, c := range []struct {
		name    string
		options BridgeOptions
		want    string
	}{
		{"no snooping", BridgeOptions{Snooping: Off}, "port 1 1 times, want 0"},
		{"asks too long", BridgeOptions{LastMemberInterval: time.Minute}, "nobody answers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFabric(t, OracleOptions(false))
			if err := f.Bridge.Set(c.options); err != nil {
				t.Fatal(err)
			}
			err := scenario.Run(testContext(t), f, all[0], scenario.Options{Grace: 200 * ms, Patience: 5 * time.Second})
			wantError(t, all[0].Name, err, c.want)
		})
	}
}
