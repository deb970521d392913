package portmap

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Times of questions to a gateway.
const (
	// helloTime is how long a gateway may take to show that it speaks a protocol;
	// UPnP lets it wait for a second.
	helloTime = 1500 * time.Millisecond
	// askTime is how long a request may take.
	askTime = 2 * time.Second
	// removeTime is how long the end of a program may be delayed.
	removeTime = 800 * time.Millisecond
	// lookTime is how often we look for the gateway, beside when the system tells
	// of a change.
	lookTime = 30 * time.Second
)

// Config says what a [Mapper] is to do.
type Config struct {
	// Port is the UDP port of ours that is to be reached.
	Port uint16

	// Local is the address that its socket is bound to, if it is bound to one.
	// The zero Addr and unspecified addresses stand for none.
	Local netip.Addr

	// Interface is the network interface that its socket is bound to; "": none.
	Interface string

	// IPv6 says that the socket takes IPv6, too.
	IPv6 bool

	// Lifetime is asked for; 0 is two hours.
	Lifetime time.Duration

	// Methods are used, the preferred one first; nil stands for all.
	Methods []Method

	// Changed is called with the addresses at which the port can be reached,
	// whenever they change; nil: nobody is. The calls are one after the other,
	// during Run.
	Changed func(context.Context, []netip.AddrPort)

	// Log hears once about each change; nil means nobody.
	Log *slog.Logger
}

// A Status tells of the mapping of one family of addresses.
type Status struct {
	IPv6     bool
	Way      Way            // the zero Way: there is no gateway
	Method   Method         // 0: there is no mapping
	External netip.AddrPort // the outer address
	Since    time.Time      // of this outer address
	Expires  time.Time      // zero: never
	Reason   string         // there is no mapping, for people
}

// Private reports whether the outer address is one that the Internet does not reach:
// the gateway is itself behind a NAT.
func (s Status) Private() bool { return s.Method != 0 && isPrivate(s.External.Addr()) }

// A Mapper keeps a port forwarded. Run does it; Status may be called by anybody at any
// time.
type Mapper struct {
	cfg   Config
	ready chan struct{} // of a keeper to Run: its status has changed

	mu       sync.Mutex // guards the following
	statuses []Status   // of the keepers
}

// New returns a Mapper.
func New(cfg Config) *Mapper {
	if cfg.Methods == nil {
		cfg.Methods = Methods()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Changed == nil {
		cfg.Changed = func(context.Context, []netip.AddrPort) {}
	}
	if cfg.Local.IsUnspecified() {
		cfg.Local = netip.Addr{}
	}
	m := &Mapper{cfg: cfg, ready: make(chan struct{}, 1)}
	for _, v6 := range m.families() {
		m.statuses = append(m.statuses, Status{IPv6: v6, Reason: errSearching.Error()})
	}
	return m
}

// families returns whether to ask for IPv6, for each mapping.
func (m *Mapper) families() (list []bool) {
	if !m.cfg.Local.IsValid() || m.cfg.Local.Unmap().Is4() {
		list = append(list, false)
	}
	if m.cfg.IPv6 && (!m.cfg.Local.IsValid() || !m.cfg.Local.Unmap().Is4()) && slices.Contains(m.cfg.Methods, PCP) {
		list = append(list, true)
	}
	return list
}

// Status returns how the mappings are, that of IPv4 first.
func (m *Mapper) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Clone(m.statuses)
	if len(list) < 2 {
		return list
	}
	// That a family has no gateway is worth a word only if neither has.
	return slices.DeleteFunc(list, func(s Status) bool {
		return s.IPv6 && !s.Way.Gateway.IsValid() && !s.External.IsValid()
	})
}

// Run keeps the port forwarded until ctx is done. Then it asks the gateway to end that,
// and returns, at most a second later. It returns nil.
func (m *Mapper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	var keepers []*keeper
	for i, v6 := range m.families() {
		keepers = append(keepers, newKeeper(m, i, v6))
	}
	wg.Go(func() {
		watchWays(ctx, func() {
			for _, k := range keepers {
				wake(k.look)
			}
		})
	})
	for _, k := range keepers {
		wg.Go(func() { k.run(ctx) })
	}
	var before []netip.AddrPort
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.ready:
		}
		if now := m.addresses(); !slices.Equal(now, before) {
			m.cfg.Changed(ctx, now)
			before = now
		}
	}
}

// addresses returns where the port can be reached.
func (m *Mapper) addresses() (list []netip.AddrPort) {
	for _, s := range m.Status() {
		if s.Method != 0 {
			list = append(list, s.External)
		}
	}
	return list
}

// publish makes s the status of the keeper with that index.
func (m *Mapper) publish(index int, s Status) {
	m.mu.Lock()
	m.statuses[index] = s
	m.mu.Unlock()
	wake(m.ready)
}

// wake wakes who waits at c, which has room for one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// A keeper keeps one mapping. It is owned by the goroutine of run.
type keeper struct {
	m     *Mapper
	index int
	v6    bool
	log   *slog.Logger

	look  chan struct{} // the way may be another; has room for one
	heard chan struct{} // there was an announcement; has room for one

	lease   *lease
	speaker speaker // that the gateway is asked by; nil: none yet
	nonce   nonce   // for PCP, as long as the way is the same
	since   time.Time
	told    Status             // what was logged and published last
	logged  bool               // that there is no mapping
	deaf    context.CancelFunc // ends to listen to announcements
	wg      sync.WaitGroup     // goroutines of ours
}

func newKeeper(m *Mapper, index int, v6 bool) *keeper {
	return &keeper{
		m: m, index: index, v6: v6, log: m.cfg.Log,
		look: make(chan struct{}, 1), heard: make(chan struct{}, 1),
		lease: newLease(m.cfg.Port, m.cfg.Lifetime),
		deaf:  func() {},
	}
}

// run keeps the mapping until ctx is done, and removes it then.
func (k *keeper) run(ctx context.Context) {
	defer k.wg.Wait()
	defer func() { k.deaf() }()
	k.findWay(ctx, time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if t := k.lease.due(time.Now()); t != rest {
			k.perform(ctx, t)
			k.report(time.Now())
			continue
		}
		k.report(time.Now())
		timer.Reset(k.pause(time.Now()))
		select {
		case <-ctx.Done():
		case <-timer.C:
			k.findWay(ctx, time.Now())
		case <-k.look:
			k.findWay(ctx, time.Now())
		case <-k.heard:
			k.lease.announced(time.Now())
		}
	}
	k.remove(ctx)
}

// pause returns for how long there is nothing to do.
func (k *keeper) pause(now time.Time) time.Duration {
	next := now.Add(lookTime)
	if t := k.lease.timeout(); !t.IsZero() && t.Before(next) {
		next = t
	}
	return next.Sub(now)
}

// findWay looks where the gateway is.
func (k *keeper) findWay(ctx context.Context, now time.Time) {
	w, err := findWay(k.v6, k.m.cfg.Interface, k.m.cfg.Local)
	if err != nil {
		k.log.Debug("The gateway cannot be found out", "err", err)
		w = Way{}
	}
	if w == k.lease.way {
		return
	}
	k.lease.moved(now, w)
	k.speaker, k.nonce = nil, newNonce()
	k.deaf()
	if !w.Gateway.IsValid() {
		return
	}
	ctx, k.deaf = context.WithCancel(ctx)
	k.wg.Go(func() { listenAnnouncements(ctx, w, k.log, func() { wake(k.heard) }) })
}

// perform does what is due.
func (k *keeper) perform(ctx context.Context, t task) {
	switch t {
	case search:
		m, g, err := k.search(ctx)
		if err != nil {
			k.lease.failed(time.Now(), t, err)
			return
		}
		k.lease.granted(time.Now(), m, g)
	case renew:
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		g, err := k.speaker.ask(ctx, k.lease.wish())
		if err != nil {
			k.log.Debug("The gateway does not renew the port mapping", "err", err)
			k.lease.failed(time.Now(), t, err)
			return
		}
		k.log.Debug("The gateway has renewed the port mapping", "external", g.external, "lifetime", g.lifetime)
		k.lease.granted(time.Now(), k.lease.method, g)
	case check:
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		p, err := k.speaker.check(ctx, k.lease.grant.external)
		if err != nil {
			k.lease.failed(time.Now(), t, err)
			return
		}
		k.lease.checked(time.Now(), p)
	}
}

// remove asks the gateway to forget, for a short time.
func (k *keeper) remove(ctx context.Context) {
	if k.speaker == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	if err := k.speaker.remove(ctx, k.lease.wish(), k.lease.grant.external); err != nil {
		k.log.Debug("The gateway does not end the port mapping; it ends by itself", "err", err)
	}
}

// report publishes how the mapping is, and logs what is new.
func (k *keeper) report(now time.Time) {
	l := k.lease
	s := Status{IPv6: k.v6, Way: l.way}
	if l.held() {
		s.Method, s.External, s.Expires = l.method, l.grant.external, l.expires
	} else {
		s.Reason = describe(l.way, l.why)
	}
	before := k.told
	if s.Method != before.Method || s.External != before.External {
		k.since = now
	}
	if s.Method != 0 {
		s.Since = k.since
	}
	if s == before {
		return
	}
	k.told = s
	k.m.publish(k.index, s)
	k.tell(before, s)
}

// tell logs a change.
func (k *keeper) tell(before, s Status) {
	switch {
	case s.Method != 0 && (s.Method != before.Method || s.External != before.External):
		k.logged = false
		args := []any{"external", s.External, "method", s.Method.String(), "gateway", s.Way.Gateway}
		if s.Private() {
			args = append(args, "hint", "the outer address is private: there is another NAT behind the gateway, which knows nothing of it")
		}
		k.log.Info("The gateway forwards our port", args...)
	case s.Method == 0 && !k.logged && !errors.Is(k.lease.why, errSearching):
		// IPv6 has nothing to be forwarded, mostly: only a loss is news.
		if k.logged = true; !k.v6 || before.Method != 0 {
			k.log.Info("No port mapping", "why", s.Reason)
		}
	}
}
