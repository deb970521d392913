package hard

import (
	"slices"
	"testing"
)

// take returns the first n ports of an order.
func take(o *order, n int) []uint16 {
	var ports []uint16
	for range n {
		p, ok := o.next()
		if !ok {
			break
		}
		ports = append(ports, p)
	}
	return ports
}

func TestFirstPorts(t *testing.T) {
	for _, c := range []struct {
		name     string
		observed uint16
		step     int
		want     []uint16
	}{
		{"neighbours of the observed one", 5000, 0, []uint16{5000, 5001, 4999, 5002, 4998, 5003, 4997, 5004, 4996}},
		{"at the end of the range", 65534, 0, []uint16{65534, 65535, 65533, 1024, 65532, 1025, 65531, 1026, 65530}},
		{"upwards", 5000, 1, []uint16{5000, 5001, 5002, 5003, 5004, 5005, 5006, 5007, 5008, 5009, 5010, 5011, 5012, 5013, 5014, 5015, 5016, 5080, 5144}},
		{"downwards by two, round the range", 1030, -2, []uint16{1030, 1028, 1026, 1024, 65534, 65532}},
		{"an observed one that NATs do not take for others", 80, 1, []uint16{80, 64593, 64594}},
	} {
		if got := take(&order{observed: c.observed, step: c.step}, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestOrderIsPermutation: every port comes once, whatever comes first.
func TestOrderIsPermutation(t *testing.T) {
	for _, o := range []*order{{}, {seed: 1, observed: 40000}, {seed: 2, observed: 1024, step: 1}, {seed: 3, observed: 65535, step: -3}, {observed: 22, step: 127}} {
		name := *o
		ports := take(o, 1<<17)
		seen := map[uint16]bool{}
		for _, p := range ports {
			if seen[p] || p < firstPort && p != name.observed {
				t.Fatalf("seed %d, step %d: port %d again, or below %d", name.seed, name.step, p, firstPort)
			}
			seen[p] = true
		}
		want := portCount
		if name.observed != 0 && name.observed < firstPort {
			want++
		}
		if len(ports) != want {
			t.Errorf("seed %d, step %d: %d ports, want %d", name.seed, name.step, len(ports), want)
		}
	}
}

// TestSeed: the random part is the same for the same seed only, and is spread over the
// whole range.
func TestSeed(t *testing.T) {
	a := take(&order{seed: 1, observed: 5000}, 1024)
	if b := take(&order{seed: 1, observed: 5000}, 1024); !slices.Equal(a, b) {
		t.Error("the same seed gives other ports")
	}
	b := take(&order{seed: 2, observed: 5000}, 1024)
	same := 0
	for i := 1 + 2*around; i < len(a); i++ {
		if a[i] == b[i] {
			same++
		}
	}
	if same > 5 {
		t.Errorf("%d of 1024 ports are the same with another seed", same)
	}
	var eighths [8]int
	for _, p := range a {
		eighths[int(p-firstPort)*8/portCount]++
	}
	for i, n := range eighths {
		if n < 90 || n > 170 {
			t.Errorf("%d of 1024 ports are in eighth %d of the range, want about 128: %v", n, i, eighths)
		}
	}
}

// TestNeighborsAreFound: with ports in turn, the default budget hits one of the hard
// side's sockets however many other mappings the NAT has made meanwhile, and soon if
// it was few.
func TestNeighborsAreFound(t *testing.T) {
	const observed, neighbors = 50_000, 2 * stride // half of the budget's sockets
	for _, step := range []int{1, -1, 2, -2} {
		guesses := take(&order{observed: observed, step: step}, DefaultBudget.Probes)
		at := map[uint16]int{}
		for i, p := range guesses {
			at[p] = i
		}
		worst := 0
		for stale := range portCount {
			first := len(guesses)
			for k := 1; k <= neighbors; k++ {
				if i, ok := at[wrap(observed+(stale+k)*step)]; ok {
					first = min(first, i)
				}
			}
			if first == len(guesses) {
				t.Fatalf("step %d: with %d mappings in between, nothing is hit", step, stale)
			}
			worst = max(worst, first)
			if limit := nearby + stale/stride + 2; first > limit {
				t.Fatalf("step %d: with %d mappings in between, guess %d is the first to hit, want at most %d", step, stale, first, limit)
			}
		}
		t.Logf("step %d: at worst guess %d hits", step, worst)
	}
}

// TestNeighborsWithGaps: other hosts open flows while our sockets are opened.
func TestNeighborsWithGaps(t *testing.T) {
	const observed, neighbors = 20_000, 256
	tried, missed := 0, 0
	guesses := take(&order{observed: observed, step: 1}, DefaultBudget.Probes)
	for stale := 0; stale < portCount; stale += 17 {
		hits, others := 0, uint64(stale)
		ours := map[uint16]bool{}
		for p := stale + 1; len(ours) < neighbors; p++ {
			if others = mix(others); others%3 != 0 { // two of three are ours
				ours[wrap(observed+p)] = true
			}
		}
		for _, g := range guesses {
			if ours[g] {
				hits++
			}
		}
		tried++
		if hits == 0 {
			missed++
		}
	}
	if 100*missed > tried {
		t.Errorf("a third being others', %d of %d times nothing is hit, want one in a hundred at most", missed, tried)
	}
}
