package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
)

var somewhere = netip.MustParseAddrPort("192.0.2.1:4000")

// A journal is the log of a service.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// newService opens the service of a CA.
func newService(t testing.TB, c *CA) (*Service, *journal) {
	t.Helper()
	j := &journal{}
	s, err := OpenService(c.Dir, nil, slog.New(slog.NewTextHandler(j, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s, j
}

// run runs an exchange with a service to its end, or until it has been doubted.
func run(s *Service, now time.Time, from netip.AddrPort, e *enroll.Exchange) (*enroll.Result, error) {
	for range 50 {
		if e.Done() {
			return e.Result()
		}
		if e.Doubts() > 0 {
			return nil, e.Doubt()
		}
		if answer := s.Answer(now, from, e.Next()); answer != nil {
			_ = e.Take(answer)
		}
	}
	return nil, errors.New("no end")
}

// enrol takes part with a token.
func enrol(t testing.TB, s *Service, now time.Time, token *enroll.Token, key crypto.Signer) (*enroll.Result, error) {
	t.Helper()
	e, err := enroll.NewEnrolment(rand.Reader, token, key)
	if err != nil {
		t.Fatal(err)
	}
	return run(s, now, somewhere, e)
}

// wantRefusal checks the code of a refusal, and parts of its text.
func wantRefusal(t testing.TB, err error, code enroll.Code, parts ...string) {
	t.Helper()
	var r *enroll.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Errorf("error %v (%+v), want a refusal with code %d", err, r, code)
		return
	}
	for _, p := range parts {
		if !strings.Contains(r.Text, p) {
			t.Errorf("refusal %q, want it to contain %q", r.Text, p)
		}
	}
}

func TestServiceEnrol(t *testing.T) {
	c := newVPN(t)
	s, j := newService(t, c)
	if _, err := c.Publish(now, rand.Reader, "default deny\n"); err != nil {
		t.Fatal(err)
	}
	i, token := invite(t, c, InviteOptions{Name: "alice", Groups: []string{"admin"}, Routes: routes("192.168.7.0/24"), Days: 7})
	key := pkitest.NewKey(t)
	r, err := enrol(t, s, now, token, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := r.Chain[0]
	a, err := pki.AttributesOf(leaf)
	if err != nil || len(a.Groups) != 1 || len(a.Routes) != 1 || r.Addrs[0] != i.Addrs[0] || r.Name != "alice" || r.Network != vpn || len(r.CRLs) != 1 || len(r.Bulletin) == 0 {
		t.Errorf("result %+v, attributes %+v, %v", r, a, err)
	}
	if got := lifetime(leaf); got != 7 {
		t.Errorf("valid for %d days, want 7", got)
	}
	list, err := c.Invitations()
	if err != nil || list[0].State(now) != InvitationUsed || list[0].Key != pki.KeyOf(leaf) || list[0].Serial != formatSerial(leaf.SerialNumber) {
		t.Errorf("invitation %+v, %v, want it used", list[0], err)
	}
	if e, err := c.Show(now, "alice"); err != nil || len(e) != 1 || e[0].Status != Valid {
		t.Errorf("certificates of alice: %+v, %v, want one that is valid", e, err)
	}
	if !strings.Contains(j.String(), "name=alice") || !strings.Contains(j.String(), "from=192.0.2.1:4000") {
		t.Errorf("journal %s", j)
	}
}

// TestTokenOnce uses a token again: the host that has used it gets its certificate
// again, whoever has the token otherwise gets nothing.
func TestTokenOnce(t *testing.T) {
	c := newVPN(t)
	s, j := newService(t, c)
	_, token := invite(t, c, InviteOptions{Name: "alice"})
	key := pkitest.NewKey(t)
	first, err := enrol(t, s, now, token, key)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		later := now.Add(time.Duration(n) * 2 * time.Hour) // beyond the end of the invitation
		again, err := enrol(t, s, later, token, key)
		if err != nil || !again.Chain[0].Equal(first.Chain[0]) {
			t.Errorf("attempt %d of the same host: %v, want the same certificate", n, err)
		}
		_, err = enrol(t, s, later, token, pkitest.NewKey(t))
		wantRefusal(t, err, enroll.Used, "used already", "2026-03-01 12:00", pki.KeyOf(first.Chain[0]).String())
	}
	if list, err := c.List(now); err != nil || len(list) != 1 {
		t.Errorf("%d certificates, %v, want 1", len(list), err)
	}
	if !strings.Contains(j.String(), "level=WARN") {
		t.Errorf("journal %s, want a warning", j)
	}
	// After a restart of the service as well.
	s, _ = newService(t, c)
	if again, err := enrol(t, s, now, token, key); err != nil || !again.Chain[0].Equal(first.Chain[0]) {
		t.Errorf("after a restart: %v, want the same certificate", err)
	}
	if _, err := c.Revoke(now, "alice", "keyCompromise"); err != nil {
		t.Fatal(err)
	}
	_, err = enrol(t, s, now.Add(2*answerLife), token, key)
	wantRefusal(t, err, enroll.Revoked, "revoked")
}

// TestTokenRace lets many keys use one token at once.
func TestTokenRace(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	_, token := invite(t, c, InviteOptions{Name: "alice"})
	const hosts = 8
	var wg sync.WaitGroup
	won := make([]bool, hosts)
	for n := range hosts {
		key, from := pkitest.NewKey(t), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), 1)
		wg.Go(func() {
			e, err := enroll.NewEnrolment(rand.Reader, token, key)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = run(s, now, from, e)
			won[n] = err == nil
		})
	}
	wg.Wait()
	n := 0
	for _, w := range won {
		if w {
			n++
		}
	}
	if list, err := c.List(now); err != nil || n != 1 || len(list) != 1 {
		t.Errorf("%d keys got a certificate, and there are %d, %v, want 1", n, len(list), err)
	}
}

// TestInterrupted kills the service between the steps of an enrolment, and lets the
// host and a thief of the token ask again.
func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		name string
		undo func(t *testing.T, c *CA, i *Invitation)
		same bool // the certificate
	}{
		{"before the certificate", func(t *testing.T, c *CA, i *Invitation) {
			x, err := c.readIndex()
			if err != nil {
				t.Fatal(err)
			}
			write(t, c.Files.Index, strings.Replace(string(x.append(nil)), x.lines[len(x.lines)-1].text+"\n", "", 1))
		}, false},
		{"before it was noted", func(*testing.T, *CA, *Invitation) {}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ca := newVPN(t)
			s, _ := newService(t, ca)
			i, token := invite(t, ca, InviteOptions{Name: "alice"})
			key := pkitest.NewKey(t)
			first, err := enrol(t, s, now, token, key)
			if err != nil {
				t.Fatal(err)
			}
			used, err := ca.readInvitation(i.ID)
			if err != nil {
				t.Fatal(err)
			}
			used.Serial = ""
			if err := ca.writeInvitation(used); err != nil {
				t.Fatal(err)
			}
			c.undo(t, ca, used)
			s, _ = newService(t, ca)
			_, err = enrol(t, s, now, token, pkitest.NewKey(t))
			wantRefusal(t, err, enroll.Used)
			again, err := enrol(t, s, now, token, key)
			if err != nil || again.Chain[0].Equal(first.Chain[0]) != c.same {
				t.Fatalf("%v, want the same certificate %t", err, c.same)
			}
			third, err := enrol(t, s, now.Add(2*answerLife), token, key)
			if err != nil || !third.Chain[0].Equal(again.Chain[0]) {
				t.Errorf("%v, want the certificate of before", err)
			}
		})
	}
}

// TestClockSetBack enrols while the clock of the authority is set back.
func TestClockSetBack(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	i, token := invite(t, c, InviteOptions{Name: "alice"})
	key := pkitest.NewKey(t)
	id, err := keyOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	i.Used, i.Key = now.Add(10*time.Minute), id // killed before the certificate
	if err := c.writeInvitation(i); err != nil {
		t.Fatal(err)
	}
	first, err := enrol(t, s, now, token, key)
	if err != nil {
		t.Fatal(err)
	}
	s, _ = newService(t, c)
	if again, err := enrol(t, s, now, token, key); err != nil || !again.Chain[0].Equal(first.Chain[0]) {
		t.Errorf("%v, want the same certificate", err)
	}
}

// TestInviteAgain gives a host that was invited again a certificate of its own,
// though it comes with the key of the last one.
func TestInviteAgain(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice", Groups: []string{"admin"}})
	later := now.Add(time.Hour)
	i, token, err := c.Invite(later, rand.Reader, InviteOptions{Name: "alice", Renew: true})
	if err != nil || i.Addrs[0] != addrsOf(m.cert)[0] || len(i.Groups) != 1 {
		t.Fatalf("%+v, %v, want what alice has", i, err)
	}
	r, err := enrol(t, s, later, token, m.key)
	if err != nil || r.Chain[0].Equal(m.cert) {
		t.Errorf("%v, want another certificate", err)
	}
}

// TestFailure checks that an enrolment that fails inside can be tried again.
func TestFailure(t *testing.T) {
	c := newVPN(t)
	s, j := newService(t, c)
	_, token := invite(t, c, InviteOptions{Name: "alice"})
	key := pkitest.NewKey(t)
	s.rand = io.MultiReader(bytes.NewReader(make([]byte, 4)), rand.Reader)
	good := s.ca.Files.Certs
	s.ca.Files.Certs = "/dev/null/certs" // a disk that is full
	_, err := enrol(t, s, now, token, key)
	wantRefusal(t, err, enroll.Later, "a problem of its own")
	if !strings.Contains(j.String(), "level=ERROR") {
		t.Errorf("journal %s, want an error", j)
	}
	s.ca.Files.Certs = good
	_, err = enrol(t, s, now, token, pkitest.NewKey(t))
	wantRefusal(t, err, enroll.Used)
	if _, err := enrol(t, s, now, token, key); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestServiceRefuses has invitations that bring nothing, and commands of other
// processes that count at once.
func TestServiceRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, c *CA, i *Invitation) error
		at   time.Duration
		code enroll.Code
		want string
	}{
		{"expired", nil, 2 * time.Hour, enroll.Expired, "2026-03-01 13:00"},
		{"withdrawn", func(_ *testing.T, c *CA, i *Invitation) error { _, err := c.Uninvite(now, i.Name); return err }, 0, enroll.Withdrawn, "withdrawn"},
		{"name taken meanwhile", func(_ *testing.T, c *CA, i *Invitation) error {
			_, err := c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.9"), Force: true})
			return err
		}, 0, enroll.Denied, "has a certificate already"},
		{"address taken meanwhile", func(_ *testing.T, c *CA, i *Invitation) error {
			_, err := c.Issue(now, rand.Reader, Request{Name: "bob", Addrs: i.Addrs, Force: true})
			return err
		}, 0, enroll.Denied, "belongs to"},
		{"key of the CA replaced", func(_ *testing.T, c *CA, _ *Invitation) error {
			_, err := c.Rotate(now, rand.Reader, InitOptions{})
			return err
		}, 0, enroll.Superseded, "new key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newVPN(t)
			s, _ := newService(t, c)
			i, token := invite(t, c, InviteOptions{Name: "alice"})
			if tt.do != nil {
				if err := tt.do(t, reopen(t, c), i); err != nil {
					t.Fatal(err)
				}
			}
			_, err := enrol(t, s, now.Add(tt.at), token, pkitest.NewKey(t))
			wantRefusal(t, err, tt.code, tt.want)
			if got, err := c.readInvitation(i.ID); err != nil || !got.Used.IsZero() {
				t.Errorf("invitation %+v, %v, want it unused", got, err)
			}
		})
	}
}

// TestServiceStrangers answers who has no token.
func TestServiceStrangers(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	_, token := invite(t, c, InviteOptions{Name: "alice"})
	for name, b := range map[string][]byte{"nothing": nil, "noise": []byte("noise"), "too long": make([]byte, 2000), "a renewal that is none": append([]byte{1, 2}, make([]byte, 20)...)} {
		if got := s.Answer(now, somewhere, b); got != nil {
			t.Errorf("%s: answer %x, want none", name, got)
		}
	}
	other, err := enroll.NewToken(rand.Reader, token.CA, "h:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enrol(t, s, now, other, pkitest.NewKey(t)); !errors.Is(err, enroll.ErrUnknown) {
		t.Errorf("a token of nobody: %v, want ErrUnknown", err)
	}
	other.ID = token.ID // and a secret that does not belong to it
	if _, err := enrol(t, s, now, other, pkitest.NewKey(t)); !errors.Is(err, enroll.ErrUnknown) {
		t.Errorf("a wrong secret: %v, want ErrUnknown", err)
	}
	_, err = enrol(t, s, now, token, pkitest.RSAKey(t))
	if err != nil {
		t.Errorf("an RSA key of 2048 bits: %v", err)
	}
	if _, err := OpenService(filepath.Join(c.Dir, "none"), nil, slog.Default()); err == nil {
		t.Error("a service without CA")
	}
}

// TestServiceBusy bounds what one network can ask for, and all together.
func TestServiceBusy(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	_, token := invite(t, c, InviteOptions{Name: "alice"})
	if _, err := enrol(t, s, now, token, pkitest.NewKey(t)); err != nil {
		t.Fatal(err)
	}
	var err error
	for n := 0; n < int(networkBurst)+1 && !errors.Is(err, enroll.ErrBusy); n++ {
		_, err = enrol(t, s, now, token, pkitest.NewKey(t))
	}
	if !errors.Is(err, enroll.ErrBusy) {
		t.Fatalf("after %v requests: %v, want ErrBusy", networkBurst+1, err)
	}
	e, err := enroll.NewEnrolment(rand.Reader, token, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = run(s, now, netip.MustParseAddrPort("198.51.100.1:1"), e)
	wantRefusal(t, err, enroll.Used) // another network is not kept waiting
	_, err = enrol(t, s, now.Add(time.Second), token, pkitest.NewKey(t))
	wantRefusal(t, err, enroll.Used) // and neither is the first after a while
}

func TestLimiter(t *testing.T) {
	l := &limiter{}
	allowed := 0
	for n := range 1000 {
		if l.allow(now, netip.AddrFrom4([4]byte{10, byte(n), 0, 1})) {
			allowed++
		}
	}
	if allowed != int(totalBurst) {
		t.Errorf("%d requests at once, want %v", allowed, totalBurst)
	}
	for n := range 10 * maxNetworks {
		l.allow(now, netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}))
	}
	if len(l.networks) > maxNetworks {
		t.Errorf("%d networks are remembered, want at most %d", len(l.networks), maxNetworks)
	}
	if !l.allow(now.Add(time.Minute), netip.MustParseAddr("2001:db8::1")) {
		t.Error("refused after a minute")
	}
	for a, want := range map[string]string{"10.1.2.3": "10.1.2.0/24", "::ffff:10.1.2.3": "10.1.2.0/24", "2001:db8:1:2ff::1": "2001:db8:1:200::/56", "fe80::1%eth0": "fe80::/56"} {
		if got := networkOf(netip.MustParseAddr(a)).String(); got != want {
			t.Errorf("network of %s is %s, want %s", a, got, want)
		}
	}
	if !(&limiter{}).allow(now, netip.Addr{}) {
		t.Error("a request without address is refused")
	}
}

func TestCache(t *testing.T) {
	c := &cache{}
	for n := range 2 * maxAnswers {
		c.put(now, [32]byte{byte(n), byte(n >> 8)}, []byte(fmt.Sprint(n)))
	}
	if got := c.get(now, [32]byte{7}); string(got) != "7" || len(c.answers) != maxAnswers {
		t.Errorf("answer %q of %d, want 7 of %d", got, len(c.answers), maxAnswers)
	}
	if got := c.get(now.Add(answerLife), [32]byte{7}); got != nil {
		t.Errorf("answer %q after its time", got)
	}
	c.put(now.Add(answerLife), [32]byte{1, 1, 1}, []byte("new"))
	if len(c.answers) != 1 {
		t.Errorf("%d answers are kept, want the new one", len(c.answers))
	}
}
