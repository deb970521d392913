package client

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/channel"
)

// named returns a list with names, behind which there are more if more is an address.
func named(more string, members ...channel.Member) channel.Message {
	m := channel.Message{Type: channel.Listed, Named: true}
	for _, o := range members {
		m.Data = channel.AppendMember(m.Data, o)
	}
	if more != "" {
		m.VPN = []netip.Addr{netip.MustParseAddr(more)}
	}
	return m
}

func lists(name, addr string, gateway bool) channel.Member {
	return channel.Member{Addr: netip.MustParseAddr(addr), Name: name, Gateway: gateway}
}

// TestMembers: whom an RDV lists, also in several pieces, and what becomes of one that
// lies, knows no names, refuses, or says nothing.
func TestMembers(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(after netip.Addr) channel.Message
		want   string // members; "...": any number, but bounded
		took   time.Duration
	}{
		{"pieces", func(after netip.Addr) channel.Message {
			if !after.IsValid() {
				return named("10.9.0.3", lists("gate", "10.9.0.3", true), lists("alice", "10.9.0.2", false))
			}
			return named("", lists("gate", "fd09::3", false), lists("", "10.9.0.9", false), lists("liar", "10.9.0.3", false))
		}, "[{alice [10.9.0.2] false} {gate [10.9.0.3 fd09::3] true}]", 0},
		{"a server of before", func(netip.Addr) channel.Message { return listed(netip.Addr{}, nthMember(2)) }, "[]", 0},
		{"garbage", func(netip.Addr) channel.Message {
			return channel.Message{Type: channel.Listed, Named: true, Data: []byte{1, 2, 3}}
		}, "[]", 0},
		{"refused", func(netip.Addr) channel.Message {
			return channel.Message{Type: channel.Refused, Reason: channel.Busy}
		}, "[]", 0},
		{"the same again and again", func(netip.Addr) channel.Message { return named("10.9.0.2", lists("alice", "10.9.0.2", false)) },
			"[{alice [10.9.0.2] false}]", 0},
		{"without end", func(after netip.Addr) channel.Message {
			next := netip.MustParseAddr("10.9.0.1")
			if after.IsValid() {
				next = after.Next()
			}
			return named(next.String(), lists("x"+next.String(), next.String(), true))
		}, "...", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				r := v.startTestRDV(listing(func(_ *testChannel, after netip.Addr) channel.Message { return c.answer(after) }))
				alice, _ := v.pair(v.authentic(AuthYes, nil))
				ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Minute)
				defer cancel()
				list, err := alice.client.Members(ctx)
				if err != nil {
					v.t.Fatal(err)
				}
				if got := fmt.Sprint(list); c.want != "..." && got != c.want {
					v.t.Errorf("%s, want %s", got, c.want)
				}
				if n := r.count("LIST"); n > maxPieces || len(list) > maxRoster {
					v.t.Errorf("%d members after %d requests", len(list), n)
				}
				if ctx.Err() != nil {
					v.t.Error("it has taken minutes")
				}
				left := -1
				if err := alice.client.do(v.t.Context(), func(time.Time) { left = len(alice.client.censuses) }); err != nil || left != 0 {
					v.t.Errorf("%d lists are still waited for, %v", left, err)
				}
			})
		})
	}
}

// TestMembersSilent: an RDV that does not answer costs no more than the caller's
// patience, and one in clear has no list.
func TestMembersSilent(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(func(r *testRDV) {
			r.hook = func(_ *testRDV, _ *testChannel, m channel.Message) bool { return m.Type == channel.List }
		})
		alice, _ := v.pair(v.authentic(AuthYes, nil))
		ctx, cancel := context.WithTimeout(v.t.Context(), 500*time.Millisecond)
		defer cancel()
		began := time.Now()
		list, err := alice.client.Members(ctx)
		if took := time.Since(began); err != nil || len(list) != 0 || took != 500*time.Millisecond {
			v.t.Errorf("%v, %v after %v", list, err, took)
		}
		began = time.Now()
		list, err = alice.client.Members(v.t.Context()) // it gives up by itself
		if took := time.Since(began); err != nil || len(list) != 0 || took > 20*time.Second {
			v.t.Errorf("%v, %v after %v", list, err, took)
		}
	})
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		if list, err := alice.client.Members(v.t.Context()); err != nil || len(list) != 0 {
			v.t.Errorf("in clear: %v, %v", list, err)
		}
	})
}

// TestMeet: a peer is met once, and what is no peer not at all.
func TestMeet(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		v.host(2, "bob", []string{"10.9.0.2"})
		for _, a := range []string{"10.9.0.2", "10.9.0.2", "192.0.2.1", "10.9.0.1", "::ffff:10.9.0.2"} {
			if err := alice.client.Meet(v.t.Context(), netip.MustParseAddr(a)); err != nil {
				v.t.Fatal(err)
			}
			pass(2 * time.Second)
		}
		if n := alice.sessions(); n != 1 {
			v.t.Errorf("%d sessions, want one", n)
		}
		if n := len(alice.status().Peers); n != 1 {
			v.t.Errorf("%d peers, want one", n)
		}
	})
}
