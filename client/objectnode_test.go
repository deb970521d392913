package client

import (
	"bytes"
	"testing"
	"time"

	"campagnol/punch/simnet"
)

// TestObjectOverLoss: an object comes over a path that loses much, and through a NAT.
func TestObjectOverLoss(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		want := blob(60_000, 1)
		r.publish(want)
		n := 0
		v.net.Drop(func(p simnet.Packet) bool {
			n++
			return n%5 == 0
		})
		store := newTestStore(v.t)
		v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil, store.stores))
		pass(90 * time.Second)
		store.wants(want)
	})
}

// TestObjectAcrossRestart: a server that is restarted in the middle of an object goes on
// with it; what is there is not sent again.
func TestObjectAcrossRestart(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		want := blob(400_000, 1)
		r.publish(want)
		store := newTestStore(v.t)
		v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil, store.stores))
		pass(time.Second) // 20 ms for 8 kB
		if store.count() != 0 {
			t.Fatal("the object came too soon for this test")
		}
		r.restart()
		pass(30 * time.Second)
		store.wants(want)
		pieces := (len(want) + 1023) / 1024
		if got := r.count("FETCH"); got < pieces || got > pieces+8*fetchWindow {
			t.Errorf("%d FETCHes for %d pieces", got, pieces)
		}
	})
}

// TestObjectOfNoUse: what the store refuses is not fetched again, until the settings are
// others.
func TestObjectOfNoUse(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		store := newTestStore(v.t)
		store.refuse(true)
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil, store.stores))
		pass(time.Second)
		want := blob(3000, 1)
		for range 20 {
			r.publish(want)
			pass(10 * time.Second)
		}
		if got := r.count("FETCH"); got != 3 || store.count() != 1 {
			t.Errorf("%d FETCHes, %d objects, want 3 and 1", got, store.count())
		}
		store.refuse(false)
		if err := alice.client.Apply(v.t.Context(), alice.client.set); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if store.count() != 2 || !bytes.Equal(store.taken[1], want) {
			t.Errorf("%d objects, want it once more", store.count())
		}
		s := alice.client.set
		s.Objects = nil
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			t.Fatal(err)
		}
		r.publish(blob(3000, 2))
		pass(time.Minute)
		if store.count() != 2 || r.count("FETCH") != 6 {
			t.Errorf("%d objects after nothing is wanted any more", store.count())
		}
	})
}
