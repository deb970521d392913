package client

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
	"campagnol/tunnel/handshake"
)

// TestChannelServerCertificate: a server whose certificate is not good is none. The
// log says so once, and the status shows it; a client that may registers in clear.
func TestChannelServerCertificate(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   func(v *vpn, r *testRDV)
		policy func(v *vpn, leaf *x509.Certificate) *pki.Policy // nil: the usual one
		reason string
	}{
		{"a member's", func(v *vpn, r *testRDV) { r.use(v.ca.Issue(v.t, "bob", pkitest.Addrs("10.9.0.2"))) }, nil, "not one for a rendezvous server"},
		{"expired", func(v *vpn, r *testRDV) {
			r.use(v.ca.Issue(v.t, "rdv", asRendezvous, pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))))
		}, nil, "expired"},
		{"of another authority", func(v *vpn, r *testRDV) {
			r.use(pkitest.NewCA(v.t, "another CA", time.Now()).Issue(v.t, "rdv", asRendezvous))
		}, nil, "CA"},
		{"revoked", nil, func(v *vpn, leaf *x509.Certificate) *pki.Policy {
			crl := v.ca.CRL(v.t, time.Now().Add(-time.Minute), time.Now().Add(time.Hour), leaf)
			p, err := pki.NewPolicy([]*x509.Certificate{v.ca.Cert}, [][]byte{crl}, 0)
			if err != nil {
				v.t.Fatal(err)
			}
			return p
		}, "revoked"},
		{"another protocol", func(v *vpn, r *testRDV) { r.protocol = "campagnol/1" }, nil, "alert"},
		{"a client's usage only", func(v *vpn, r *testRDV) {
			r.use(v.ca.Issue(v.t, "rdv", asRendezvous, pkitest.ExtUsage(x509.ExtKeyUsageClientAuth)))
		}, nil, "serverAuth"},
	} {
		for _, auth := range []Auth{AuthYes, AuthAuto} {
			t.Run(c.name+", "+auth.String(), func(t *testing.T) {
				inBubble(t, func(v *vpn) {
					r := v.startTestRDV(func(r *testRDV) {
						if c.edit != nil {
							c.edit(v, r)
						}
					})
					leaf, err := x509.ParseCertificate(r.cert.Certificate[0])
					if err != nil {
						v.t.Fatal(err)
					}
					mem := new(memory)
					alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(auth, mem, func(cfg *Config) {
						if c.policy != nil {
							cfg.VerifyServer = v.verifyServer(c.policy(v, leaf))
						}
					}))
					pass(time.Minute)
					s := alice.status()
					if s.RDV().Authenticated || s.Registered != (auth == AuthAuto) || mem.known.Load() {
						v.t.Errorf("registered %v, %+v, remembered %v", s.Registered, s.RDV(), mem.known.Load())
					}
					if !strings.Contains(s.RDV().Refusal, c.reason) || s.RDV().RefusedAt.IsZero() {
						v.t.Errorf("the status says %q at %v, want %q", s.RDV().Refusal, s.RDV().RefusedAt, c.reason)
					}
					if n := alice.logged("No authenticated channel to the RDV server"); n != 1 {
						v.t.Errorf("logged %d times, want once", n)
					}
				})
			})
		}
	}
}

// TestChannelRefused: a server that refuses a registration says why.
func TestChannelRefused(t *testing.T) {
	for _, c := range []struct {
		reason channel.Reason
		hint   string
	}{
		{channel.NotYours, "campagnol ca issue NAME --ip 10.9.0.1"},
		{channel.Taken, "another client may hold this VPN address"},
		{channel.Full, "trying again"},
	} {
		inBubble(t, func(v *vpn) {
			v.startTestRDV(func(r *testRDV) {
				r.hook = func(r *testRDV, ch *testChannel, m channel.Message) bool {
					r.answer(ch, m, channel.Message{Type: channel.Refused, Reason: c.reason})
					return true
				}
			})
			alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil))
			pass(time.Minute)
			if s := alice.status(); s.Registered || s.RDV().Refusal != "refused: "+c.reason.String() {
				v.t.Errorf("%v: %+v", c.reason, s.RDV())
			}
			if n := alice.logged(c.hint); n != 1 {
				v.t.Errorf("%v: %q logged %d times, want once:\n%s", c.reason, c.hint, n, alice.log.String())
			}
		})
	}
}

// TestChannelForbidden: a server that knows the peer but does not lead to it says why,
// and the peer's failure tells it.
func TestChannelForbidden(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(func(r *testRDV) {
			r.hook = func(r *testRDV, ch *testChannel, m channel.Message) bool {
				if m.Type == channel.Ask {
					r.answer(ch, m, channel.Message{Type: channel.Refused, Reason: channel.Forbidden, Text: "guests stay outside"})
				}
				return m.Type == channel.Ask
			}
		})
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.send(bob.vpn, "let me in")
		pass(time.Second)
		f := alice.status().Failures
		if len(f) != 1 || f[0].VPNAddr != bob.vpn || f[0].Reason != "the RDV server: refused: the policy does not allow it: guests stay outside" {
			v.t.Errorf("failures %+v", f)
		}
		if n := alice.logged("The RDV server does not introduce us to the peer"); n != 1 {
			v.t.Errorf("logged %d times, want once", n)
		}
	})
}

// hinted is an error with a hint.
type hinted struct{ error }

func (hinted) Hint() string { return "do it otherwise" }

// TestChannelHints: who has no channel is told what to do.
func TestChannelHints(t *testing.T) {
	for _, c := range []struct {
		auth Auth
		err  error
		want string
	}{
		{AuthYes, hinted{errNoKnock}, "do it otherwise"},
		{AuthYes, fmt.Errorf("more: %w", hinted{errNoKnock}), "do it otherwise"},
		{AuthYes, errNoChannel, "set rdv_auth = auto"},
		{AuthAuto, errNoChannel, "campagnol forget --rdv"},
		{AuthAuto, errNoKnock, "campagnol forget --rdv"},
		{AuthYes, errNoKnock, "trying again"},
		{AuthYes, errNoJoin, "trying again"},
		{AuthYes, &RefusedError{Reason: channel.NotYours}, "--ip 10.9.0.2"},
		{AuthYes, &RefusedError{Reason: channel.Taken}, "another client"},
		{AuthYes, &RefusedError{Reason: channel.Full}, "trying again"},
		{AuthAuto, &handshake.AlertError{}, "its log says why"},
	} {
		client := &Client{cfg: Config{VPNAddr: bobVPN}}
		client.set.Auth = c.auth
		if got := client.channelHint(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%v, %v: %q, want %q in it", c.auth, c.err, got, c.want)
		}
		if !client.once(c.err) || client.once(c.err) {
			t.Errorf("%v is not said once", c.err)
		}
	}
	client := new(Client)
	for i, text := range []string{"expired 1 s ago", "expired 25 s ago", "revoked"} {
		if got, want := client.once(fmt.Errorf("%s", text)), i != 1; got != want {
			t.Errorf("%q is new: %v, want %v", text, got, want)
		}
	}
	for i := range 100 {
		client.once(fmt.Errorf("text %s", strings.Repeat("x", i)))
	}
	if n := len(client.said); n > 16 {
		t.Errorf("%d texts are remembered", n)
	}
}

// TestChannelNewCertificate: with a new certificate of ours there is a new channel;
// until it stands, the old one does.
func TestChannelNewCertificate(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.ping(bob, 5*time.Second)
		leaf := v.ca.Issue(v.t, "alice anew", pkitest.Addrs("10.9.0.1"))
		s := alice.client.set
		s.Certificate.Certificate, s.Certificate.PrivateKey = leaf.Raw(), leaf.Key
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		for range 50 {
			if !alice.status().Registered {
				v.t.Fatal("alice is not registered for a moment")
			}
			pass(10 * time.Millisecond)
		}
		r.with(func() {
			if got := r.where[alice.vpn].leaf; !bytes.Equal(got.Raw, leaf.Cert.Raw) {
				v.t.Errorf("alice is registered with %q", got.Subject.CommonName)
			}
		})
		if got := r.count("REGISTER"); got != 3 {
			v.t.Errorf("%d REGISTERs, want 3", got)
		}
		// The same settings again change nothing.
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		if got := r.count("REGISTER"); got != 3 {
			v.t.Errorf("%d REGISTERs after nothing has changed, want 3", got)
		}
		alice.ping(bob, time.Second)
	})
}

// TestChannelServerRevoked: with settings under which the server's certificate is no
// longer good, the channel ends at once.
func TestChannelServerRevoked(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.ping(bob, 5*time.Second)
		s := alice.client.set
		s.VerifyServer = func(time.Time, [][]byte) (ServerIdentity, error) {
			return ServerIdentity{}, fmt.Errorf("certificate revoked")
		}
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		if alice.status().Registered {
			v.t.Error("alice is still registered")
		}
		pass(20 * time.Second)
		if got := alice.status().RDV().Refusal; got != "certificate revoked" {
			v.t.Errorf("the status says %q", got)
		}
		if r.count("alert") == 0 {
			v.t.Error("the server was not told")
		}
		alice.ping(bob, time.Second) // the tunnel is another matter
	})
}
