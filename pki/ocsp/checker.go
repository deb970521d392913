package ocsp

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/pki"
)

const (
	// maxEntries bounds the certificates about which something is remembered.
	maxEntries = 1 << 16

	// maxQuestions bounds the questions that are under way at the same time.
	maxQuestions = 8

	// maxLife is how long an answer is used before it is asked for again, even
	// if it counts for longer: a revocation is noticed within the hour.
	maxLife = time.Hour

	// minGap is the least time between two questions about a certificate, and
	// how long a failure is remembered.
	minGap = 10 * time.Second

	// unknownLife is how long that a responder does not know a certificate is
	// remembered: it may learn of a new one any time.
	unknownLife = time.Minute
)

// A Config says how a Checker asks.
type Config struct {
	// Transport carries questions; nil is TCP, straight to the responder, and
	// not to the addresses that the package comment excludes.
	Transport http.RoundTripper

	Jitter func() float64 // 0 to 1, so that not all ask at once; nil: random
	Log    *slog.Logger   // nil: none
}

// A Checker asks responders, and remembers what they have said. It is safe for
// concurrent use.
type Checker struct {
	transport http.RoundTripper
	jitter    func() float64
	log       *slog.Logger
	avoid     atomic.Pointer[netip.Prefix]
	slots     chan struct{} // one for each question under way

	mu      sync.Mutex // guards the following
	entries map[key]*entry
	order   *list.List // of the entries, by when somebody wanted to know: the last is in front
	silent  hosts      // that have not answered a moment ago
	trouble hosts      // of which it was logged that they do not answer
	stats   Stats
}

// A key stands for a certificate: the hash of its DER form.
type key [sha256.Size]byte

func keyOf(der []byte) key { return sha256.Sum256(der) }

// An entry is what is known about a certificate.
type entry struct {
	answer answer        // the last; its status is unasked if there is none
	fault  error         // why the last question brought none; nil: it did
	next   time.Time     // when to ask again
	asking chan struct{} // closed when the question under way is over; nil: none
	key    key
	place  *list.Element // in the order
}

// NewChecker returns a Checker that knows nothing yet.
func NewChecker(cfg Config) *Checker {
	c := &Checker{
		transport: cfg.Transport,
		jitter:    cfg.Jitter,
		log:       cfg.Log,
		slots:     make(chan struct{}, maxQuestions),
		entries:   map[key]*entry{},
		order:     list.New(),
		silent:    hosts{},
		trouble:   hosts{},
	}
	if c.transport == nil {
		c.transport = c.newTransport()
	}
	if c.jitter == nil {
		c.jitter = rand.Float64
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// known returns what is known about a certificate.
func (c *Checker) known(k key) (answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[k]; e != nil {
		return e.answer, e.fault
	}
	return answer{}, nil
}

// Due reports whether it is time to ask about the certificate with the DER form
// leaf.
func (c *Checker) Due(now time.Time, leaf []byte) bool {
	k := keyOf(leaf)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	return e == nil || e.asking == nil && !now.Before(e.next)
}

// InquireAll is Inquire for many peers, several at the same time.
func (j Judge) InquireAll(ctx context.Context, peers []*pki.Peer) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxQuestions)
	for _, p := range peers {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			j.Inquire(ctx, p)
			<-slots
		})
	}
}

// inquire asks about a peer's certificate if it is time to. Of several who want to
// know the same, one asks, and the others wait for it. The clock is read here,
// since a question takes time.
func (c *Checker) inquire(ctx context.Context, peer *pki.Peer) {
	k := keyOf(peer.Leaf.Raw)
	for ctx.Err() == nil {
		c.mu.Lock()
		now := time.Now()
		e := c.entryLocked(k)
		if e.asking == nil && now.Before(e.next) {
			c.mu.Unlock()
			return
		}
		if done := e.asking; done != nil {
			c.mu.Unlock()
			select {
			case <-done: // if whoever asked has given up, ask ourselves
			case <-ctx.Done():
			}
			continue
		}
		done := make(chan struct{})
		e.asking = done
		c.mu.Unlock()

		a, from, err := c.ask(ctx, peer)

		say := func() {}
		c.mu.Lock()
		e.asking = nil
		if err == nil || ctx.Err() == nil {
			say = c.settleLocked(time.Now(), e, peer, a, from, err)
		}
		c.mu.Unlock()
		close(done)
		say()
		return
	}
}

// entryLocked returns the entry of a certificate, a new one if need be, for which
// that which nobody has asked about for longest makes room.
func (c *Checker) entryLocked(k key) *entry {
	if e := c.entries[k]; e != nil {
		c.order.MoveToFront(e.place)
		return e
	}
	if len(c.entries) >= maxEntries {
		c.forgetOneLocked()
	}
	e := &entry{key: k}
	e.place = c.order.PushFront(e)
	c.entries[k] = e
	return e
}

// forgetOneLocked forgets an entry, but none about which a question is under way;
// there are few of these.
func (c *Checker) forgetOneLocked() {
	for place := c.order.Back(); place != nil; place = place.Prev() {
		if e := place.Value.(*entry); e.asking == nil {
			c.order.Remove(place)
			delete(c.entries, e.key)
			return
		}
	}
}

// ask asks the responders of a peer's certificate, one after the other, and says
// which has answered, or was asked last.
func (c *Checker) ask(ctx context.Context, peer *pki.Peer) (a answer, from *url.URL, err error) {
	list := responders(peer.Leaf)
	if len(list) == 0 || peer.Issuer == nil {
		return answer{}, nil, errNoResponder
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return answer{}, list[0], errors.New("too many questions are under way")
	}
	for i, u := range list {
		from = u
		if c.isSilent(time.Now(), u) {
			err = errSilent
			continue
		}
		if a, err = c.askOne(ctx, u, peer, len(list)-i); err == nil {
			return a, u, nil
		}
	}
	return answer{}, from, err
}

// askOne asks one responder, which may take its share of the time that is left for
// so many.
func (c *Checker) askOne(ctx context.Context, u *url.URL, peer *pki.Peer, left int) (answer, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	a, err := c.fetch(ctx, u, peer.Leaf, peer.Issuer)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Asked++
	var lost *transportError
	if errors.As(err, &lost) && !errors.Is(err, context.Canceled) {
		c.silent.add(time.Now(), u.Host)
	} else if err == nil {
		delete(c.silent, u.Host)
	}
	return a, err
}

// isSilent reports whether a responder did not answer a moment ago. To wait for it
// again would keep up everybody who asks.
func (c *Checker) isSilent(now time.Time, u *url.URL) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, ok := c.silent[u.Host]
	return ok && now.Sub(since) < minGap
}

// settleLocked notes how a question has ended, and returns what logs it, which is
// for when the lock is not held any more.
func (c *Checker) settleLocked(now time.Time, e *entry, peer *pki.Peer, a answer, from *url.URL, err error) (say func()) {
	switch {
	case err != nil:
	case a.thisUpdate.Before(e.answer.thisUpdate):
		// Somebody replays it, or one of several responders lags behind.
		err = errors.New("the answer is older than the last one")
	case a.status == unknown && e.answer.status == revoked:
		err = errUnknown // which does not take back that it was revoked
	}
	if err != nil {
		e.fault, e.next = err, now.Add(minGap)
		if errors.Is(err, errNoResponder) {
			e.next = now.Add(maxLife) // the certificate does not change
		}
		return c.reportFaultLocked(now, peer, from, err)
	}
	before := e.answer.status
	e.answer, e.fault, e.next = a, nil, c.nextQuestion(now, &a)
	return c.reportAnswerLocked(now, peer, from, &a, before)
}

// nextQuestion returns when to ask again after an answer: well before its end, so
// that a responder that is away for a moment does not matter.
func (c *Checker) nextQuestion(now time.Time, a *answer) time.Time {
	life := min(maxLife, a.end().Sub(now))
	if a.status == unknown {
		life = min(unknownLife, life)
	}
	share := 0.8 + 0.15*c.jitter()
	return now.Add(max(minGap, time.Duration(share*float64(life))))
}
