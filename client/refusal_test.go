package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
	"campagnol/tunnel/handshake"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// TestRecent: refusals are counted by peer and code, the newest first, and the oldest
// forgotten.
func TestRecent(t *testing.T) {
	var l recent
	bob, carol := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.3")
	for i, n := range []struct {
		vpn  netip.Addr
		code string
	}{{bob, "expired"}, {carol, "expired"}, {bob, "revoked"}, {netip.Addr{}, "expired"}, {bob, "expired"}} {
		l.note(began.Add(time.Duration(i)*time.Second), n.vpn, n.code, fmt.Errorf("number %d", i))
	}
	var got []string
	for _, r := range l.list {
		got = append(got, fmt.Sprintf("%v %s %d %v-%v %v", r.VPNAddr, r.Code, r.Count, r.First.Sub(began), r.Last.Sub(began), r.Err))
	}
	want := []string{"10.9.0.2 expired 2 0s-4s number 4", "invalid IP expired 1 3s-3s number 3",
		"10.9.0.2 revoked 1 2s-2s number 2", "10.9.0.3 expired 1 1s-1s number 1"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range 10 * maxRefusals {
		l.note(began.Add(time.Hour), netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), "revoked", errors.New("x"))
	}
	if len(l.list) != maxRefusals || cap(l.list) > 4*maxRefusals {
		t.Errorf("%d refusals in room for %d, want %d", len(l.list), cap(l.list), maxRefusals)
	}
	if last := l.list[0].VPNAddr; last != netip.AddrFrom4([4]byte{10, 1, 2, 127}) {
		t.Errorf("the newest is of %v", last)
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&pki.Refusal{Reason: pki.Expired}, "expired"},
		{fmt.Errorf("handshake: %w", &pki.Refusal{Reason: pki.NewerCertificate}), "newer_certificate"},
		{&refusedError{&ClaimError{}}, "claimed"},
		{&handshake.AlertError{Description: alert.UnknownCA}, CodeRefusedUs},
		{&handshake.AlertError{Description: alert.BadCertificate}, CodeRefusedUs},
		{&handshake.AlertError{Description: alert.InternalError}, CodeEndedByPeer},
		{&handshake.LegacyError{Cause: &handshake.AlertError{Description: alert.ProtocolVersion}}, CodeLegacy},
		{&RefusedError{Reason: channel.Taken}, "rdv_taken"},
		{&RefusedError{Reason: channel.Gone}, "rdv_other"},
		{errNoChannel, CodeNoChannel},
		{errProtocol, CodeNoProtocol},
		{errNoKnock, ""},
		{errSilent, ""},
		{handshake.ErrTimeout, ""},
		{context.Canceled, ""},
		{nil, ""},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v has the code %q, want %q", c.err, got, c.want)
		}
	}
}

// refusalOf returns what a node's status says about a peer's, or the RDV's, refusals.
func (n *node) refusalOf(vpn netip.Addr) (list []Refusal) {
	for _, r := range n.status().Refusals {
		if r.VPNAddr == vpn {
			list = append(list, r)
		}
	}
	return list
}

// TestRefusalsOfPeers: both ends of a refusal say in log and status what it is.
func TestRefusalsOfPeers(t *testing.T) {
	for _, c := range []struct {
		code string
		leaf func(v *vpn) *pkitest.Leaf
	}{
		{"expired", func(v *vpn) *pkitest.Leaf {
			return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"), pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)))
		}},
		{"not_yet_valid", func(v *vpn) *pkitest.Leaf {
			return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"), pkitest.Valid(time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)))
		}},
		{"unknown_ca", func(v *vpn) *pkitest.Leaf {
			return pkitest.NewCA(v.t, "another CA", time.Now()).Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"))
		}},
		{"address_mismatch", func(v *vpn) *pkitest.Leaf { return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.7")) }},
		{"wrong_usage", func(v *vpn) *pkitest.Leaf {
			return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"), pkitest.ExtUsage(x509.ExtKeyUsageCodeSigning))
		}},
	} {
		t.Run(c.code, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.pair(nil)
				mallory := v.node(v.home(6, portRestricted), "192.168.1.2:5000", "10.9.0.66", use(c.leaf(v)))
				pass(time.Second)
				for range 3 {
					mallory.send(alice.vpn, "let me in")
					pass(20 * time.Second)
				}
				alice.ping(bob, 5*time.Second)
				rs := alice.refusalOf(mallory.vpn)
				if len(rs) != 1 || rs[0].Code != c.code || rs[0].Count < 2 || !rs[0].Last.After(rs[0].First) {
					v.t.Fatalf("alice's status: %+v, want %s, several times", rs, c.code)
				}
				var about *pki.Refusal
				if !errors.As(rs[0].Err, &about) || about.Subject == "" || about.Serial == "" || about.Issuer == "" || about.NotAfter.IsZero() {
					v.t.Errorf("which certificate it is about is not said: %+v", about)
				}
				alice.logs("Error during DTLS handshake", "code="+c.code, "peer=10.9.0.66", "serial "+about.Serial, "issued by "+about.Issuer)
				if rs := mallory.refusalOf(alice.vpn); len(rs) != 1 || rs[0].Code != CodeRefusedUs {
					v.t.Errorf("mallory's status: %+v, want %s", rs, CodeRefusedUs)
				}
				if rs := bob.status().Refusals; len(rs) != 0 {
					v.t.Errorf("bob's status: %+v, want nothing", rs)
				}
			})
		})
	}
}

// TestRefusalOfOpenTunnel: a tunnel that ends because its peer is no longer accepted
// is a refusal, too.
func TestRefusalOfOpenTunnel(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		s := alice.client.set
		s.Verify = func(time.Time, netip.Addr, [][]byte, bool) error {
			return &pki.Refusal{Reason: pki.Revoked, Detail: "x"}
		}
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		if rs := alice.refusalOf(bob.vpn); len(rs) != 1 || rs[0].Code != "revoked" {
			v.t.Errorf("status: %+v, want revoked", rs)
		}
		alice.logs("Closing DTLS connection with peer", "code=revoked")
	})
}

// TestRefusalsOfServer: what the RDV refuses, and who is none, is in log and status.
func TestRefusalsOfServer(t *testing.T) {
	for _, c := range []struct {
		code string
		edit func(v *vpn, r *testRDV)
	}{
		{"expired", func(v *vpn, r *testRDV) {
			r.use(v.ca.Issue(v.t, "rdv", asRendezvous, pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))))
		}},
		{"unknown_ca", func(v *vpn, r *testRDV) {
			r.use(pkitest.NewCA(v.t, "another CA", time.Now()).Issue(v.t, "rdv", asRendezvous))
		}},
		{CodeEndedByPeer, func(v *vpn, r *testRDV) { r.protocol = "campagnol/1" }},
	} {
		t.Run(c.code, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.startTestRDV(func(r *testRDV) { c.edit(v, r) })
				alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, new(memory)))
				pass(time.Minute)
				rs := alice.refusalOf(netip.Addr{})
				if len(rs) != 1 || rs[0].Code != c.code || rs[0].Count < 2 {
					v.t.Errorf("status: %+v, want %s, several times", rs, c.code)
				}
				alice.logs("No authenticated channel to the RDV server", "code="+c.code)
			})
		})
	}
}

// TestRefusalOfRegistration: a NOK is a refusal.
func TestRefusalOfRegistration(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
		pass(time.Second)
		double := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
		pass(time.Minute)
		if rs := double.refusalOf(netip.Addr{}); len(rs) != 1 || rs[0].Code != CodeRegistration || rs[0].Err == nil {
			v.t.Errorf("status: %+v, want %s", rs, CodeRegistration)
		}
		if rs := alice.status().Refusals; len(rs) != 0 {
			v.t.Errorf("the first one's status: %+v, want nothing", rs)
		}
	})
}
