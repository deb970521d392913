package rdv

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/rdv/wire"
)

// A teller remembers what the server tells.
type teller struct {
	mu   sync.Mutex
	list []Event
}

func (n *teller) note(_ time.Time, e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, e)
}

// kinds returns how often each of some kinds was told.
func (n *teller) kinds(of ...EventKind) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := map[EventKind]int{}
	for _, e := range n.list {
		count[e.Kind]++
	}
	var words []string
	for _, k := range of {
		words = append(words, fmt.Sprint(k, "*", count[k]))
	}
	return strings.Join(words, " ")
}

// TestNotifyConflict: who asks in clear for an address that another client holds, or has no
// certificate where one is needed, is told each time, and fills no history.
func TestNotifyConflict(t *testing.T) {
	hello := wire.Message{Type: wire.Hello, IP1: ip1}
	for _, c := range []struct {
		mode Mode
		want string
		code string
	}{
		{Open, "conflict*5 denied*0 registered*1", "rdv_taken"},
		{Strict, "conflict*0 denied*6 registered*0", "rdv_denied"},
	} {
		s, now := newStage(t, c.mode, 0), time.Now()
		n := new(teller)
		s.reg.cfg.Trace = func(e Event) { n.note(time.Time{}, e) }
		s.reg.Handle(now, In{From: epA, Msg: hello}, nil)
		for i := range 5 {
			s.reg.Handle(now, In{From: netip.AddrPortFrom(epB.Addr(), uint16(4000+i)), Msg: hello}, nil)
		}
		if got := n.kinds(Conflict, Denied, ClientAdded); got != c.want {
			t.Errorf("%v: %s, want %s", c.mode, got, c.want)
		}
		if last := n.list[len(n.list)-1]; last.Code != c.code || last.VPN != ip1 || last.Endpoint.Addr() != epB.Addr() {
			t.Errorf("%v: the last one is %+v", c.mode, last)
		}
	}
	for k := ClientAdded; k <= Denied; k++ {
		if got, want := k.forNotify(), k == Moved || k == Conflict || k == Denied; got != want {
			t.Errorf("%v is for Notify alone: %v", k, got)
		}
	}
}

// TestNotify: a server tells whose channels come, go and are cut, with key and serial
// number, and who is refused, however often; its history is bounded as before.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(teller)
		a := serve(t, Strict)
		a.cfg.Notify = n.note // before there is anything to tell
		defer a.end()
		x := a.client(t, epA, "mallory", "10.9.0.1").dial()
		x.register(ip1)
		for range 2000 {
			a.hub.from(epC, wire.Message{Type: wire.Hello, IP1: ip3}.Append(nil))
		}
		a.SetTrust(a.trust(t, x.leaf.Cert))
		synctest.Wait()
		if got, want := n.kinds(ChannelOpened, ClientAdded, Distrusted, ChannelClosed), "channel_opened*1 registered*1 distrusted*1 channel_closed*1"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		for _, e := range n.list {
			if e.Kind == Denied {
				continue
			}
			if e.Name != "mallory" || e.Key != pki.KeyOf(x.leaf.Cert) || e.Serial != pki.SerialOf(x.leaf.Cert) {
				t.Errorf("%v is about %q, %v, %s", e.Kind, e.Name, e.Key, e.Serial)
			}
			if e.Kind == Distrusted && e.Code != "revoked" {
				t.Errorf("the code is %q", e.Code)
			}
		}
		if list, _ := a.History().After(0, 5000); len(list) != 5 {
			t.Errorf("the history has %d events: %+v", len(list), list)
		}
	})
}
