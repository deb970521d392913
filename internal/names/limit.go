package names

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// A host asks limitRate questions per second in the long run, and limitBurst at
	// once. A browser with many tabs stays below that.
	limitRate  = 100
	limitBurst = 300

	// maxHosts is how many hosts are counted apart.
	maxHosts = 1024
)

// A limiter bounds how often each host may ask. It is safe for concurrent use.
type limiter struct {
	mu    sync.Mutex
	hosts map[netip.Addr]time.Time // when it would have used nothing of its share
}

// allow reports whether a host may ask now.
func (l *limiter) allow(now time.Time, from netip.Addr) bool {
	const each, burst = time.Second / limitRate, limitBurst * time.Second / limitRate
	l.mu.Lock()
	defer l.mu.Unlock()
	free, known := l.hosts[from]
	if !known && len(l.hosts) >= maxHosts {
		for a, t := range l.hosts {
			if !t.After(now) {
				delete(l.hosts, a)
			}
		}
		if len(l.hosts) >= maxHosts {
			return false
		}
	}
	if free.Before(now) {
		free = now
	}
	if free.Sub(now) > burst-each {
		return false
	}
	if l.hosts == nil {
		l.hosts = map[netip.Addr]time.Time{}
	}
	l.hosts[from] = free.Add(each)
	return true
}
