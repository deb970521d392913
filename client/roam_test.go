package client

import (
	"fmt"
	"testing"
	"time"

	"campagnol/punch/simnet"
)

// moves are the ways in which a node's place changes, and the gap that each may make.
var moves = []struct {
	name string
	move func(r *roamers)
	most time.Duration
}{
	{"bob's NAT has another address", func(r *roamers) { r.bob.conn.Host().Site().SetPublic("203.0.113.99") }, time.Second},
	{"alice's NAT has another address", func(r *roamers) { r.alice.conn.Host().Site().SetPublic("203.0.113.98") }, time.Second},
	{"bob's NAT forgets", func(r *roamers) { r.bob.conn.Host().Site().Restart() }, time.Second},
	{"bob goes to another network", func(r *roamers) { r.bob.conn.Host().Move(r.home(9, portRestricted), "10.0.0.7") }, time.Second},
	{"bob goes to the Internet", func(r *roamers) { r.bob.conn.Host().Move(r.net.Internet(), "198.51.100.77") }, time.Second},
	{"both NATs have another address", func(r *roamers) {
		r.alice.conn.Host().Site().SetPublic("203.0.113.98")
		r.bob.conn.Host().Site().SetPublic("203.0.113.99")
	}, 5 * time.Second},
	{"both go elsewhere", func(r *roamers) {
		r.alice.conn.Host().Move(r.home(8, portRestricted), "10.0.0.8")
		r.bob.conn.Host().Move(r.home(9, portRestricted), "10.0.0.7")
	}, 5 * time.Second},
	{"bob's NAT has another address, and the RDV is restarted", func(r *roamers) {
		r.bob.conn.Host().Site().SetPublic("203.0.113.99")
		r.restartRDV()
	}, 3 * time.Second},
	{"bob goes elsewhere, and the RDV is away for a second", func(r *roamers) {
		r.bob.conn.Host().Move(r.home(9, portRestricted), "10.0.0.7")
		r.stop()
		r.stop = func() {}
		go func() {
			time.Sleep(time.Second)
			r.restartRDV()
		}()
	}, 3 * time.Second},
}

// TestRoam: an address changes while data flows. The gap is short, the session stays, and
// nothing arrives twice.
func TestRoam(t *testing.T) {
	for _, m := range moves {
		for kind := range flowKinds {
			t.Run(m.name+", "+flowKinds[kind].name, func(t *testing.T) {
				t.Parallel()
				inRoam(t, false, nil, func(r *roamers) {
					f := newFlow(r.vpn, r.alice, r.bob, kind)
					m.move(r)
					f.flowFor(6 * time.Second)
					f.wantGap(m.most)
					f.wantSame()
				})
			})
		}
	}
}

// TestRoamNATs: the same behind NATs of every way to filter, with ports of each kind.
func TestRoamNATs(t *testing.T) {
	for _, ports := range allocations {
		for _, af := range dependences {
			for _, bf := range dependences {
				a, b := simnet.NAT{Filtering: af, Ports: ports}, simnet.NAT{Filtering: bf, Ports: ports}
				t.Run(fmt.Sprintf("%v/%d-%d", ports, af, bf), func(t *testing.T) {
					t.Parallel()
					inRoam(t, false, []simnet.NAT{a, b}, func(r *roamers) {
						for i, m := range moves[:3] {
							f := newFlow(r.vpn, r.alice, r.bob, i%len(flowKinds))
							if i == 2 {
								r.bob.conn.Host().Site().Restart()
							} else {
								m.move(r)
							}
							f.flowFor(3 * time.Second)
							f.wantGap(m.most)
							f.wantSame()
						}
					})
				})
			}
		}
	}
}

// TestRoamIdle: the RDV sees us elsewhere than before. Sessions through which nothing goes
// follow at once, so that the next packet does not wait.
func TestRoamIdle(t *testing.T) {
	for i, m := range moves[:5] {
		t.Run(m.name, func(t *testing.T) {
			inRoam(t, false, nil, func(r *roamers) {
				f := newFlow(r.vpn, r.alice, r.bob, 0)
				pass(30 * time.Second)
				m.move(r)
				pass(15 * time.Second) // PINGs, and their answers
				r.alice.texts()
				r.bob.texts()
				from, to := r.alice, r.bob
				if i%2 == 0 {
					from, to = to, from
				}
				if took := from.ping(to, time.Second); took > 100*time.Millisecond {
					r.t.Errorf("the first round trip takes %v", took)
				}
				f.wantSame()
				if n := r.alice.logged("Peer no longer answers") + r.bob.logged("Peer no longer answers"); n != 0 {
					r.t.Errorf("%d times somebody was missed", n)
				}
			})
		})
	}
}

// TestRoamTwice: one change after another, on alternate sides, over one session.
func TestRoamTwice(t *testing.T) {
	inRoam(t, false, nil, func(r *roamers) {
		f := newFlow(r.vpn, r.alice, r.bob, 0)
		for i := range 10 {
			n := f.ends[i%2]
			n.conn.Host().Site().SetPublic(fmt.Sprintf("203.0.113.%d", 100+i))
			f.flowFor(time.Duration(1500+300*i) * time.Millisecond)
			f.wantGap(time.Second)
		}
		f.wantSame()
		for _, n := range f.ends {
			if p := onlyPeer(n); p.Moves != 5 {
				r.t.Errorf("%v has moved %d times, want once for each of the peer's", n.vpn, p.Moves)
			}
		}
		err := r.alice.client.do(r.t.Context(), func(time.Time) {
			if n := len(r.alice.client.peers[r.bob.vpn].sources); n > 4 {
				r.t.Errorf("%d addresses are remembered", n)
			}
		})
		if err != nil {
			r.t.Fatal(err)
		}
	})
}

// TestRestartedBehindSession: a peer that was restarted, and asks for us, is not kept
// waiting by the session that it has forgotten.
func TestRestartedBehindSession(t *testing.T) {
	inRoam(t, false, nil, func(r *roamers) {
		r.alice.ping(r.bob, 5*time.Second)
		r.bob.kill()
		bob := r.roamer(r.home(5, portRestricted), "192.168.2.2", "10.9.0.2", func(c *Config) {
			r.authentic(AuthYes, nil)(c)
		})
		pass(10 * time.Second) // its key is another, for which the RDV waits
		bob.send(r.alice.vpn, "I am back")
		if took := r.alice.wants("I am back", time.Second); took > 200*time.Millisecond {
			r.t.Errorf("took %v, want what a first packet takes", took)
		}
	})
}
