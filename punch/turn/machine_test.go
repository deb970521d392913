package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// A script plays the relay for a machine, on a clock of its own.
type script struct {
	t    *testing.T
	m    *machine
	now  time.Time
	out  []*stun.Message // what was sent, and not looked at
	owed time.Time
	sent time.Time
}

const (
	realm    = "campagnol"
	password = "secret"
)

var (
	server  = at("198.51.100.1:57888")
	relayed = at("198.51.100.1:50000")
	peerA   = at("203.0.113.2:6000")
	goodKey = stun.NewLongTermIntegrity("alice", realm, password)
)

func newScript(t *testing.T, change func(*Config)) *script {
	cfg := Config{Server: server, User: "alice", Password: password}
	if change != nil {
		change(&cfg)
	}
	s := &script{t: t, m: newMachine(cfg.withDefaults()), now: time.Unix(1_800_000_000, 0)}
	s.m.cfg.epoch = s.now
	s.do(func(out [][]byte) [][]byte { return s.m.start(s.now, out) })
	return s
}

// do has the machine do something, and keeps what it sends.
func (s *script) do(f func(out [][]byte) [][]byte) {
	s.t.Helper()
	for _, b := range f(nil) {
		m := new(stun.Message)
		if !decode(b, m) {
			s.t.Fatalf("the machine sends %x", b)
		}
		s.out = append(s.out, m)
	}
}

// wait lets time go by, in which the machine does what is due.
func (s *script) wait(d time.Duration) {
	s.t.Helper()
	for end := s.now.Add(d); ; {
		next := s.m.next()
		if next.IsZero() || next.After(end) {
			s.now = end
			return
		}
		if next.After(s.now) {
			s.now = next
		}
		s.m.observe(s.sent, s.owed)
		before := len(s.out)
		s.do(func(out [][]byte) [][]byte { return s.m.advance(s.now, out) })
		if len(s.out) == before && s.m.next().Equal(next) {
			s.t.Fatalf("at %v the machine wants to do something, and does nothing", s.now)
		}
	}
}

// request returns the next request, which has to be one of a method.
func (s *script) request(method stun.Method) *stun.Message {
	s.t.Helper()
	if len(s.out) == 0 {
		s.t.Fatalf("no request, want %v", method)
	}
	m := s.out[0]
	s.out = s.out[1:]
	if m.Type != stun.NewType(method, stun.ClassRequest) {
		s.t.Fatalf("request %v, want %v", m.Type, method)
	}
	return m
}

func (s *script) idle() {
	s.t.Helper()
	for _, m := range s.out {
		s.t.Errorf("unwanted request %v", m.Type)
	}
	s.out = nil
}

// give hands the machine a message.
func (s *script) give(set ...stun.Setter) {
	s.t.Helper()
	b := slices.Clone(stun.MustBuild(set...).Raw)
	s.do(func(out [][]byte) [][]byte { return s.m.handle(s.now, b, out) })
}

// answer is a success of a request, refuse an error.
func (s *script) answer(q *stun.Message, key stun.MessageIntegrity, set ...stun.Setter) {
	s.t.Helper()
	set = append([]stun.Setter{stun.NewTransactionIDSetter(q.TransactionID), stun.NewType(q.Type.Method, stun.ClassSuccessResponse)}, set...)
	if key != nil {
		set = append(set, key)
	}
	s.give(set...)
}

func (s *script) refuse(q *stun.Message, code int, set ...stun.Setter) {
	s.t.Helper()
	s.give(append([]stun.Setter{stun.NewTransactionIDSetter(q.TransactionID), stun.NewType(q.Type.Method, stun.ClassErrorResponse),
		stun.ErrorCodeAttribute{Code: stun.ErrorCode(code)}}, set...)...)
}

// value is an attribute with its bytes.
func value(t stun.AttrType, v ...byte) stun.Setter { return stun.RawAttribute{Type: t, Value: v} }

func lifetime(d time.Duration) stun.Setter {
	return value(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))...)
}

// relayedAt is an XOR-RELAYED-ADDRESS.
type relayedAt netip.AddrPort

// AddTo makes it a Setter.
func (a relayedAt) AddTo(m *stun.Message) error {
	m.Add(stun.AttrXORRelayedAddress, appendXOR(nil, m.TransactionID, netip.AddrPort(a)))
	return nil
}

// allocated plays an allocation that is granted.
func allocatedScript(t *testing.T, change func(*Config)) *script {
	t.Helper()
	s := newScript(t, change)
	s.refuse(s.request(stun.MethodAllocate), 401, stun.NewRealm(realm), stun.NewNonce("first"))
	s.wait(20 * time.Millisecond)
	s.grant(s.request(stun.MethodAllocate))
	if s.m.state != standing {
		t.Fatalf("no allocation: %v", s.m.err)
	}
	s.idle()
	return s
}

func (s *script) grant(q *stun.Message) {
	s.t.Helper()
	s.answer(q, goodKey, relayedAt(relayed), lifetime(10*time.Minute))
}

// nonceOf returns the nonce of a request, whose signature is checked.
func (s *script) nonceOf(q *stun.Message) string {
	s.t.Helper()
	if err := goodKey.Check(q); err != nil {
		s.t.Errorf("signature: %v", err)
	}
	n, _ := text(q, stun.AttrNonce)
	return n
}

// TestAllocate: the requests for an allocation, and what they say.
func TestAllocate(t *testing.T) {
	s := newScript(t, func(cfg *Config) { cfg.Family, cfg.Lifetime = IPv6, 20*time.Minute })
	q := s.request(stun.MethodAllocate)
	if q.Contains(stun.AttrUsername) || q.Contains(stun.AttrMessageIntegrity) {
		t.Error("the first request is signed")
	}
	s.refuse(q, 401, stun.NewRealm(realm), stun.NewNonce("first"))
	q = s.request(stun.MethodAllocate)
	if n := s.nonceOf(q); n != "first" {
		t.Errorf("nonce %q", n)
	}
	for attr, want := range map[stun.AttrType]string{
		stun.AttrUsername: "alice", stun.AttrRealm: realm, stun.AttrRequestedTransport: "\x11\x00\x00\x00",
		stun.AttrRequestedAddressFamily: "\x02\x00\x00\x00", stun.AttrLifetime: "\x00\x00\x04\xb0",
	} {
		if v, err := q.Get(attr); err != nil || string(v) != want {
			t.Errorf("%v: %q, %v, want %q", attr, v, err, want)
		}
	}
	s.refuse(q, 438, stun.NewNonce("second"))
	q = s.request(stun.MethodAllocate)
	if n := s.nonceOf(q); n != "second" {
		t.Errorf("nonce %q", n)
	}
	s.wait(30 * time.Millisecond)
	s.answer(q, goodKey, relayedAt(relayed), &stun.XORMappedAddress{IP: []byte{203, 0, 113, 1}, Port: 5000})
	if s.m.state != standing || s.m.relayed != relayed || s.m.mapped != at("203.0.113.1:5000") || s.m.rtt != 30*time.Millisecond {
		t.Errorf("state %d, relayed %v, mapped %v, round trip %v", s.m.state, s.m.relayed, s.m.mapped, s.m.rtt)
	}
	s.idle()
}

// TestRepeats: the times of requests that nobody answers (RFC 8489 section 6.2.1), and
// their end.
func TestRepeats(t *testing.T) {
	for _, c := range []struct {
		reliable bool
		times    []time.Duration // in ms
		end      time.Duration
	}{
		{false, []time.Duration{0, 500, 1500, 3500, 7500, 15500, 31500}, 39500},
		{true, []time.Duration{0}, 39500},
	} {
		s := newScript(t, func(cfg *Config) { cfg.Reliable = c.reliable })
		var got []time.Duration
		begin := s.now
		for s.m.state != lost {
			for range s.out {
				got = append(got, s.now.Sub(begin)/time.Millisecond)
			}
			s.out = nil
			s.wait(10 * time.Millisecond)
		}
		if !slices.Equal(got, c.times) || s.now.Sub(begin) != c.end*time.Millisecond || !errors.Is(s.m.err, ErrSilent) {
			t.Errorf("reliable %v: sent at %v, and at %v %v", c.reliable, got, s.now.Sub(begin), s.m.err)
		}
	}
}

// TestForgedAnswers: what does not prove itself changes nothing.
func TestForgedAnswers(t *testing.T) {
	s := newScript(t, nil)
	q := s.request(stun.MethodAllocate)
	s.answer(q, nil, relayedAt(relayed)) // before credentials are agreed
	s.refuse(q, 401, stun.NewRealm(realm), stun.NewNonce("first"))
	q = s.request(stun.MethodAllocate)
	other := *q
	other.TransactionID[5]++
	refresh := *q
	refresh.Type.Method = stun.MethodRefresh
	wrong := stun.NewLongTermIntegrity("alice", realm, "guess")
	s.answer(q, nil, relayedAt(relayed))
	s.answer(q, wrong, relayedAt(relayed))
	s.answer(&other, goodKey, relayedAt(relayed))
	s.answer(&refresh, goodKey, relayedAt(relayed))
	s.refuse(q, 486, wrong)
	s.refuse(q, 0)
	s.give(stun.NewTransactionIDSetter(q.TransactionID), stun.NewType(stun.MethodAllocate, stun.ClassIndication), goodKey)
	s.idle()
	if s.m.state != asking || s.m.forged != 8 {
		t.Fatalf("state %d, %v; %d forged", s.m.state, s.m.err, s.m.forged)
	}
	s.answer(q, goodKey, lifetime(time.Minute), goodKey, relayedAt(relayed)) // behind the signature
	if s.m.state != lost || !errors.Is(s.m.err, errAnswer) {
		t.Errorf("state %d, %v: an address that is not signed", s.m.state, s.m.err)
	}
}

// TestForgedRefusal: a refusal that nobody has signed does not count before an answer
// that somebody has, and what a forged challenge costs is a round trip.
func TestForgedRefusal(t *testing.T) {
	s := allocatedScript(t, nil)
	s.wait(keepalive)
	q := s.request(stun.MethodRefresh)
	s.refuse(q, 437)
	s.answer(q, goodKey, lifetime(10*time.Minute))
	s.wait(keepalive)
	q = s.request(stun.MethodRefresh)
	s.refuse(q, 438, stun.NewRealm("another"), stun.NewNonce("bad"))
	q = s.request(stun.MethodRefresh)
	if s.nonceOf(q) != "bad" {
		t.Error("the nonce of the answer is not taken")
	}
	s.refuse(q, 438, stun.NewRealm(realm), stun.NewNonce("good"))
	s.answer(s.request(stun.MethodRefresh), goodKey, lifetime(10*time.Minute))
	s.wait(time.Second)
	s.idle()
	if s.m.state != standing || s.m.realm != realm {
		t.Errorf("state %d, %v, realm %q", s.m.state, s.m.err, s.m.realm)
	}
}

// TestRefusedRefresh: what a relay says of an allocation, and what it means.
func TestRefusedRefresh(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   int
		signed bool
		lost   bool
	}{
		{"there is none", 437, true, true},
		{"there is none, not signed", 437, false, true},
		{"not these credentials", 441, true, true},
		{"nobody of this name", 400, false, true},
		{"wrong password", 401, false, true},
		{"out of order", 500, true, false},
		{"full", 508, false, false},
	} {
		s := allocatedScript(t, nil)
		s.wait(keepalive)
		q := s.request(stun.MethodRefresh)
		if c.signed {
			s.refuse(q, c.code, goodKey)
		} else {
			s.refuse(q, c.code)
		}
		s.wait(leastRTO)
		if (s.m.state == lost) != c.lost {
			t.Errorf("%s: state %d, %v", c.name, s.m.state, s.m.err)
		}
		if c.lost {
			refusedWith(t, s.m.err, c.code)
			continue
		}
		s.idle()
		s.wait(retry)
		s.request(stun.MethodRefresh)
	}
}

// TestKeepalive: the times of refreshes: when nothing was sent for long, and at half of
// the lifetime, whatever was; an allocation that is not refreshed is over.
func TestKeepalive(t *testing.T) {
	s := allocatedScript(t, nil)
	s.wait(s.m.sent.Add(keepalive).Sub(s.now) - time.Millisecond)
	s.idle()
	s.wait(time.Millisecond)
	s.answer(s.request(stun.MethodRefresh), goodKey, lifetime(100*time.Second))
	for range 49 {
		s.wait(time.Second)
		s.sent = s.now
		s.idle()
	}
	s.wait(time.Second)
	s.answer(s.request(stun.MethodRefresh), goodKey, lifetime(time.Second)) // as if ten
	s.wait(leastLife/2 - time.Millisecond)
	s.idle()
	s.wait(leastLife)
	if !errors.Is(s.m.err, ErrExpired) {
		t.Errorf("%v, want the end", s.m.err)
	}
	s = allocatedScript(t, nil)
	s.wait(keepalive)
	s.answer(s.request(stun.MethodRefresh), goodKey, lifetime(0))
	if !errors.Is(s.m.err, ErrExpired) {
		t.Errorf("%v, want the end", s.m.err)
	}
}

// TestSilence: while data is sent and nothing comes, the relay is asked; a fresh nonce
// is no good answer, and after two seconds it is given up.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name   string
		nonces bool
	}{{"nothing", false}, {"nonces", true}} {
		s := allocatedScript(t, nil)
		s.wait(5 * time.Second)
		begin := s.now
		s.sent, s.owed = s.now, s.now
		s.m.observe(s.sent, s.owed)
		s.wait(quiet - time.Millisecond)
		s.idle()
		s.wait(time.Millisecond)
		q := s.request(stun.MethodRefresh)
		if c.nonces {
			s.refuse(q, 438, stun.NewRealm(realm), stun.NewNonce("another"))
		}
		s.wait(patience - time.Millisecond)
		if n := len(s.out); n < 4 || n > 10 || s.m.state != standing {
			t.Errorf("%s: asked %d times more; %v", c.name, n, s.m.err)
		}
		s.wait(time.Millisecond)
		if !errors.Is(s.m.err, ErrSilent) || s.now.Sub(begin) > 3*time.Second {
			t.Errorf("%s: %v after %v", c.name, s.m.err, s.now.Sub(begin))
		}
	}
}

// TestAsleep: a host that was asleep, or very busy, asks again before it gives up.
func TestAsleep(t *testing.T) {
	s := allocatedScript(t, nil)
	s.sent, s.owed = s.now, s.now
	s.m.observe(s.sent, s.owed)
	s.wait(quiet)
	s.request(stun.MethodRefresh)
	s.now = s.now.Add(time.Minute)
	s.do(func(out [][]byte) [][]byte { return s.m.advance(s.now, out) })
	q := s.request(stun.MethodRefresh)
	s.wait(100 * time.Millisecond)
	if s.m.state != standing {
		t.Fatalf("given up: %v", s.m.err)
	}
	s.answer(q, goodKey, lifetime(10*time.Minute))
	s.owed = time.Time{}
	s.out = nil
	s.wait(5 * time.Second)
	s.idle()
}

// TestHeard: an answer or data ends the doubt, and the asking.
func TestHeard(t *testing.T) {
	s := allocatedScript(t, nil)
	s.wait(5 * time.Second)
	for range 10 {
		s.sent, s.owed = s.now, s.now
		s.m.observe(s.sent, s.owed)
		s.wait(quiet)
		s.answer(s.request(stun.MethodRefresh), goodKey, lifetime(10*time.Minute))
		if !s.m.owed.IsZero() {
			t.Fatal("still owed")
		}
		s.owed = time.Time{}
	}
	s.owed = s.now
	s.m.observe(s.sent, s.owed)
	s.wait(quiet)
	s.request(stun.MethodRefresh)
	s.owed = s.now.Add(time.Millisecond) // something was heard, and more was sent
	s.wait(10 * time.Millisecond)
	s.owed = time.Time{}
	s.m.observe(s.sent, s.owed)
	s.out = nil
	s.wait(10 * time.Second)
	s.idle()
	if s.m.state != standing {
		t.Errorf("given up: %v", s.m.err)
	}
}

// TestNewCredentials: those that are set count from the next request on; answers to
// older requests are still understood.
func TestNewCredentials(t *testing.T) {
	s := allocatedScript(t, nil)
	s.wait(keepalive)
	q := s.request(stun.MethodRefresh)
	s.m.credentials("alice2", "other")
	s.answer(q, goodKey, lifetime(10*time.Minute))
	s.wait(keepalive)
	q = s.request(stun.MethodRefresh)
	key := stun.NewLongTermIntegrity("alice2", realm, "other")
	if err := key.Check(q); err != nil {
		t.Errorf("signed with %v", err)
	}
	if user, _ := text(q, stun.AttrUsername); user != "alice2" {
		t.Errorf("user %q", user)
	}
	s.answer(q, key, lifetime(10*time.Minute))
	s.idle()
}
