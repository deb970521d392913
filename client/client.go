package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/filter"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/record"
)

// How much may wait for control. What comes from where does not share a queue,
// so that a flood of one kind does not displace another.
const (
	queueRDV     = 64  // messages in clear from the RDV's address
	queueChannel = 64  // datagrams of the channel, and of its gate, from there
	queuePunches = 256 // punches that name a peer we look for
	queueRecords = 256 // datagrams of handshakes
	queueInner   = 64  // contents of authentic records that are not data
	queuePackets = 256 // packets for peers without a session
	queueNotes   = 256 // what there is to tell about frames
	queueGroups  = 256 // frames about multicast groups
	queuePaths   = 16  // errors of extra sockets
	queueRelays  = 32  // datagrams between peers for whom we may relay
)

// A Client is one node of the VPN. Run starts and stops it; the other methods
// are safe for concurrent use.
type Client struct {
	cfg   Config
	log   *slog.Logger
	clock tunnel.Clock

	table atomic.Pointer[table] // from control
	drops tunnel.Drops

	// To control. Never closed.
	fromRDV  chan event
	channel  chan event
	punches  chan event
	records  chan event
	inner    chan event
	packets  chan event
	notes    chan event
	groups   chan event
	relays   chan event
	finished chan handshakeEnd
	shaken   chan shakeEnd
	checked  chan checkEnd
	opened   chan openEnd
	streamed chan event // of streams: a datagram, or, without data, that it has ended
	calls    chan func(now time.Time)
	paths    chan punch.PathError // of extra sockets
	storing  chan struct{}        // has room for one: who has put it there may call the ObjectStore
	done     chan struct{}        // closed when Run returns

	tap atomic.Pointer[stunTap] // of the check that runs; nil: none does

	sealers chan *outbound // spare ones, for sockets through peers

	control // owned by the control goroutine
}

// control is the state that the control goroutine owns.
type control struct {
	ctx      context.Context // of Run
	wg       *sync.WaitGroup // its goroutines
	set      Settings
	changes  int          // of set
	flows    *filter.Pool // that the policy lets pass
	sweepAt  time.Time    // when to look for flows that have ended
	shaper   *shaper      // nil: no limits
	unshape  func()       // ends the shaper's goroutine
	servers  serverList
	offers   map[string][]punch.Candidate // of ours, by who has found them
	nat      nat.Behaviour                // between us and the Internet
	checker  natChecker                   // of what nat says
	blocked  bool                         // UDP is: RDVs answer by streams only
	said     said                         // what was logged, and is not to be logged again
	peers    map[netip.Addr]*peer         // by the VPN address that they are known by
	claims   claims                       // by what their certificates say
	gateways []Gateway                    // as they were reported last
	ends     map[netip.AddrPort]*peer     // by UDP address: of sessions and candidates
	due      timers
	eth      *ethernet // nil: we carry packets
	refused  refusals
	failures failures
	tried    trials // what came of the last try at each peer
	recent   recent // refusals
	tally    Tally
	dossiers dossiers
	asks     bucket
	outbox   []outgoing
	batch    []punch.Datagram // scratch
	closing  []punch.Conn     // once the outbox is empty
	hard     hardDesk
	turn     turnDesk
	dials    int // of peers, by TCP, that are under way
	relay    relayDesk
	shared   map[punch.Conn]bool // sockets that several peers may be reached by, and that no session closes
	lost     []punch.Conn        // of these, such as are gone, which those peers are to be told
	tmp      record.Scratch
	messages []punch.Out // scratch

	asking   []*asking // the VPN's authority
	pings    pingTable
	censuses []*census
}

// An event is something that the data path has for control. Its data is a copy.
type event struct {
	addr    netip.AddrPort // where it came from; not of a packet
	conn    punch.Conn     // the extra socket by which it came; nil: the primary one
	msg     wire.Message
	data    []byte             // datagram, record content, or packet
	dst     netip.Addr         // of a packet
	session *tunnel.Session    // of a record content
	typ     record.ContentType // of a record content
	drop    tunnel.Drop        // what to report about session
	woken   bool               // session is used again after a pause
	stray   bool               // a newer record of session came from addr, which is not one of its sources
	note    l2.Note            // about a frame, which is data if it waits for a tunnel
}

// at returns where an event came from.
func (e *event) at() punch.Endpoint { return punch.Endpoint{Addr: e.addr, Conn: e.conn} }

// New returns a Client. It returns an error if the configuration lacks
// something.
func New(cfg Config) (*Client, error) {
	switch {
	case !cfg.VPNAddr.Is4():
		return nil, fmt.Errorf("client: VPN address %v is not an IPv4 address", cfg.VPNAddr)
	case !cfg.Network.Contains(cfg.VPNAddr):
		return nil, fmt.Errorf("client: VPN address %v is not in the network %v", cfg.VPNAddr, cfg.Network)
	case cfg.VPNAddr6.IsValid() != cfg.Network6.IsValid(), cfg.Network6.IsValid() && !cfg.usableIPv6():
		return nil, fmt.Errorf("client: IPv6 address %v and network %v of the VPN do not fit together", cfg.VPNAddr6, cfg.Network6)
	case cfg.Conn == nil, cfg.Device == nil:
		return nil, errors.New("client: incomplete configuration")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := cfg.Ethernet.check(cfg.Device); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	c := &Client{
		cfg:      cfg,
		log:      cfg.Log,
		fromRDV:  make(chan event, queueRDV),
		channel:  make(chan event, queueChannel),
		punches:  make(chan event, queuePunches),
		records:  make(chan event, queueRecords),
		inner:    make(chan event, queueInner),
		packets:  make(chan event, queuePackets),
		notes:    make(chan event, queueNotes),
		groups:   make(chan event, queueGroups),
		relays:   make(chan event, queueRelays),
		sealers:  make(chan *outbound, spareSealers),
		finished: make(chan handshakeEnd),
		shaken:   make(chan shakeEnd),
		checked:  make(chan checkEnd),
		opened:   make(chan openEnd),
		streamed: make(chan event),
		calls:    make(chan func(time.Time)),
		paths:    make(chan punch.PathError, queuePaths),
		storing:  make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
	c.set = cfg.Settings.withDefaults()
	c.table.Store(c.newTable())
	c.peers = map[netip.Addr]*peer{}
	c.claims = newClaims()
	c.settleOwn(c.table.Load(), Settings{})
	c.ends = map[netip.AddrPort]*peer{}
	return c, nil
}

// Run runs the client until ctx is done or the device or the socket fails. It
// tells the RDV and the peers good-bye, closes device and socket, and returns
// when every goroutine that it started has ended. It returns nil if ctx ended
// it.
func (c *Client) Run(ctx context.Context) error {
	defer close(c.done)
	outer := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	now := time.Now()
	c.clock = tunnel.NewClock(now)
	c.flows = filter.NewPool(now, filter.Limits{})
	c.ctx = ctx
	c.wg = new(sync.WaitGroup)
	c.enlist(now, nil)
	c.enlistRelays(now)

	c.shape(now)
	c.startEthernet(now)
	c.carry(fail)
	if c.cfg.Accept != nil {
		c.share(c.cfg.Accept)
	}
	c.loop()
	c.asking = nil // who waits for an answer sees done
	c.goodbye(time.Now())
	c.cfg.Conn.Close()
	if c.cfg.Accept != nil {
		c.cfg.Accept.Close()
	}
	c.cfg.Device.Close()
	c.wg.Wait()
	// Whoever ended outer knows why: that a signal did is no failure of ours.
	if err := context.Cause(ctx); err != nil && err != context.Cause(outer) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// carry starts the data path: a goroutine for each socket and for each queue of
// the device.
func (c *Client) carry(fail func(error)) {
	conns := append([]punch.Conn{c.cfg.Conn}, c.cfg.More...)
	queues := append([]device.Queue{c.cfg.Device}, c.cfg.Device.More()...)
	for i, conn := range conns {
		c.wg.Go(func() { fail(c.fromNet(conn, queues[i%len(queues)])) })
	}
	for i, q := range queues {
		c.wg.Go(func() { fail(c.fromDev(q, conns[i%len(conns)])) })
	}
}

// loop is the control goroutine: one event or one moment at a time, then what is
// to be sent.
func (c *Client) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-timer.C:
		case e := <-c.fromRDV:
			c.handleRDV(time.Now(), e.addr, e.msg)
		case e := <-c.channel:
			c.handleChannel(time.Now(), c.serverAt(e.addr), nil, e.addr, e.data)
		case e := <-c.opened:
			c.handleOpened(time.Now(), e)
		case e := <-c.streamed:
			c.handleStreamed(time.Now(), e)
		case e := <-c.shaken:
			c.handleShaken(time.Now(), e)
		case e := <-c.punches:
			c.handlePunch(time.Now(), e.at(), e.msg)
		case e := <-c.records:
			c.handleRecords(time.Now(), e.at(), e.data)
		case e := <-c.inner:
			c.handleInner(time.Now(), e)
		case e := <-c.packets:
			c.handlePacket(time.Now(), e.dst, e.data)
		case e := <-c.notes:
			c.handleNote(time.Now(), e.note, e.data)
		case e := <-c.groups:
			c.handleGroups(time.Now(), e.data)
		case e := <-c.relays:
			c.handleRelay(time.Now(), e)
		case e := <-c.cfg.PathErrors:
			c.handlePathError(time.Now(), e)
		case e := <-c.paths:
			c.handlePathError(time.Now(), e)
		case e := <-c.finished:
			c.handleFinished(time.Now(), e)
		case e := <-c.checked:
			c.handleChecked(time.Now(), e)
		case f := <-c.calls:
			f(time.Now())
		}
		now := time.Now()
		c.advance(now)
		c.flush()
		c.reportGateways()
		timer.Reset(c.timeout(now).Sub(now))
	}
}

// advance does what is due.
func (c *Client) advance(now time.Time) {
	c.advanceServers(now)
	c.advanceChecker(now)
	c.sweepFlows(now)
	c.sweepRelays(now)
	c.advanceEthernet(now)
	for p := c.due.pop(now); p != nil; p = c.due.pop(now) {
		c.advancePeer(now, p)
	}
	c.lostThrough(now)
}

// timeout returns when advance has something to do next.
func (c *Client) timeout(now time.Time) time.Time {
	next := now.Add(time.Hour) // while a handshake runs there may be nothing else
	for _, t := range [...]time.Time{c.serversTimeout(), c.due.next(), c.eth.timeout(), c.checker.timeout(c.registered() && !c.blocked), c.turn.next} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

func (c *Client) sendMessage(to netip.AddrPort, m wire.Message) {
	c.sendMessageTo(punch.Endpoint{Addr: to}, m)
}

// sendMessageTo is sendMessage to where a peer is.
func (c *Client) sendMessageTo(at punch.Endpoint, m wire.Message) {
	c.logMessage(at.Addr, m)
	c.sendTo(at, m.Append(nil))
}

// logMessage logs that a message is sent.
func (c *Client) logMessage(to netip.AddrPort, m wire.Message) {
	if c.log.Enabled(c.ctx, slog.LevelDebug) {
		switch m.Type {
		case wire.Hello, wire.Bye: // the original's words
			c.log.Debug("Sending " + m.Type.String())
		}
		c.log.Debug(">> "+m.Type.String(), "to", to)
	}
}

// publish makes the data path see t.
func (c *Client) publish(t *table) { c.table.Store(t) }

// goodbye leaves: the RDVs are told first, then the peers.
func (c *Client) goodbye(now time.Time) {
	for _, r := range c.servers.rdvs {
		c.leaveServer(now, r)
	}
	for _, p := range c.peersInOrder() {
		c.stopTry(p)
		if p.session != nil {
			c.log.Info("Closing DTLS connection with peer", "peer", p.vpn)
			p.ending = "this host leaves"
			c.closeSession(now, p)
		}
		c.settle(p)
	}
	c.unshareAll()
	c.flush()
}

// reportRegistration logs what the registration at an RDV has to say.
func (c *Client) reportRegistration(now time.Time, r *rendezvous, ev regEvent) {
	server := r.at
	c.notifyServer(r, ev)
	switch ev {
	case regTrying:
		c.log.Info("Registering with the RDV server...", "server", server)
	case regDone:
		c.log.Info("Registration complete", "server", server)
		c.seekAgain(now)
		c.unlisted(r, "it has no authenticated channel")
	case regRefused:
		c.recent.note(now, netip.Addr{}, CodeRegistration, errRejected)
		hint := "another client may hold this VPN address; trying again"
		if server.Addr().Is6() {
			hint = "over IPv6 it takes clients with a certificate, at a server with one; give server_host an IPv4 address for others"
		}
		c.log.Warn("The RDV server rejected the client", "server", server, "vpn_ip", c.cfg.VPNAddr,
			"hint", hint, "code", CodeRegistration)
	case regFailed:
		c.log.Warn("The connection with the RDV server failed", "server", server,
			"hint", "no answer; trying again")
	case regSilent:
		c.log.Warn("The RDV server no longer answers", "server", server,
			"hint", "open tunnels stay; trying again")
	case regBack:
		c.log.Info("The RDV server answers again", "server", server)
	}
}
