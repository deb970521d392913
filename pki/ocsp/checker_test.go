package ocsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"

	"golang.org/x/crypto/ocsp"
)

// A scene is a Checker, a responder and a peer, where time is virtual.
type scene struct {
	t       *testing.T
	ca      *pkitest.CA
	web     *responder
	checker *Checker
	alice   *pki.Peer
	log     *strings.Builder
}

// play runs a test in a scene. There is no jitter: questions come when nine tenths
// and a half of the time are over.
func play(t *testing.T, test func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ca := pkitest.NewCA(t, "root", time.Now())
		s := &scene{t: t, ca: ca, web: newResponder(t, ca), log: &strings.Builder{}}
		s.checker = NewChecker(Config{Transport: s.web, Jitter: func() float64 { return 1 },
			Log: slog.New(slog.NewTextHandler(s.log, nil))})
		s.alice = s.issue("alice", address)
		test(s)
	})
}

func (s *scene) issue(name string, urls ...string) *pki.Peer {
	s.t.Helper()
	return peerOf(s.t, s.ca, s.ca.Issue(s.t, name, named(urls...)))
}

// set lets the responder say something about a peer from now on.
func (s *scene) set(p *pki.Peer, status int) { s.web.about[p.Leaf.SerialNumber.String()] = status }

// inquire asks about a peer, and wants so many questions to the responder.
func (s *scene) inquire(p *pki.Peer, questions int) {
	s.t.Helper()
	before := s.web.asked
	Judge{s.checker, Yes}.Inquire(s.t.Context(), p)
	if got := s.web.asked - before; got != questions {
		s.t.Errorf("%v after the start: %d questions, want %d", time.Since(s.ca.Cert.NotBefore)-time.Hour, got, questions)
	}
}

// verdict wants what the modes yes and require say about a peer: "" is nothing, or
// else the reason of a refusal.
func (s *scene) verdict(p *pki.Peer, yes, require string) {
	s.t.Helper()
	for mode, want := range map[Mode]string{Off: "", Yes: yes, Require: require} {
		got := ""
		var r *pki.Refusal
		if err := (Judge{s.checker, mode}).Check(time.Now(), p); errors.As(err, &r) {
			got = r.Reason.String()
		} else if err != nil {
			s.t.Errorf("mode %v: %T, want a Refusal", mode, err)
		}
		if got != want {
			s.t.Errorf("%v after the start, mode %v: refused as %q, want %q", time.Since(s.ca.Cert.NotBefore)-time.Hour, mode, got, want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		status       int
		yes, require string
		stats        Stats
	}{
		{ocsp.Good, "", "", Stats{Asked: 1, Good: 1}},
		{ocsp.Revoked, "revoked", "revoked", Stats{Asked: 1, Revoked: 1}},
		{ocsp.Unknown, "", "no_answer", Stats{Asked: 1, Unknown: 1}},
	} {
		play(t, func(s *scene) {
			s.verdict(s.alice, "", "no_answer") // nobody was asked yet
			s.set(s.alice, c.status)
			s.inquire(s.alice, 1)
			s.verdict(s.alice, c.yes, c.require)
			got := s.checker.Stats()
			if wrong := c.status != ocsp.Good; (len(got.Failures) == 1) != wrong || wrong && got.Failures[0].Name != "alice" {
				t.Errorf("failures %+v", got.Failures)
			}
			if got.Failures = nil; fmt.Sprint(got) != fmt.Sprint(c.stats) {
				t.Errorf("stats %+v, want %+v", got, c.stats)
			}
		})
	}
}

// TestNobodyIsAsked: without the mode no request is made, nor about certificates
// that name nobody whom we would ask.
func TestNobodyIsAsked(t *testing.T) {
	play(t, func(s *scene) {
		Judge{s.checker, Off}.Inquire(s.t.Context(), s.alice)
		Judge{}.Inquire(s.t.Context(), s.alice)
		if err := (Judge{}).Check(time.Now(), s.alice); err != nil || s.web.asked != 0 {
			t.Errorf("without a mode: %v, and %d questions", err, s.web.asked)
		}
		for _, p := range []*pki.Peer{s.issue("bob"), s.issue("carol", "https://ocsp.example.org/", "ldap://x", "http://", "http://a@b/")} {
			s.inquire(p, 0)
			s.verdict(p, "", "no_answer")
			err := (Judge{s.checker, Require}).Check(time.Now(), p)
			if !strings.Contains(err.Error(), "names no responder") || !strings.Contains(err.Error(), "--ocsp URL") {
				t.Errorf("%s: %v", p.Name, err)
			}
			if s.checker.Due(time.Now().Add(maxLife/2), p.Leaf.Raw) {
				t.Errorf("%s: it is soon time to ask again, although there is nobody", p.Name)
			}
		}
		if got := s.checker.Stats(); got.Failed != 0 || s.log.Len() > 0 {
			t.Errorf("%d failures, log %s; want none", got.Failed, s.log)
		}
		root := *s.alice
		root.Issuer = nil // a certificate that is trusted itself
		s.inquire(&root, 0)
	})
}

// TestCached: an answer is used until shortly before its end, and no longer than an
// hour.
func TestCached(t *testing.T) {
	for _, c := range []struct{ life, next time.Duration }{
		{30 * time.Minute, 28*time.Minute + 30*time.Second},
		{7 * 24 * time.Hour, 57 * time.Minute},
		{0, 4*time.Minute + 45*time.Second},
		{time.Second, minGap},
	} {
		play(t, func(s *scene) {
			s.web.life = c.life
			s.inquire(s.alice, 1)
			time.Sleep(c.next - time.Second)
			if s.checker.Due(time.Now(), s.alice.Leaf.Raw) {
				t.Errorf("an answer for %v is to be asked for again after %v", c.life, c.next-time.Second)
			}
			s.inquire(s.alice, 0)
			time.Sleep(time.Second)
			if !s.checker.Due(time.Now(), s.alice.Leaf.Raw) {
				t.Errorf("an answer for %v is not to be asked for again after %v", c.life, c.next)
			}
			s.inquire(s.alice, 1)
			s.verdict(s.alice, "", "")
		})
	}
}

// TestReplayAfterRevocation: whoever holds back that a certificate was revoked, and
// repeats the last good answer, can do so until that ends. Then it counts for
// nothing, and with the mode require the peer is refused.
func TestReplayAfterRevocation(t *testing.T) {
	play(t, func(s *scene) {
		now := time.Now()
		s.web.raw = says{this: now, next: now.Add(20 * time.Minute)}.answer(t, s.ca, s.alice.Leaf)
		s.inquire(s.alice, 1)
		s.set(s.alice, ocsp.Revoked) // which nobody gets to know
		for _, c := range []struct {
			at      time.Duration
			require string
		}{{19 * time.Minute, ""}, {24 * time.Minute, ""}, {26 * time.Minute, "no_answer"}, {48 * time.Hour, "no_answer"}} {
			time.Sleep(time.Until(now.Add(c.at)))
			s.inquire(s.alice, 1)
			s.verdict(s.alice, "", c.require)
		}
		s.web.raw = nil
		time.Sleep(minGap)
		s.inquire(s.alice, 1)
		s.verdict(s.alice, "revoked", "revoked")
	})
}

// TestReplayOfOlder: once a newer answer has come, no older one takes its place,
// though it has not ended.
func TestReplayOfOlder(t *testing.T) {
	play(t, func(s *scene) {
		now := time.Now()
		old := says{this: now, next: now.Add(24 * time.Hour)}.answer(t, s.ca, s.alice.Leaf)
		time.Sleep(time.Minute)
		s.set(s.alice, ocsp.Revoked)
		s.inquire(s.alice, 1)
		s.web.raw = old
		time.Sleep(time.Hour)
		s.inquire(s.alice, 1)
		s.verdict(s.alice, "revoked", "revoked")
		if f := s.checker.Stats().Failures; len(f) != 1 || !strings.Contains(f[0].Reason, "older than the last") {
			t.Errorf("failures %+v", f)
		}
	})
}

// TestRevokedStays: that a certificate is revoked counts until an answer says that
// it is good again, as after a certificateHold; silence and "unknown" say nothing.
func TestRevokedStays(t *testing.T) {
	play(t, func(s *scene) {
		s.set(s.alice, ocsp.Revoked)
		s.inquire(s.alice, 1)
		s.web.fault = errors.New("unplugged")
		time.Sleep(48 * time.Hour)
		s.inquire(s.alice, 1)
		s.verdict(s.alice, "revoked", "revoked")
		s.web.fault = nil
		s.set(s.alice, ocsp.Unknown)
		time.Sleep(minGap)
		s.inquire(s.alice, 1)
		s.verdict(s.alice, "revoked", "revoked")
		s.set(s.alice, ocsp.Good)
		time.Sleep(minGap)
		s.inquire(s.alice, 1)
		s.verdict(s.alice, "", "")
	})
}

// TestFaults: what is no answer is none, costs a bounded time, is remembered for a
// while, and logged once until the responder answers again.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(s *scene)
		took  time.Duration
		want  string
	}{
		{"refused", func(s *scene) { s.web.fault = errors.New("connection refused") }, 0, "connection refused"},
		{"slow", func(s *scene) { s.web.delay = time.Hour }, askTime, "did not answer in time"},
		{"nonsense", func(s *scene) { s.web.raw = []byte("<html>") }, 0, "no answer"},
		{"later", func(s *scene) { s.web.raw = ocsp.TryLaterErrorResponse }, 0, "try later"},
		{"oversize", func(s *scene) { s.web.raw = make([]byte, maxResponse+1) }, 0, "longer than 65536 bytes"},
		{"forged", func(s *scene) {
			now := time.Now()
			s.web.raw = says{this: now, next: now.Add(time.Hour), byKey: pkitest.NewKey(s.t)}.answer(s.t, s.ca, s.alice.Leaf)
		}, 0, "signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(s *scene) {
				c.spoil(s)
				began := time.Now()
				s.inquire(s.alice, 1)
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				s.verdict(s.alice, "", "no_answer")
				s.inquire(s.alice, 0)
				got := s.checker.Stats()
				if got.Failed != 1 || len(got.Failures) != 1 || !strings.Contains(got.Failures[0].Reason, c.want) {
					t.Errorf("stats %+v, want a failure with %q", got, c.want)
				}
				time.Sleep(minGap)
				s.inquire(s.alice, 1)
				if n := strings.Count(s.log.String(), "level=WARN"); n != 1 {
					t.Errorf("%d warnings, want 1:\n%s", n, s.log)
				}
				s.web.fault, s.web.delay, s.web.raw = nil, 0, nil
				time.Sleep(minGap)
				s.inquire(s.alice, 1)
				s.verdict(s.alice, "", "")
				if !strings.Contains(s.log.String(), "answers again") || len(s.checker.Stats().Failures) != 0 {
					t.Errorf("that it answers again is not said: %s%+v", s.log, s.checker.Stats())
				}
			})
		})
	}
}

// TestGoodSurvivesFaults: a responder that is away does not matter as long as its
// last answer counts.
func TestGoodSurvivesFaults(t *testing.T) {
	play(t, func(s *scene) {
		now := time.Now()
		s.inquire(s.alice, 1) // good for 30 minutes
		s.web.fault = errors.New("unplugged")
		for time.Since(now) < 35*time.Minute {
			s.verdict(s.alice, "", "")
			time.Sleep(time.Minute)
			Judge{s.checker, Require}.Inquire(s.t.Context(), s.alice)
		}
		time.Sleep(time.Second)
		s.verdict(s.alice, "", "no_answer")
	})
}

// TestSilentResponder: others need not wait for a responder that has just not
// answered.
func TestSilentResponder(t *testing.T) {
	play(t, func(s *scene) {
		s.web.delay = time.Hour
		s.inquire(s.alice, 1)
		began := time.Now()
		for i := range 100 {
			s.inquire(s.issue(fmt.Sprintf("peer%d", i), address), 0)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the others have waited for %v", took)
		}
		elsewhere := s.issue("elsewhere", "http://other.example.org/")
		s.web.delay = 0
		s.inquire(elsewhere, 1)
		s.verdict(elsewhere, "", "")
		time.Sleep(minGap)
		s.inquire(s.issue("late", address), 1)
	})
}

// TestSecondResponder: the second of two is asked in the time that is left. A third
// is not.
func TestSecondResponder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := pkitest.NewCA(t, "root", time.Now())
		leaf := ca.Issue(t, "alice", named("http://one/", "http://two/", "http://three/"))
		second := newResponder(t, ca)
		var asked []string
		c := NewChecker(Config{Transport: web(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Host)
			if r.URL.Host == "one" {
				return nil, wait(r.Context(), time.Hour)
			}
			return second.RoundTrip(r)
		})})
		peer, began := peerOf(t, ca, leaf), time.Now()
		j := Judge{c, Require}
		j.Inquire(t.Context(), peer)
		if err, took := j.Check(time.Now(), peer), time.Since(began); err != nil || took != askTime/2 || fmt.Sprint(asked) != "[one two]" {
			t.Errorf("%v after %v, asked %v; want a good answer of the second in half of the time", err, took, asked)
		}
	})
}

// TestConcurrent: of those who ask the same one asks, and of others no more than a
// few at the same time.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := pkitest.NewCA(t, "root", time.Now())
		var running, most, all atomic.Int32
		var mu sync.Mutex // the responder is for one at a time
		inner := newResponder(t, ca)
		j := Judge{NewChecker(Config{Transport: web(func(r *http.Request) (*http.Response, error) {
			all.Add(1)
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			if err := wait(r.Context(), 100*time.Millisecond); err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			return inner.RoundTrip(r)
		})}), Require}
		var peers []*pki.Peer
		for i := range 50 {
			peers = append(peers, peerOf(t, ca, ca.Issue(t, fmt.Sprint("peer", i), named(address))))
		}
		var wg sync.WaitGroup
		for range 10 {
			for _, p := range peers {
				wg.Go(func() { j.Inquire(t.Context(), p) })
			}
		}
		wg.Wait()
		for _, p := range peers {
			if err := j.Check(time.Now(), p); err != nil {
				t.Error(err)
			}
		}
		if all.Load() != 50 || most.Load() != maxQuestions {
			t.Errorf("%d questions, %d at the same time, want 50 and %d", all.Load(), most.Load(), maxQuestions)
		}
		time.Sleep(maxLife)
		began := time.Now()
		j.InquireAll(t.Context(), peers)
		if took := time.Since(began); all.Load() != 100 || took != 7*100*time.Millisecond {
			t.Errorf("all again: %d questions in %v, want 50 more in 700ms", all.Load(), took)
		}
	})
}

// TestGivenUp: who gives up does not spoil it for others who wait for the same.
func TestGivenUp(t *testing.T) {
	play(t, func(s *scene) {
		s.web.delay = time.Second
		first, giveUp := context.WithCancel(s.t.Context())
		j := Judge{s.checker, Require}
		var wg sync.WaitGroup
		wg.Go(func() { j.Inquire(first, s.alice) })
		synctest.Wait()
		wg.Go(func() { j.Inquire(s.t.Context(), s.alice) })
		time.Sleep(time.Second / 2)
		giveUp()
		wg.Wait()
		s.verdict(s.alice, "", "")
		if got := s.checker.Stats(); s.web.asked != 2 || got.Failed != 0 {
			t.Errorf("%d questions, stats %+v, want 2 and no failure", s.web.asked, got)
		}
		j.Inquire(first, s.issue("late", address)) // who has given up already
		j.InquireAll(first, []*pki.Peer{s.issue("later", address)})
		if s.web.asked != 2 {
			t.Errorf("%d questions for those who have given up", s.web.asked-2)
		}
	})
}

// TestBounded: the memory of a Checker does not grow with what it is asked.
func TestBounded(t *testing.T) {
	c := NewChecker(Config{Transport: web(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })})
	c.mu.Lock()
	for i := range maxEntries + 100 {
		k := keyOf(fmt.Append(nil, i))
		e := c.entryLocked(k)
		if i < 50 {
			e.asking = make(chan struct{}) // which must not be forgotten
		}
		c.entryLocked(keyOf(fmt.Append(nil, 50))) // which is wanted all the time
	}
	for i := range 2 * maxHosts {
		c.silent.add(began, fmt.Sprint("host", i))
		c.stats.addFailure(Failure{Name: fmt.Sprint(i)})
	}
	c.mu.Unlock()
	if len(c.entries) != maxEntries || c.order.Len() != maxEntries || len(c.silent) != maxHosts || len(c.Stats().Failures) != maxFailures {
		t.Errorf("%d entries, %d hosts, %d failures", len(c.entries), len(c.silent), len(c.Stats().Failures))
	}
	for i, want := range map[int]bool{0: true, 49: true, 50: true, 51: false, 150: false, 151: true, maxEntries + 99: true} {
		if _, ok := c.entries[keyOf(fmt.Append(nil, i))]; ok != want {
			t.Errorf("entry %d is there: %v, want %v", i, ok, want)
		}
	}
}

func TestModes(t *testing.T) {
	for _, m := range []Mode{Off, Yes, Require} {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("%v is read as %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("maybe"); err == nil || Mode(9).String() != "mode 9" {
		t.Errorf("maybe is a mode: %v; mode 9 is called %v", err, Mode(9))
	}
}
