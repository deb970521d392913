package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/lab/scenario"
)

// oraclePlayers is how many scenarios are played at the same time, each with a group
// of its own.
const oraclePlayers = 16

// TestTAPOracle plays what hosts may say about groups to a mesh of four members and,
// at the same time, to a bridge of the kernel with four ports. After each step the same
// frames have to come out of the same ports of both. There is no exception: what RFC
// 4541 leaves open, and where the two differ, no scenario is about. (To a group that
// nobody has joined a bridge sends while it knows no querier; each member has one,
// which is itself.)
//
// Scenarios that wait for reports to age are for the long form: here that takes the
// time that hosts have by the RFCs.
func TestTAPOracle(t *testing.T) {
	t.Parallel()
	playOracle(t, false, scenario.Options{})
}

// playOracle plays scenarios on both, those that wait for reports to age or the others.
func playOracle(t *testing.T, quick bool, o scenario.Options) {
	n := newTAPNet(t, "storm_rate = 0", lab.None, lab.None, lab.None, lab.None)
	bridge, err := n.lab.NewBridgeFabric(n.soon(), "oracle", len(n.peers), lab.OracleOptions(quick))
	n.must(err)
	defer bridge.Close()
	var ends []lab.Interface
	for _, p := range n.peers {
		ends = append(ends, p.Interface("tap9"))
	}
	var group sync.WaitGroup
	free := make(chan *lab.PortFabric, oraclePlayers)
	for range oraclePlayers {
		free <- nil
	}
	began, played := time.Now(), 0
	for i, s := range scenario.All() {
		if s.Quick != quick {
			continue
		}
		played++
		s = s.On(oracleGroup(s.Group, i))
		<-free
		group.Go(func() {
			defer func() { free <- nil }()
			mesh, err := lab.NewPortFabric(ends...)
			if err != nil {
				t.Error(err)
				return
			}
			defer mesh.Close()
			compare(t, s, map[string]scenario.Fabric{"the mesh": mesh, "a bridge": bridge}, o)
		})
	}
	group.Wait()
	t.Logf("%d scenarios in %v", played, time.Since(began).Round(time.Millisecond))
}

// oracleGroup returns the i-th group of a family.
func oracleGroup(of netip.Addr, i int) netip.Addr {
	if of.Is6() {
		return netip.MustParseAddr(fmt.Sprintf("ff15::2:%x", i+1))
	}
	return netip.AddrFrom4([4]byte{239, 3, 0, byte(i + 1)})
}

// compare plays a scenario on several fabrics at the same time. What each port has to
// do after each step is the scenario's to say; who does that does what the others do.
func compare(t *testing.T, s scenario.Scenario, fabrics map[string]scenario.Fabric, o scenario.Options) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for name, f := range fabrics {
		group.Go(func() {
			if err := scenario.Run(ctx, f, s, o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	group.Wait()
}
