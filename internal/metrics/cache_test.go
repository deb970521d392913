package metrics

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestCache: whoever asks too often gets what was seen a moment ago; errors, and a
// clock that is set back, keep nobody from what is new.
func TestCache(t *testing.T) {
	now := time.Unix(1000, 0)
	looks := 0
	var failure error
	c := &cache{now: func() time.Time { return now }, from: prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		looks++
		return []*dto.MetricFamily{{}}, failure
	})}
	for _, step := range []struct {
		after time.Duration
		err   error
		looks int
	}{
		{0, nil, 1},
		{0, nil, 1},
		{gatherInterval - 1, nil, 1},
		{1, nil, 2},
		{-time.Hour, nil, 3},
		{gatherInterval, errors.New("broken"), 4},
		{0, errors.New("broken"), 5},
		{0, nil, 6},
	} {
		now, failure = now.Add(step.after), step.err
		families, err := c.Gather()
		if err != step.err || looks != step.looks || err == nil && len(families) != 1 {
			t.Errorf("after %v: %d families, error %v, %d looks; want error %v, %d looks", step.after, len(families), err, looks, step.err, step.looks)
		}
	}
}

// TestCacheTogether: many who ask at the same time are one look.
func TestCacheTogether(t *testing.T) {
	looks := 0
	c := &cache{now: func() time.Time { return time.Unix(1, 0) }, from: prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		looks++ // the race detector sees two at a time
		return nil, nil
	})}
	var askers sync.WaitGroup
	for range 50 {
		askers.Go(func() {
			if _, err := c.Gather(); err != nil {
				t.Error(err)
			}
		})
	}
	askers.Wait()
	if looks != 1 {
		t.Errorf("%d looks, want 1", looks)
	}
}
