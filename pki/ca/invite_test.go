package ca

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
)

func invite(t testing.TB, c *CA, o InviteOptions) (*Invitation, *enroll.Token) {
	t.Helper()
	i, token, err := c.Invite(now, rand.Reader, o)
	if err != nil {
		t.Fatal(err)
	}
	return i, token
}

func TestInvite(t *testing.T) {
	c := newVPN(t)
	i, token := invite(t, c, InviteOptions{Name: "alice", Groups: []string{"admin"}, Routes: routes("192.168.7.0/24"), Days: 7, Valid: 2 * time.Hour, Server: "other:1"})
	if i.Name != "alice" || !slices.Equal(i.Addrs, addrs("10.9.0.1")) || i.Network != vpn || i.Server != "other:1" || i.Days != 7 || i.State(now) != InvitationOpen ||
		!i.Expires.Equal(now.Add(2*time.Hour)) || i.CA != pki.KeyOf(c.Cert) {
		t.Errorf("invitation %+v", i)
	}
	if token.ID != i.ID || token.CA != i.CA || token.Server != "other:1" || !token.Master().Equal(i.Master) {
		t.Errorf("token %+v does not fit the invitation", token.ID)
	}
	if got := i.State(now.Add(3 * time.Hour)); got != InvitationExpired {
		t.Errorf("after its end it is %s, want expired", got)
	}
}

// TestFreeAddr chooses addresses.
func TestFreeAddr(t *testing.T) {
	c := newVPN(t)
	issue(t, c, "one", "10.9.0.1")
	issue(t, c, "gone", "10.9.0.2")
	if _, err := c.Revoke(now, "gone", ""); err != nil {
		t.Fatal(err)
	}
	issue(t, c, "four", "10.9.0.4", "fd00::4")
	for _, step := range []struct {
		name, pool, want string
	}{
		{"a", "", "10.9.0.3"},                // that of a revoked certificate is the last choice
		{"b", "", "10.9.0.5"},                // invitations count
		{"c", "10.9.0.0/30", "10.9.0.2"},     // nothing else is left in it
		{"d", "10.9.0.0/30", ""},             // full
		{"e", "10.9.0.252/30", ""},           // 252 to 254, see below
		{"f", "10.9.0.128/25", "10.9.0.128"}, // the first address of a part is an address
	} {
		if step.name == "e" {
			for n := range 3 {
				i, _ := invite(t, c, InviteOptions{Name: fmt.Sprint("e", n), Pool: netip.MustParsePrefix(step.pool)})
				if want := fmt.Sprint("10.9.0.", 252+n); i.Addrs[0].String() != want {
					t.Errorf("address %v, want %v", i.Addrs[0], want)
				}
			}
		}
		o := InviteOptions{Name: step.name}
		if step.pool != "" {
			o.Pool = netip.MustParsePrefix(step.pool)
		}
		i, _, err := c.Invite(now, rand.Reader, o)
		if step.want == "" {
			wantError(t, err, "no free address in "+step.pool)
			continue
		}
		if err != nil || i.Addrs[0].String() != step.want {
			t.Errorf("%s: %+v, %v, want %s", step.name, i, err, step.want)
		}
	}
	// What an invitation held is free when it has expired.
	later := now.Add(2 * time.Hour)
	if i, _, err := c.Invite(later, rand.Reader, InviteOptions{Name: "g"}); err != nil || i.Addrs[0].String() != "10.9.0.3" {
		t.Errorf("after the others have expired: %+v, %v, want 10.9.0.3", i, err)
	}
}

func TestInviteRefuses(t *testing.T) {
	c := newVPN(t)
	issue(t, c, "alice", "10.9.0.1")
	if _, err := c.Issue(now, rand.Reader, Request{Name: "server", Rendezvous: true}); err != nil {
		t.Fatal(err)
	}
	invite(t, c, InviteOptions{Name: "bob", Addrs: addrs("10.9.0.2")})
	for _, s := range []struct {
		name string
		o    InviteOptions
		want []string
	}{
		{"a name that is taken", InviteOptions{Name: "alice"}, []string{"has a certificate already", "--renew"}},
		{"a name that is invited", InviteOptions{Name: "bob"}, []string{"open invitation", "uninvite"}},
		{"a bad name", InviteOptions{Name: "../x"}, []string{"not usable"}},
		{"an address that is taken", InviteOptions{Name: "x", Addrs: addrs("10.9.0.1")}, []string{"belongs to"}},
		{"an address that is promised", InviteOptions{Name: "x", Addrs: addrs("10.9.0.2")}, []string{"promised to", "uninvite"}},
		{"an address elsewhere", InviteOptions{Name: "x", Addrs: addrs("10.8.0.1")}, []string{"in the VPN's network"}},
		{"the address of the network", InviteOptions{Name: "x", Addrs: addrs("10.9.0.0")}, []string{"cannot be the address of a host"}},
		{"the address of its broadcast", InviteOptions{Name: "x", Addrs: addrs("10.9.0.255")}, []string{"cannot be the address of a host"}},
		{"a pool elsewhere", InviteOptions{Name: "x", Pool: netip.MustParsePrefix("10.8.0.0/24")}, []string{"not a part of"}},
		{"a pool that is larger", InviteOptions{Name: "x", Pool: netip.MustParsePrefix("10.9.0.0/16")}, []string{"not a part of"}},
		{"pool and address", InviteOptions{Name: "x", Pool: vpn, Addrs: addrs("10.9.0.9")}, []string{"at once"}},
		{"too short", InviteOptions{Name: "x", Valid: time.Second}, []string{"cannot be valid"}},
		{"too long", InviteOptions{Name: "x", Valid: 10000 * time.Hour}, []string{"cannot be valid"}},
		{"a bad group", InviteOptions{Name: "x", Groups: []string{"a b"}}, []string{"group"}},
		{"too many days", InviteOptions{Name: "x", Days: 1 << 20}, []string{"validity"}},
		{"a bad server", InviteOptions{Name: "x", Server: "host"}, []string{"HOST:PORT"}},
		{"renewal of nobody", InviteOptions{Name: "x", Renew: true}, []string{"no certificate that could be renewed"}},
		{"a rendezvous server", InviteOptions{Name: "server", Renew: true}, []string{"rendezvous server"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			i, _, err := c.Invite(now, rand.Reader, s.o)
			if err == nil {
				t.Fatalf("%+v, want an error", i)
			}
			text := err.Error() + "\n" + hint(err)
			for _, w := range s.want {
				if !strings.Contains(text, w) {
					t.Errorf("error %q, want it to contain %q", text, w)
				}
			}
		})
	}
	if list, err := c.Invitations(); err != nil || len(list) != 1 {
		t.Errorf("%d invitations, %v, want the first only", len(list), err)
	}
	bare := newCA(t)
	_, _, err := bare.Invite(now, rand.Reader, InviteOptions{Name: "x"})
	wantError(t, err, "rendezvous server", "ca settings --rdv")
	_, _, err = bare.Invite(now, rand.Reader, InviteOptions{Name: "x", Server: "h:1"})
	wantError(t, err, "network", "ca settings --network")
}

// TestPromised checks that certificates issued by hand respect invitations.
func TestPromised(t *testing.T) {
	c := newVPN(t)
	i, _ := invite(t, c, InviteOptions{Name: "alice"})
	_, err := c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.7")})
	wantError(t, err, "open invitation", "uninvite "+i.ID.String())
	_, err = c.Issue(now, rand.Reader, Request{Name: "bob", Addrs: i.Addrs})
	wantError(t, err, "promised to", "uninvite "+i.ID.String())
	if _, err := c.Issue(now, rand.Reader, Request{Name: "bob", Addrs: i.Addrs, Force: true}); err != nil {
		t.Errorf("with force: %v", err)
	}
	if _, err := c.Issue(now.Add(2*time.Hour), rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.7")}); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// TestInviteConcurrent invites from several processes: no address is promised
// twice.
func TestInviteConcurrent(t *testing.T) {
	c := newVPN(t)
	const workers, each = 6, 4
	var wg sync.WaitGroup
	for w := range workers {
		mine := reopen(t, c)
		wg.Go(func() {
			for n := range each {
				if _, _, err := mine.Invite(now, rand.Reader, InviteOptions{Name: fmt.Sprintf("h%d-%d", w, n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list, err := c.Invitations()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Addr]string{}
	for _, i := range list {
		if other := seen[i.Addrs[0]]; other != "" {
			t.Errorf("%v is promised to %s and %s", i.Addrs[0], other, i.Name)
		}
		seen[i.Addrs[0]] = i.Name
	}
	if len(list) != workers*each {
		t.Errorf("%d invitations, want %d", len(list), workers*each)
	}
}

func TestUninvite(t *testing.T) {
	c := newVPN(t)
	first, _ := invite(t, c, InviteOptions{Name: "alice"})
	if got, err := c.Uninvite(now, "alice"); err != nil || got.ID != first.ID || got.State(now) != InvitationWithdrawn {
		t.Errorf("%+v, %v, want it withdrawn", got, err)
	}
	_, err := c.Uninvite(now, "alice")
	wantError(t, err, "withdrawn already")
	second, _ := invite(t, c, InviteOptions{Name: "alice"})
	if second.Addrs[0] != first.Addrs[0] {
		t.Errorf("address %v, want %v, which is free again", second.Addrs[0], first.Addrs[0])
	}
	if got, err := c.Uninvite(now, second.ID.String()); err != nil || got.ID != second.ID {
		t.Errorf("by ID: %+v, %v", got, err)
	}
	_, err = c.Uninvite(now, "nobody")
	wantError(t, err, "no invitation", "ca invitations")
	third, _ := invite(t, c, InviteOptions{Name: "alice"})
	_, err = c.Uninvite(now.Add(2*time.Hour), third.ID.String())
	wantError(t, err, "expired already")
	third.Used = now
	if err := c.writeInvitation(third); err != nil {
		t.Fatal(err)
	}
	_, err = c.Uninvite(now, third.ID.String())
	wantError(t, err, "was used", "ca revoke alice")
	// Long after, nobody needs to know any more.
	if _, _, err := c.Invite(now.Add(keepInvitations+3*time.Hour), rand.Reader, InviteOptions{Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	if list, err := c.Invitations(); err != nil || len(list) != 1 || list[0].Name != "bob" {
		t.Errorf("invitations %v, %v, want that of bob", list, err)
	}
	if _, err := os.Stat(c.invitationFile(first.ID)); err == nil {
		t.Error("an invitation of long ago is kept")
	}
}
