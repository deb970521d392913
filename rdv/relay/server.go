package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// Defaults of a [Config].
const (
	DefaultFirst, DefaultLast = 49152, 50151 // of the ports for dynamic use (RFC 6335)

	DefaultPerMember = 2
	DefaultClients   = 200

	// DefaultRate is 100 Mbit/s, and DefaultTotal 1 Gbit/s.
	DefaultRate  = 12_500_000
	DefaultTotal = 125_000_000
)

// Limits of one allocation. A client has a permission for each peer, or a few where
// one has several addresses.
const (
	maxPermissions = 64
	maxChannels    = 64

	// controlRate bounds the messages of a client with an allocation, each second:
	// requests, of which it needs a few a minute, and data without a channel, with
	// which a path begins.
	controlRate  = 500
	controlBurst = 100
)

// maxMessage is the size of the largest message of a client that is looked at.
const maxMessage = 1500

// ownInterval is how often the addresses of this host are looked up.
const ownInterval = 10 * time.Second

// A Link carries what is for clients: the socket on which the RDV is reached, or
// connections. Clients are told apart by their addresses. Send is as that of
// [punch.Conn]; what cannot be sent without waiting for a client is dropped.
type Link interface {
	Send(ds []punch.Datagram) error
	LocalAddr() netip.AddrPort
}

// Config says how to relay.
type Config struct {
	// Links are the ways to clients; each gets a [Door].
	Links []Link

	// Listen opens the socket of an allocation.
	Listen func(netip.AddrPort) (punch.Conn, error)

	// First and Last are the first and the last port for relayed addresses.
	First, Last uint16

	// Addrs are this host's addresses as peers know them, one of a family, if they
	// are not the ones that clients use.
	Addrs []netip.Addr

	// Own returns the addresses of this host, to which nothing is relayed. It is
	// called every ten seconds.
	Own func() []netip.Addr

	// May says whereto clients may have data relayed; nil is [Public].
	May func(netip.Addr) bool

	// Secret checks credentials.
	Secret *Secret

	// Realm is the realm of credentials, for people.
	Realm string

	// PerMember is how many allocations a member can have, and Clients how many
	// there are in all; 0 means the default.
	PerMember, Clients int

	// Rate is how many bytes a second a member can have relayed, both ways together,
	// and Total how many all can; 0 means any number. Headers do not count.
	Rate, Total int64

	// Log takes what happens to allocations; nil means nowhere.
	Log *slog.Logger
}

// withDefaults returns cfg with its zero values replaced.
func (cfg Config) withDefaults() Config {
	if cfg.First == 0 {
		cfg.First, cfg.Last = DefaultFirst, DefaultLast
	}
	if cfg.PerMember <= 0 {
		cfg.PerMember = DefaultPerMember
	}
	if cfg.Clients <= 0 {
		cfg.Clients = DefaultClients
	}
	if cfg.May == nil {
		cfg.May = Public
	}
	if cfg.Own == nil {
		cfg.Own = func() []netip.Addr { return nil }
	}
	if cfg.Realm == "" {
		cfg.Realm = "campagnol"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// A Server is a relay. Its doors take what clients send.
type Server struct {
	cfg   Config
	log   *slog.Logger
	doors []*Door
	begin time.Time
	total bucket
	stats stats

	// Tables of the data path, which do not change once they are published.
	relayed atomic.Pointer[map[netip.AddrPort]*allocation]
	own     atomic.Pointer[map[netip.Addr]bool]

	arenas  chan *arena    // buffers of those that wait for nothing but the link
	readers sync.WaitGroup // of sockets
	ending  chan struct{}  // closed when Run ends
	watch   func(Event)    // nil: nobody wants to know

	mu     sync.Mutex // guards the rest, and is held for no longer than it takes to look
	closed bool
	users  map[string]*user
	count  int
}

// A user is a member that has allocations.
type user struct {
	name        string
	rate        bucket
	bytes       atomic.Uint64 // of data, both ways together
	allocations int
}

// New returns a relay that has not started yet.
func New(cfg Config) *Server {
	s := &Server{
		cfg:    cfg.withDefaults(),
		begin:  time.Now(),
		ending: make(chan struct{}),
		arenas: make(chan *arena, arenaCount),
		users:  map[string]*user{},
	}
	s.log = s.cfg.Log
	s.total.setRate(s.cfg.Total, leastBurst)
	for range arenaCount {
		s.arenas <- &arena{buf: make([]byte, 0, arenaSize)}
	}
	s.relayed.Store(&map[netip.AddrPort]*allocation{})
	s.lookUp()
	for _, link := range s.cfg.Links {
		s.doors = append(s.doors, newDoor(s, link))
	}
	return s
}

// Door returns the door of a link.
func (s *Server) Door(i int) *Door { return s.doors[i] }

// Run relays until ctx is done, and ends all allocations then. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.stop()
	for _, d := range s.doors {
		server, err := d.open()
		if err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		defer server.Close()
	}
	tick := time.NewTicker(ownInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.lookUp()
		}
	}
}

// open hands a door to pion/turn, which starts a goroutine for it.
func (d *Door) open() (*turn.Server, error) {
	return turn.NewServer(turn.ServerConfig{
		Realm:         d.s.cfg.Realm,
		AuthHandler:   d.s.authenticate,
		QuotaHandler:  d.s.hasQuota,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
		EventHandler:  d.events(),
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: d, RelayAddressGenerator: opener{d}, PermissionHandler: d.permits,
		}},
	})
}

// stop waits for the allocations, which pion/turn ends when their door is closed.
func (s *Server) stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.ending)
	s.readers.Wait()
}

// lookUp publishes which addresses are those of this host.
func (s *Server) lookUp() {
	now := s.cfg.Own()
	if len(now) == 0 && s.own.Load() != nil {
		return // it cannot be told: those of before count
	}
	own := map[netip.Addr]bool{}
	for _, list := range [][]netip.Addr{now, s.cfg.Addrs} {
		for _, a := range list {
			own[a.Unmap().WithZone("")] = true
		}
	}
	s.own.Store(&own)
}

// isOwn reports whether datagrams to an address end at this host.
func (s *Server) isOwn(a netip.Addr) bool {
	own := *s.own.Load()
	return own[a] || own[inner(a)]
}

// since returns a time as the data path counts.
func (s *Server) since(now time.Time) time.Duration { return now.Sub(s.begin) }

// authenticate returns who a user is, for pion/turn.
func (s *Server) authenticate(ra *turn.RequestAttributes) (id string, key []byte, ok bool) {
	vpn, password, ok := s.cfg.Secret.Check(time.Now(), ra.Username)
	if !ok {
		s.stats.denied.Add(1)
		return "", nil, false
	}
	return vpn.String(), turn.GenerateAuthKey(ra.Username, ra.Realm, password), true
}

var (
	errFull  = errors.New("relay: no more allocations")
	errPorts = errors.New("relay: no port is free")
)

// join counts an allocation of a user.
func (s *Server) join(name string) (*user, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[name]
	if s.closed || s.count >= s.cfg.Clients || u != nil && u.allocations >= s.cfg.PerMember {
		s.stats.refused.Add(1)
		return nil, errFull
	}
	if u == nil {
		u = &user{name: name}
		u.rate.setRate(s.cfg.Rate, leastBurst)
		s.users[name] = u
	}
	u.allocations++
	s.count++
	s.stats.allocations.Store(int64(s.count))
	return u, nil
}

// leave takes it back. A user with a rate stays until its bucket is full, lest who
// comes and goes had a fresh one each time: that is a moment, and others tidy up.
func (s *Server) leave(u *user) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.allocations--
	s.count--
	s.stats.allocations.Store(int64(s.count))
	now := s.since(time.Now())
	for name, o := range s.users {
		if o.allocations == 0 && o.rate.due.Load() <= int64(now) {
			delete(s.users, name)
		}
	}
}

// add publishes an allocation.
func (s *Server) add(a *allocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errFull
	}
	publish(&s.relayed, a.relayed, a)
	publish(&a.door.clients, a.client, a)
	s.readers.Go(a.receive)
	return nil
}

// remove takes it out of the tables.
func (s *Server) remove(a *allocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (*s.relayed.Load())[a.relayed] == a {
		publish(&s.relayed, a.relayed, nil)
	}
	if (*a.door.clients.Load())[a.client] == a {
		publish(&a.door.clients, a.client, nil)
	}
}

// publish replaces a table by one with another entry; nil removes it. Server.mu is
// held.
func publish(table *atomic.Pointer[map[netip.AddrPort]*allocation], key netip.AddrPort, a *allocation) {
	old := *table.Load()
	next := make(map[netip.AddrPort]*allocation, len(old)+1)
	for k, v := range old {
		next[k] = v
	}
	if a == nil {
		delete(next, key)
	} else {
		next[key] = a
	}
	table.Store(&next)
}

// hasQuota reports whether a user may have another allocation, for pion/turn, so that
// it is told which limit it has reached.
func (s *Server) hasQuota(name, _ string, _ net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[name]
	ok := u == nil || u.allocations < s.cfg.PerMember
	if !ok {
		s.stats.refused.Add(1)
	}
	return ok
}

// Expel ends the allocations of a member, which is one no more.
func (s *Server) Expel(vpn netip.Addr) {
	name := vpn.Unmap().String()
	for _, a := range *s.relayed.Load() {
		if a.user.name == name {
			a.expelled.Store(true)
		}
	}
	for _, d := range s.doors {
		d.wake()
	}
}
