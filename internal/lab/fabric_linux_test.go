package lab

import (
	"testing"

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
