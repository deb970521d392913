package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gatherInterval is the least time between two looks at the program. Whoever asks in
// between gets what was seen last: a thousand peers cost the program a millisecond,
// and nobody who asks without end should make it do nothing else.
const gatherInterval = time.Second

// A cache gathers at most once in gatherInterval. It is safe for concurrent use; who
// comes while somebody gathers waits for the result.
type cache struct {
	from prometheus.Gatherer
	now  func() time.Time

	mu       sync.Mutex
	families []*dto.MetricFamily
	at       time.Time // of families; zero: there are none
}

// Gather is the method of [prometheus.Gatherer]. Nobody may change the result.
func (c *cache) Gather() ([]*dto.MetricFamily, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := c.now().Sub(c.at); !c.at.IsZero() && age >= 0 && age < gatherInterval {
		return c.families, nil
	}
	families, err := c.from.Gather()
	if err != nil {
		return nil, err
	}
	c.families, c.at = families, c.now()
	return families, nil
}
