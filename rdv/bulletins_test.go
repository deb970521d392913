package rdv

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki/bulletin"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// signBulletin returns a bulletin of some authorities, which names the first n of
// them.
func signBulletin(t testing.TB, at time.Time, number uint64, policy string, n int, by ...*pkitest.CA) []byte {
	t.Helper()
	b := &bulletin.Bulletin{Number: number, Issued: at.Truncate(time.Second), Policy: policy}
	var signers []bulletin.Signer
	for i, ca := range by {
		if signers = append(signers, bulletin.Signer{Cert: ca.Cert, Key: ca.Key}); i < n {
			b.CAs = append(b.CAs, ca.Cert)
		}
	}
	data, err := bulletin.Sign(rand.Reader, b, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bulletin returns a bulletin of the shelf's CA.
func (s *shelfTest) bulletin(number uint64, policy string) []byte {
	s.t.Helper()
	return signBulletin(s.t, s.now, number, policy, 1, s.ca)
}

func (s *shelfTest) takes(what string, kind channel.ObjectKind, content []byte) {
	s.t.Helper()
	if changed, err := s.take(s.now, Object{kind, content}, "trent"); err != nil || !changed {
		s.t.Fatalf("%s: %v, %v", what, changed, err)
	}
}

// TestBulletins has which bulletins are taken, and what is handed out then.
func TestBulletins(t *testing.T) {
	s := newShelf(t)
	trust := s.trust.Load()
	one, two := s.bulletin(1, ""), s.bulletin(2, "")
	foreign := signBulletin(t, s.now, 9, "", 1, pkitest.NewCA(t, "ca", s.now))
	last := s.bulletin(4, "")
	for _, c := range []struct {
		name    string
		content []byte
		changed bool
		err     error
		held    []byte
	}{
		{"the first", one, true, nil, one},
		{"the same", one, false, nil, one},
		{"the next", two, true, nil, two},
		{"an old one", one, false, bulletin.ErrOld, two},
		{"another authority of that name", foreign, false, bulletin.ErrUntrusted, two},
		{"no bulletin", []byte("news"), false, bulletin.ErrMalformed, two},
		{"from the future", signBulletin(t, s.now.AddDate(0, 0, 2), 3, "", 1, s.ca), false, bulletin.ErrEarly, two},
		{"the last", last, true, nil, last},
	} {
		changed, err := s.take(s.now, Object{channel.Bulletin, c.content}, "trent")
		if changed != c.changed || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v, want %v, %v", c.name, changed, err, c.changed, c.err)
		}
		s.holds(c.name, c.held)
	}
	if _, err := s.take(s.now, Object{channel.Bulletin, s.bulletin(5, "nonsense\n")}, "trent"); err == nil || !strings.Contains(err.Error(), "policy of bulletin 5:1:") {
		t.Errorf("a policy that cannot be read: %v", err)
	}
	s.holds("a policy that cannot be read", last)
	if s.trust.Load() != trust {
		t.Error("a bulletin that says nothing new makes another trust, and all certificates are checked anew")
	}
	if _, err := s.take(s.now, Object{77, []byte("x")}, "trent"); err != errKind {
		t.Errorf("another kind: %v", err)
	}
	if s.changes != 4 { // and the first trust
		t.Errorf("%d changes", s.changes)
	}
}

// TestBulletinAuthorities: while the authority's key is replaced, clients may show
// certificates of either, and lists of both are handed out; then only the new one is
// trusted, also after a restart, and the last list of the old one stays.
func TestBulletinAuthorities(t *testing.T) {
	s := newShelf(t)
	next := pkitest.NewCA(t, "ca 2", s.now)
	old, renewed := s.ca.Issue(t, "old"), next.Issue(t, "renewed")
	if _, err := s.take(s.now, Object{channel.CRL, crlOf(t, next, 1, s.now)}, "trent"); err == nil {
		t.Error("a list of an authority that nobody has named is taken")
	}
	s.refuses("before", renewed, true)
	both := signBulletin(t, s.now, 1, "", 2, next, s.ca)
	s.takes("both", channel.Bulletin, both)
	s.refuses("both", old, false)
	s.refuses("both", renewed, false)
	oldList, gone := s.list(5, 0), next.Issue(t, "gone")
	newList := crlOf(t, next, 1, s.now, gone)
	s.takes("the old list", channel.CRL, oldList)
	s.takes("the new list", channel.CRL, newList)
	s.refuses("revoked by the new key", gone, true)
	if got := len(s.catalog.Load().all()); got != 3 {
		t.Errorf("%d objects, want two lists and the bulletin", got)
	}

	s.takes("the new one", channel.Bulletin, signBulletin(t, s.now, 2, "", 1, next, s.ca))
	s.refuses("afterwards", old, true)
	s.refuses("afterwards", renewed, false)
	last := s.list(6, 0)
	s.takes("the last list", channel.CRL, last)
	if s.catalog.Load().find(objectOf(channel.CRL, last)) == nil {
		t.Error("the last list of the old authority is not handed out to those who trust only that")
	}
	// Now only the new key signs; who starts again gets there from the old one.
	newest := signBulletin(t, s.now, 3, "", 1, next)
	s.takes("by the new key alone", channel.Bulletin, newest)
	fresh := newShelf(t)
	fresh.ca, fresh.rdv = s.ca, s.rdv
	fresh.setTrust(fresh.now, fresh.files())
	for _, i := range bulletinsFirst(s.received(), func(i item) channel.ObjectKind { return i.key.kind }) {
		if err := fresh.restore(fresh.now, Object{i.key.kind, i.data}, "state"); err != nil {
			t.Error(err)
		}
	}
	fresh.refuses("after a restart", old, true)
	fresh.refuses("after a restart", renewed, false)
	fresh.refuses("after a restart", gone, true)
	if fresh.catalog.Load().find(objectOf(channel.Bulletin, newest)) == nil {
		t.Error("after a restart another bulletin is handed out")
	}
	// The administrator has put the new certificate into the file.
	s.rdv = next.Issue(t, "rdv", rendezvous)
	s.setTrust(s.now, trustOf(t, s.rdv, []*x509.Certificate{next.Cert}, nil))
	s.refuses("with other files", old, true)
	s.refuses("with other files", renewed, false)
	// The files name another VPN.
	other := pkitest.NewCA(t, "other", s.now)
	s.setTrust(s.now, trustOf(t, other.Issue(t, "rdv", rendezvous), []*x509.Certificate{other.Cert}, nil))
	s.holds("another VPN")
	s.refuses("another VPN", renewed, true)
	if !strings.Contains(s.log.String(), "The bulletin is not used any more") {
		t.Errorf("log %q", &s.log)
	}
}

// TestBulletinPolicy: the policy of the bulletin decides, unless there is one in a
// file.
func TestBulletinPolicy(t *testing.T) {
	s := newShelf(t)
	defaults := func(what, want string) {
		t.Helper()
		got := ""
		if r := s.trust.Load().rulesOf(); r != nil {
			got = r.Name()
		}
		if got != want {
			t.Errorf("%s: policy %q, want %q", what, got, want)
		}
	}
	defaults("without bulletin", "")
	s.takes("a policy", channel.Bulletin, s.bulletin(1, "default deny\n"))
	defaults("with one", "policy of bulletin 1")
	s.setTrust(s.now, s.files())
	defaults("files were read again", "policy of bulletin 1")
	s.setTrust(s.now, s.files().WithRules(rules(t, "default allow\n")))
	defaults("with a file", "policy")
	s.takes("another one", channel.Bulletin, s.bulletin(2, "default allow\n"))
	defaults("with a file", "policy")
	if got := strings.Count(s.log.String(), "and not that of the bulletin"); got != 1 {
		t.Errorf("logged %d times that the file wins", got)
	}
	s.setTrust(s.now, s.files())
	defaults("without file", "policy of bulletin 2")
	s.takes("none", channel.Bulletin, s.bulletin(3, ""))
	defaults("taken back", "")
}

// TestBulletinReplaces: a running server introduces by the policy of a bulletin, and
// ends the channels of those whose authority has retired.
func TestBulletinReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		next := pkitest.NewCA(t, "ca 2", time.Now())
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		z := a.trent(t)
		z.offers(channel.Bulletin, signBulletin(t, time.Now(), 1, "", 2, next, a.ca))
		x.told(1)
		y := a.clientWith(t, epB, next.Issue(t, "bob", pkitest.Addrs("10.9.0.2"))).dial().register(ip2)
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip2}})
		if m := x.wants(channel.Peer); len(m.VPN) != 1 {
			t.Errorf("PEER %+v", m)
		}
		z.offers(channel.Bulletin, signBulletin(t, time.Now(), 2, "default deny\n", 1, next, a.ca))
		x.closed()
		x.pings(wire.Reconnect)
		y.pings(wire.Pong)
		x.knock()
		x.shake(nil) // its certificate is refused
	})
}

// TestStateOfBulletins: what a crash has left of the file of a trail is said, and
// nothing of it counts.
func TestStateOfBulletins(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t)
	next := pkitest.NewCA(t, "ca 2", s.now)
	s.takes("both", channel.Bulletin, signBulletin(t, s.now, 1, "", 2, next, s.ca))
	s.takes("by the new key", channel.Bulletin, signBulletin(t, s.now, 2, "", 1, next))
	state, err := OpenState(dir)
	if err == nil {
		err = state.save(s.received())
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, bulletinFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]error{len(data): nil, len(data) - 1: bulletin.ErrMalformed, 3: bulletin.ErrMalformed} {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := OpenState(dir)
		if err != nil {
			t.Fatal(err)
		}
		fresh := newShelf(t)
		fresh.ca, fresh.rdv = s.ca, s.rdv
		fresh.setTrust(fresh.now, fresh.files())
		for _, o := range again.take() {
			if err := fresh.restore(fresh.now, o, "state"); !errors.Is(err, want) {
				t.Errorf("%d bytes: %v, want %v", n, err, want)
			}
		}
		if held := len(fresh.catalog.Load().all()); (held == 1) != (want == nil) {
			t.Errorf("%d bytes: %d objects", n, held)
		}
	}
}

// TestBulletinBeforeLists: of what the authority offers at once the bulletin comes
// first, so that the lists of an authority that it names are taken.
func TestBulletinBeforeLists(t *testing.T) {
	s := newSource(t)
	list, news := listOf(1, 1, 10), bulletinOf(2, 10)
	open := s.offer(list, news)
	if len(open) != 1 || open[0].Objects[0] != news.Object {
		t.Fatalf("the first FETCHes are %+v, want that of the bulletin", open)
	}
	if open = s.sends(open[0], news); len(open) != 1 || open[0].Objects[0] != list.Object {
		t.Errorf("the next FETCHes are %+v, want that of the list", open)
	}
	synctest.Test(t, func(t *testing.T) { // an authority in the process
		began := time.Now()
		f := &fakeAuthority{}
		a := serveWith(t, Mixed, 0, func(c *Config) { c.Authority = f })
		defer a.end()
		next := pkitest.NewCA(t, "ca 2", began)
		f.set(nil, Object{channel.CRL, crlOf(t, next, 1, began)}, Object{channel.Bulletin, signBulletin(t, began, 1, "", 2, next, a.ca)})
		time.Sleep(2 * objectsInterval)
		if s := a.Stats(); s.ObjectsTaken != 2 || s.ObjectsRefused != 0 {
			t.Errorf("stats %+v, want two objects taken", s)
		}
	})
}

// TestBulletinHasRoom: however many lists there are, the bulletin is handed out, and of
// the lists that of an authority that has retired is left out first.
func TestBulletinHasRoom(t *testing.T) {
	s := newShelf(t)
	next := pkitest.NewCA(t, "next", s.now)
	cas := []*x509.Certificate{s.ca.Cert, next.Cert}
	old := s.list(1, 0)
	lists := [][]byte{old, crlOf(t, next, 1, s.now)}
	for i := range channel.MaxObjects - 2 {
		ca := pkitest.NewCA(t, string(rune('a'+i)), s.now)
		cas, lists = append(cas, ca.Cert), append(lists, crlOf(t, ca, 1, s.now))
	}
	s.setTrust(s.now, trustOf(t, s.rdv, cas, lists))
	if got := len(s.catalog.Load().all()); got != channel.MaxObjects {
		t.Fatalf("%d lists", got)
	}
	last := signBulletin(t, s.now, 1, "", 1, next, s.ca)
	s.takes("the last bulletin", channel.Bulletin, last)
	c := s.catalog.Load()
	if c.find(objectOf(channel.Bulletin, last)) == nil || slices.Contains(c.all(), objectOf(channel.CRL, old)) || len(c.all()) != channel.MaxObjects {
		t.Errorf("handed out are %+v", c.all())
	}
}
