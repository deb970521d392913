package names

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bookLife is how old a zone may be that questions are answered from.
	bookLife = 30 * time.Second

	// bookUnknown is how old it may be to say that there is no such name: the host may
	// have come since.
	bookUnknown = 3 * time.Second

	// bookPatience is how long a question waits for a newer zone. Resolvers ask again
	// after a second or more.
	bookPatience = 800 * time.Millisecond
)

// A Book keeps the zone, and makes it anew when somebody asks and it is old. Run does
// so; the other methods are safe for concurrent use.
type Book struct {
	source func(ctx context.Context) *Zone
	zone   atomic.Pointer[edition]
	wanted chan struct{} // has room for one

	mu   sync.Mutex
	next chan struct{} // closed when there is another zone
}

// An edition is a zone, and when it was made.
type edition struct {
	*Zone
	made time.Time // zero: it is the empty one of the beginning
}

// NewBook returns a book with a first zone. source returns a newer one; it may wait.
func NewBook(first *Zone, source func(ctx context.Context) *Zone) *Book {
	b := &Book{source: source, wanted: make(chan struct{}, 1), next: make(chan struct{})}
	b.zone.Store(&edition{Zone: first})
	return b
}

// Run makes zones until ctx is done.
func (b *Book) Run(ctx context.Context) {
	for {
		select {
		case <-b.wanted:
		case <-ctx.Done():
			return
		}
		z := b.source(ctx)
		if ctx.Err() != nil {
			return
		}
		b.zone.Store(&edition{z, time.Now()})
		b.mu.Lock()
		close(b.next)
		b.next = make(chan struct{})
		b.mu.Unlock()
	}
}

// Renew makes the next zone be made at once.
func (b *Book) Renew() {
	select {
	case b.wanted <- struct{}{}:
	default:
	}
}

// Zone returns the zone for a question at a time. known says what a zone has an answer
// to; if the last one has none, and is old, a newer one is waited for.
func (b *Book) Zone(ctx context.Context, now time.Time, known func(*Zone) bool) *Zone {
	b.mu.Lock()
	next := b.next
	b.mu.Unlock()
	e := b.zone.Load()
	age := now.Sub(e.made)
	wait := age > bookUnknown && (age > 2*bookLife || !known(e.Zone))
	if wait || age > bookLife {
		b.Renew()
	}
	if !wait {
		return e.Zone
	}
	patience := time.NewTimer(bookPatience)
	defer patience.Stop()
	select {
	case <-next:
	case <-patience.C:
	case <-ctx.Done():
	}
	return b.zone.Load().Zone
}
