package main

import (
	"math"
	"testing"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3, 1}},
		{[]float64{4, 1}, spread{2.5, 1, 4, 2}},
		{[]float64{9, 1, 2}, spread{2, 1, 9, 3}},
		{[]float64{5, 1, 4, 2}, spread{3, 1, 5, 4}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("the spread of %v is %+v, want %+v", c.values, got, c.want)
		}
	}
}

// TestStatLeavesValues checks that no function sorts what it is given.
func TestStatLeavesValues(t *testing.T) {
	t.Parallel()
	values := []float64{3, 1, 2}
	spreadOf(values)
	percentile(values, 50)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("the values are %v now", values)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i) // 100 … 1
	}
	for _, c := range []struct {
		values []float64
		p      float64
		want   float64
	}{
		{hundred, 99, 99},
		{hundred, 50, 50},
		{hundred, 100, 100},
		{hundred, 0, 1},
		{hundred, 0.5, 1},
		{hundred[:10], 99, 100}, // 91 … 100
		{[]float64{7}, 1, 7},
	} {
		if got := percentile(c.values, c.p); got != c.want {
			t.Errorf("percentile %v of %d values is %v, want %v", c.p, len(c.values), got, c.want)
		}
	}
}

func TestStatOfNothing(t *testing.T) {
	t.Parallel()
	for name, got := range map[string]float64{"median": median(nil), "mean": mean(nil), "percentile": percentile(nil, 50)} {
		if !math.IsNaN(got) {
			t.Errorf("the %s of nothing is %v, want not a number", name, got)
		}
	}
	if got := mean([]float64{1, 2, 6}); got != 3 {
		t.Errorf("the mean is %v, want 3", got)
	}
}
