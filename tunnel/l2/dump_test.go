package l2

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDump has one of everything.
func TestDump(t *testing.T) {
	x := newNode(t, Config{MAC: macTAP}, 2)
	if err := x.sw.Pin(macC, 2); err != nil {
		t.Fatal(err)
	}
	if err := x.sw.AddStatic(7, macB, 1); err != nil {
		t.Fatal(err)
	}
	x.frame(1, isAt(macTAP, macA, ipB, ipL))
	x.frame(1, isAt(macTAP, macA, ipA, ipL))
	x.wait(3 * time.Second)
	x.frame(TAP, plain(macA, macL))
	x.frame(1, tagged(plain(macL, macC), 5))
	x.frame(1, nil)
	x.frame(9, plain(macL, macA))
	x.wait(2 * time.Second)
	got := x.sw.Dump(x.now)
	want := Dump{
		MACs: []MACEntry{
			{MAC: macTAP, All: true, Port: TAP, Kind: Own},
			{MAC: macA, Port: 1, Kind: Learned, Age: 5 * time.Second},
			{MAC: macL, Port: TAP, Kind: Local, Age: 2 * time.Second},
			{MAC: macC, All: true, Port: 2, Kind: Pinned},
			{VID: 7, MAC: macB, Port: 1, Kind: Static},
		},
		Neighbours: []NeighbourEntry{
			{IP: ipA, MAC: macA, Port: 1, Age: 5 * time.Second},
			{IP: ipB, MAC: macA, Port: 1, Age: 5 * time.Second},
		},
		Ports: []PortEntry{
			{Port: TAP, MACs: 1, Passed: map[string]uint64{"unicast": 1}, Drops: map[string]uint64{}},
			{Port: 1, MACs: 1, Passed: map[string]uint64{"unicast": 2}, Drops: map[string]uint64{"pinned": 1, "invalid": 1}},
			{Port: 2, Passed: map[string]uint64{}, Drops: map[string]uint64{}},
		},
		Drops: map[string]uint64{"pinned": 1, "invalid": 1, "no_port": 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v, want\n%+v", got, want)
	}
	b, err := json.Marshal(got.MACs[1])
	if err != nil || !strings.Contains(string(b), `"MAC":"02:00:00:00:00:0a"`) || !strings.Contains(string(b), `"Kind":"learned"`) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestDumpFrozen: it says how long an address will not move.
func TestDumpFrozen(t *testing.T) {
	x := newNode(t, Config{}, 2)
	for i := range moveLimit + 2 {
		x.frame(Port(1+i%2), plain(macL, macA))
	}
	x.wait(time.Minute)
	m := x.sw.Dump(x.now).MACs[0]
	if m.Port != 1 || m.Frozen != freezeTime-time.Minute || m.Age != time.Minute {
		t.Errorf("%+v", m)
	}
}

// TestNames: every value has a name of its own, and others have some.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for d := range dropCount {
		if s := d.String(); s == "" || seen[s] {
			t.Errorf("drop %d: name %q", d, s)
		}
		seen[d.String()] = true
	}
	for _, c := range []struct{ got, want string }{
		{dropCount.String(), "invalid_drop"},
		{classCount.String(), "invalid"},
		{ClassMember.String(), "membership"},
		{kindCount.String(), "invalid"},
		{Own.String(), "own"},
		{eventCount.String(), "invalid"},
		{EventStorm.String(), "storm"},
		{Binding(9).String(), "invalid"},
		{BindOpen.String() + BindFirst.String() + BindStrict.String(), "openfirststrict"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// TestDropsCount: Kept is no drop.
func TestDropsCount(t *testing.T) {
	var d Drops
	d.Add(Kept)
	d.Add(DropLoop)
	d.Add(DropLoop)
	if m := d.Snapshot(); len(m) != 1 || m["loop"] != 2 || d.Get(DropLoop) != 2 || d.Get(Kept) != 0 {
		t.Errorf("%v", m)
	}
}

// TestDefaults: what is not said, or makes no sense, is as usual; limits may be none.
func TestDefaults(t *testing.T) {
	usual := Config{
		MaxMACs: 256, MaxLocal: 4096, MaxNeighbours: 512, Ageing: 300 * time.Second, NeighbourAge: 120 * time.Second,
		Limits: Limits{Broadcast: 500, Unknown: 500, Multicast: 2000},
	}
	other := Config{
		MaxMACs: 1, MaxLocal: 2, MaxNeighbours: 3, Ageing: 4, NeighbourAge: 5, Limits: Limits{Broadcast: -1, Unknown: 6, Multicast: 7},
	}
	for _, c := range []struct {
		name     string
		in, want Config
	}{
		{"nothing", Config{}, usual},
		{"negative", Config{MaxMACs: -1, MaxLocal: -1, MaxNeighbours: -1, Ageing: -1, NeighbourAge: -1}, usual},
		{"everything", other, other},
	} {
		if got := c.in.withDefaults(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestStamp: stamps are never zero, whatever the clock does.
func TestStamp(t *testing.T) {
	now := time.Unix(1000, 0)
	v := New(now, Config{}).View()
	for d, want := range map[time.Duration]Stamp{0: 1, time.Second: Stamp(time.Second) + 1, -time.Hour: 1} {
		if got := v.Stamp(now.Add(d)); got != want {
			t.Errorf("after %v: %d, want %d", d, got, want)
		}
	}
	if got := v.time(v.Stamp(now.Add(time.Minute))); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("back: %v", got)
	}
}
