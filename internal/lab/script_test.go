package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A script is a world in which programs only write what is expected of them.
// Its times are those of a synctest bubble.
type script struct {
	// Deviations from what is expected.
	errs      map[string]error         // by method
	measured  map[int]Behaviour        // by peer
	silent    map[string]bool          // messages that nobody logs
	pinged    func(*PingResult)        // spoils the result of every ping with answers
	delivered func([]Delivery)         // spoils the result of a broadcast
	streamed  func(*StreamResult)      // spoils the result of a stream
	answers   map[string]string        // of clients, by command
	traffic   uint64                   // bytes that the RDV saw, beyond some
	miracle   bool                     // hopeless pairs answer
	inClear   bool                     // clients register in clear, whatever the mode
	mode      string                   // of the RDV
	tap       bool                     // clients carry frames
	relay     string                   // by which sessions begin
	direct    time.Duration            // after which they leave it, where theory lets them; 0: never
	blocked   map[string]chan struct{} // closed when a method is reached, which then waits for its context

	plan  []Kind
	mu    sync.Mutex // protects the following
	calls []string
	logs  map[int][]string // by peer; lines of the future are not there yet
}

func newScript() *script {
	return &script{
		errs: map[string]error{}, measured: map[int]Behaviour{}, silent: map[string]bool{},
		blocked: map[string]chan struct{}{}, logs: map[int][]string{}, answers: map[string]string{},
	}
}

// call notes a call and returns the error that it is to have.
func (s *script) call(ctx context.Context, method string, args ...any) error {
	s.mu.Lock()
	s.calls = append(s.calls, strings.TrimSpace(fmt.Sprintln(append([]any{method}, args...)...)))
	s.mu.Unlock()
	if c := s.blocked[method]; c != nil {
		close(c)
		<-ctx.Done()
		return ctx.Err()
	}
	return s.errs[method]
}

// log writes a line after some time.
func (s *script) log(who int, after time.Duration, msg string, args ...any) {
	if s.silent[msg] {
		return
	}
	line := map[string]any{"time": time.Now().Add(after).Format(time.RFC3339Nano), "level": "DEBUG", "msg": msg}
	for i := 0; i < len(args); i += 2 {
		line[args[i].(string)] = args[i+1]
	}
	b, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[who] = append(s.logs[who], string(b))
}

func (s *script) Build(ctx context.Context, plan []Kind) (Topology, error) {
	s.plan = plan
	top := Topology{Lab: "test1", Server: nth(internet4, 10)}
	for i, k := range plan {
		p := PeerPlace{Addr: nth(internet4, 20+i)}
		if k != None {
			p = PeerPlace{Addr: netip.AddrFrom4([4]byte{192, 168, byte(i + 1), 2}), NAT: fmt.Sprintf("nat%d", i+1), Outer: nth(internet4, 20+i)}
		}
		top.Peers = append(top.Peers, p)
	}
	return top, s.call(ctx, "Build", plan)
}

func (s *script) Measure(ctx context.Context, peer int) (Behaviour, error) {
	b, ok := s.measured[peer]
	if !ok {
		b = s.plan[peer].Behaviour()
	}
	return b, s.call(ctx, "Measure", peer)
}

func (s *script) Certify(ctx context.Context) error { return s.call(ctx, "Certify") }

func (s *script) StartServer(ctx context.Context) (string, error) {
	s.log(theServer, 100*ms, "Server listening on port {port}", "port", 57888)
	return "in PATH", s.call(ctx, "StartServer")
}

func (s *script) StartClient(ctx context.Context, peer int) error {
	args := []any{"server", "203.0.113.10:57888"}
	if s.mode != "" && s.mode != openRDV && !s.inClear {
		args = append(args, "certificate", "rdv")
	}
	s.log(peer, 20*ms, msgRegistered, args...)
	if s.tap {
		for other := range s.plan {
			if other != peer {
				s.log(peer, 50*ms, msgOpened, "peer", vpnAddr(other).String())
			}
		}
	}
	return s.call(ctx, "StartClient", peer)
}

func (s *script) Await(ctx context.Context, who int, since time.Time, p Pattern) (LogLine, error) {
	ticker := time.NewTicker(20 * ms)
	defer ticker.Stop()
	for {
		s.mu.Lock()
		lines := slices.Clone(s.logs[who])
		s.mu.Unlock()
		for _, text := range lines {
			l := ParseLogLine([]byte(text))
			if !l.Time.After(time.Now()) && !l.Time.Before(since) && p.Matches(l) {
				return l, nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return LogLine{}, fmt.Errorf("%s did not log %v: %w", nameOf(who), p, context.Cause(ctx))
		}
	}
}

// Ping lets the clients write what a first contact makes them write.
func (s *script) Ping(ctx context.Context, from, to int, o PingOptions) (PingResult, error) {
	o = o.withDefaults()
	r := PingResult{To: vpnAddr(to), Start: time.Now(), RTT: slices.Repeat([]time.Duration{Lost}, o.Count)}
	peer := vpnAddr(to).String()
	s.log(from, ms, msgAsking, "peer", peer)
	s.log(from, 2*ms, msgPunching, "peer", peer, "addr", "203.0.113.21:4000")
	if !Direct(s.plan[from], s.plan[to]) && !s.miracle && s.relay == "" {
		time.Sleep(time.Duration(o.Count)*o.Interval + o.Patience)
		return r, s.call(ctx, "Ping", from, to, o.Count)
	}
	s.log(from, 4*ms, msgPathOpen, "peer", peer)
	opened := []any{"peer", peer, "cipher", "AES_256_GCM", "took", 11 * ms}
	if s.relay != "" {
		opened = append(opened, "relay", s.relay)
		s.log(from, 20*ms, msgMoved, "peer", peer, "relay", "another:1")
		if s.direct > 0 && Direct(s.plan[from], s.plan[to]) {
			s.log(from, s.direct, msgMoved, "peer", peer, "addr", "203.0.113.21:4000")
		}
	}
	s.log(from, 12*ms, msgOpened, opened...)
	for i := range r.RTT {
		r.RTT[i] = 300 * time.Microsecond
	}
	r.RTT[0] = 13 * ms
	if s.pinged != nil {
		s.pinged(&r)
	}
	time.Sleep(time.Duration(o.Count) * o.Interval)
	return r, s.call(ctx, "Ping", from, to, o.Count)
}

func (s *script) Broadcast(ctx context.Context, from int, to []int) ([]Delivery, error) {
	var all []Delivery
	for i, peer := range to {
		all = append(all, Delivery{Node: nameOf(peer), After: time.Duration(i+1) * ms, Source: netip.AddrPortFrom(vpnAddr(from), 5), Copies: 1})
	}
	if s.delivered != nil {
		s.delivered(all)
	}
	return all, s.call(ctx, "Broadcast", from, to)
}

func (s *script) Bulk(ctx context.Context, from, to int, size int64) (BulkResult, error) {
	time.Sleep(time.Second)
	s.log(from, idleTimeout, msgTimeout, "peer", vpnAddr(to).String())
	s.log(to, idleTimeout+ms, msgClosed, "peer", vpnAddr(from).String())
	return BulkResult{Bytes: size, Took: time.Second, SHA256: strings.Repeat("ab", 32)}, s.call(ctx, "Bulk", from, to, size)
}

func (s *script) ServerTraffic() (Traffic, error) {
	s.mu.Lock()
	n := len(s.calls)
	s.mu.Unlock()
	t := Traffic{RxPackets: 10 + uint64(n), RxBytes: 1000 + 100*uint64(n)}
	if s.called("Bulk") {
		t.TxBytes = s.traffic
	}
	return t, s.call(context.Background(), "ServerTraffic")
}

func (s *script) Tail(who int) string { return "the last words of " + nameOf(who) + "\n" }

func (s *script) Keep() ([]string, error) {
	return []string{"enter it so"}, s.call(context.Background(), "Keep")
}

func (s *script) Close() error { return s.call(context.Background(), "Close") }

// called reports whether a method was called.
func (s *script) called(method string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.calls, func(c string) bool { return c == method || strings.HasPrefix(c, method+" ") })
}
