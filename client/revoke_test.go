package client

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
)

// A member is a node that uses the revocation lists that come from the RDV, as the
// program does.
type member struct {
	*node
	leaf *pkitest.Leaf
	news chan struct{}

	mu     sync.Mutex
	policy *pki.Policy
	lists  *pki.ListStore
}

func (m *member) Has(o channel.Object) bool {
	return o.Kind != channel.CRL || m.lists.Has(o.Hash)
}

func (m *member) Take(o channel.Object, data []byte) error {
	l, err := pki.ParseList(data, "received")
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.policy.Accept(time.Now(), l); err != nil {
		return err
	}
	if err := m.lists.Keep(l); err != nil {
		return err
	}
	m.policy = m.policy.WithLists(m.lists.Lists())
	m.news <- struct{}{}
	return nil
}

// verify decides under the policy in use.
func (m *member) verify(now time.Time, _ netip.Addr, chain [][]byte, server bool) error {
	m.mu.Lock()
	p := m.policy
	m.mu.Unlock()
	role := pki.Client
	if server {
		role = pki.Server
	}
	_, err := p.Verify(now, chain, role)
	return err
}

// members starts n members, 10.9.0.1 and so on.
func (v *vpn) members(n int) (ms []*member) {
	v.t.Helper()
	for i := range n {
		m := &member{news: make(chan struct{}, 8), policy: v.policy}
		var err error
		if m.lists, err = pki.OpenLists(""); err != nil {
			v.t.Fatal(err)
		}
		addr := fmt.Sprintf("10.9.0.%d", i+1)
		m.leaf = v.ca.Issue(v.t, "host "+addr, pkitest.Addrs(addr))
		m.node = v.node(v.home(i, portRestricted), "192.168.1.2:5000", addr, v.authentic(AuthYes, nil, func(c *Config) {
			c.Certificate = tls.Certificate{Certificate: m.leaf.Raw(), PrivateKey: m.leaf.Key}
			c.Verify, c.Objects = m.verify, m
		}))
		var wg sync.WaitGroup
		wg.Go(func() { // what the program's watch does
			for range m.news {
				s := m.client.set
				if err := m.client.Apply(v.t.Context(), s); err != nil {
					v.t.Error(err)
				}
			}
		})
		stop := m.stop
		m.stop = sync.OnceFunc(func() { stop(); close(m.news); wg.Wait() })
		ms = append(ms, m)
	}
	return ms
}

// TestRevokedEverywhere: of 20 nodes in a full mesh one is revoked. Within 10 s no
// tunnel with it is left anywhere, and none opens any more, whoever asks; handshakes
// under way included. No other tunnel is touched.
func TestRevokedEverywhere(t *testing.T) {
	const nodes = 20
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		ms := v.members(nodes)
		pass(2 * time.Second)
		for i, a := range ms {
			for _, b := range ms[i+1:] {
				if a != ms[1] { // these are in the middle of it when the list comes
					a.send(b.vpn, "hello")
				}
			}
			pass(100 * time.Millisecond)
		}
		pass(5 * time.Second)
		revoked := ms[0]
		for _, m := range ms[2:] {
			if s := revoked.state(m.node); s != "ESTABLISHED" {
				t.Fatalf("before: %v and %v: %s", revoked.vpn, m.vpn, s)
			}
			m.texts()
		}
		opened := map[*member]int{}
		for _, m := range ms {
			opened[m] = m.logged("New DTLS connection")
		}

		empty := v.ca.CRL(v.t, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
		list := v.ca.CRL(v.t, time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour), revoked.leaf.Cert)
		r.publish(empty)
		pass(5 * time.Second)
		for _, m := range ms[1:] {
			if got := m.logged("New DTLS connection"); got != opened[m] {
				t.Errorf("%v: %d new sessions because of a list with nobody on it", m.vpn, got-opened[m])
			}
		}
		r.publish(list)
		pass(15 * time.Millisecond)
		ms[1].send(revoked.vpn, "quick, before it comes")
		revoked.send(ms[1].vpn, "quick, before it comes")
		pass(10 * time.Second)
		wantCutOff(t, revoked, ms[1:])
		last := ms[nodes-1]
		for _, m := range ms[2 : nodes-1] {
			if s := m.state(last.node); s != "ESTABLISHED" {
				t.Errorf("%v and %v: %s", m.vpn, last.vpn, s)
			}
			m.ping(last.node, time.Second)
			if got := m.logged("New DTLS connection"); got != opened[m] {
				t.Errorf("%v has opened %d sessions", m.vpn, got-opened[m])
			}
		}
		// An older list, and one that another has made, change nothing.
		foreign := pkitest.NewCA(v.t, "test CA", time.Now()).CRL(v.t, time.Now(), time.Now().Add(time.Hour), last.leaf.Cert)
		r.publish(empty, foreign)
		pass(10 * time.Second)
		ms[2].ping(last.node, time.Second)
		if err := revoked.verify(time.Now(), netip.Addr{}, revoked.leaf.Raw(), false); err == nil {
			t.Error("the revoked node itself does not know it")
		}
	})
}

// wantCutOff checks that a member has no tunnel with others, and that none opens.
func wantCutOff(t *testing.T, revoked *member, others []*member) {
	t.Helper()
	for i, m := range others {
		if s := m.state(revoked.node); s == "ESTABLISHED" {
			t.Errorf("%v still has a tunnel with the revoked node", m.vpn)
		}
		m.texts()
		if i%2 == 0 {
			m.send(revoked.vpn, "from a member")
		} else {
			revoked.send(m.vpn, "from the revoked")
		}
	}
	revoked.texts()
	pass(10 * time.Second)
	for _, m := range others {
		if got := m.texts(); len(got) > 0 {
			t.Errorf("%v has received %q from the revoked node", m.vpn, got)
		}
		if s := m.state(revoked.node); s == "ESTABLISHED" {
			t.Errorf("%v has opened a tunnel with the revoked node", m.vpn)
		}
	}
	if got := revoked.texts(); len(got) > 0 {
		t.Errorf("the revoked node has received %q", got)
	}
}

// TestRenewedCertificate: with a new certificate of the same name and key, and with one
// for a new key, sessions stay, and the channel moves without a gap.
func TestRenewedCertificate(t *testing.T) {
	for _, newKey := range []bool{false, true} {
		t.Run(fmt.Sprint("new key ", newKey), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				r := v.startTestRDV(nil)
				ms := v.members(3)
				pass(time.Second)
				a := ms[0]
				for _, m := range ms[1:] {
					a.ping(m.node, 5*time.Second)
				}
				key := a.leaf.Key
				if newKey {
					key = pkitest.NewKey(v.t)
				}
				next := v.ca.IssueKey(v.t, a.leaf.Cert.Subject.CommonName, key, pkitest.Addrs("10.9.0.1"), func(c *x509.Certificate) {
					c.NotAfter = c.NotAfter.AddDate(1, 0, 0)
				})
				s := a.client.set
				s.Certificate = tls.Certificate{Certificate: next.Raw(), PrivateKey: next.Key}
				if err := a.client.Apply(v.t.Context(), s); err != nil {
					t.Fatal(err)
				}
				for range 200 {
					if st := a.status(); !st.Registered || !st.RDV().Authenticated {
						t.Fatal("not registered for a moment")
					}
					pass(5 * time.Millisecond)
				}
				r.with(func() {
					if got := r.where[a.vpn].leaf; !got.Equal(next.Cert) {
						t.Errorf("registered with the certificate that ends on %v", got.NotAfter)
					}
				})
				for _, m := range ms[1:] {
					a.ping(m.node, time.Second)
					if n := m.logged("New DTLS connection"); n != 1 {
						t.Errorf("%v has opened %d sessions, want 1", m.vpn, n)
					}
				}
			})
		})
	}
}
