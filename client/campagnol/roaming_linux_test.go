package main

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"

	"github.com/vishvananda/netlink"
)

// tether lays a cable from a host, where it is ifname, into the network of another NAT,
// and leaves it unplugged. The host has the address there.
func (v *village) tether(host, ifname string, nat *lab.NAT, addr netip.Addr) {
	v.t.Helper()
	h := v.hosts[host]
	_, err := v.lab.Join(nat.Node, "tether", h.Node, ifname)
	v.must(err)
	v.must(nat.Do(func() error {
		port, err := netlink.LinkByName("tether")
		if err != nil {
			return err
		}
		bridge, err := netlink.LinkByName("lan")
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(port, bridge)
	}))
	v.must(h.Interface(ifname).AddAddress(netip.PrefixFrom(addr, nat.LAN().Bits())))
	v.must(h.Interface(ifname).SetUp(false))
}

// goesBy has a host leave one network and enter another one, whose router is known.
func (v *village) goesBy(host, from, to string, router netip.Addr) {
	v.t.Helper()
	h := v.hosts[host]
	v.must(h.Interface(from).SetUp(false))
	v.must(h.Interface(to).SetUp(true))
	v.must(h.Interface(to).AwaitUp())
	v.must(h.Interface(to).AddRoute(netip.PrefixFrom(netip.IPv4Unspecified(), 0), router))
}

// A film is served by HTTP at its own pace, of which something is sent each tick until it
// is told to end.
type film struct {
	v    *village
	sum  []byte        // of what was sent
	end  chan struct{} // closed: send no more
	done chan struct{} // closed when all was sent
}

const (
	filmTick  = 20 * time.Millisecond
	filmChunk = 16 << 10 // bytes
)

// serveFilm has a host serve one viewer.
func (v *village) serveFilm(host string) *film {
	v.t.Helper()
	f := &film{v: v, end: make(chan struct{}), done: make(chan struct{})}
	ln, err := v.hosts[host].ListenTCP(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))
	v.must(err)
	s := &http.Server{Handler: http.HandlerFunc(f.serve)}
	go func() { _ = s.Serve(ln) }() // until it is closed
	v.t.Cleanup(func() { s.Close() })
	return f
}

func (f *film) serve(w http.ResponseWriter, _ *http.Request) {
	defer close(f.done)
	tick := time.NewTicker(filmTick)
	defer tick.Stop()
	sum := sha256.New()
	for chunk := make([]byte, filmChunk); ; {
		select {
		case <-f.end:
			f.sum = sum.Sum(nil)
			return
		case <-tick.C:
		}
		chunk[0]++
		sum.Write(chunk)
		if _, err := w.Write(chunk); err != nil {
			f.v.t.Errorf("the viewer has gone: %v", err)
			return
		}
	}
}

// arrives waits until a file on a host has grown by some chunks: what is in the network
// at this moment has arrived, and more.
func (f *film) arrives(host, file string) {
	f.v.t.Helper()
	size := func() int64 {
		info, err := os.Stat(f.v.path(host, file))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	for before, end := size(), time.Now().Add(guide.Patience); size() < before+20*filmChunk; time.Sleep(filmTick) {
		if time.Now().After(end) {
			f.v.t.Fatalf("the film does not arrive any more: %d bytes so far", size())
		}
	}
}

// peer returns the tunnel of a host to another one.
func (v *village) peer(host, vpn string) control.Peer {
	v.t.Helper()
	for _, p := range v.tunnels(v.t.Context(), host) {
		if p.VPNAddress == mustAddr(vpn) {
			return p
		}
	}
	v.t.Fatalf("%s has no tunnel to %s", host, vpn)
	return control.Peer{}
}

// TestRoaming does what docs/roaming.md says: a laptop goes from its home to the network
// of a phone, gets another address there, and comes back, while a transfer over TCP goes
// on, in one session.
func TestRoaming(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "curl", "curl")
	v := newVillage(t)
	v.host("nas", lab.PortRestricted)
	home, phone := v.nat("home", lab.NATOptions{Kind: lab.PortRestricted}), v.nat("phone", lab.NATOptions{Kind: lab.PortRestricted})
	v.behind("laptop", home)
	router := phone.LAN().Addr().Next()
	v.tether("laptop", "usb0", phone, router.Next().Next())
	v.run(villageServer, initServed)
	v.run(villageServer, "campagnol_rdv -D --authority --relay")
	v.joins("nas")

	r := readIn(v, guide.Open(t, "docs/roaming.md"))
	r.through("campagnol join")
	r.answers("laptop", "10.9.0.1")
	f := v.serveFilm("nas")
	began := v.peer("laptop", "10.9.0.1").Since
	transfer := r.g.Next(t)
	ended := make(chan error, 1)
	go func() {
		_, err := v.try(transfer.Host, transfer.Line)
		ended <- err
	}()
	over := sync.OnceValue(func() error {
		close(f.end)
		return <-ended
	})
	defer over() // also if the film has stopped
	f.travel(home, phone, router)
	if err := over(); err != nil {
		t.Fatalf("%s: %v", transfer.Line, err)
	}
	<-f.done
	got, err := os.ReadFile(v.path("laptop", "/root/film.mkv"))
	v.must(err)
	if sum := sha256.Sum256(got); string(sum[:]) != string(f.sum) {
		t.Errorf("%d bytes have arrived, which are not what was sent", len(got))
	}
	r.all()
	if p := v.peer("laptop", "10.9.0.1"); !p.Since.Equal(began) {
		t.Errorf("the session began at %v, want the one of %v", p.Since, began)
	}
	if p := v.peer("nas", "10.9.0.2"); p.PathMoves < 3 {
		t.Errorf("the session has moved %d times, want at least as often as the laptop", p.PathMoves)
	}
	if n := strings.Count(v.run("laptop", "campagnol status"), "ESTABLISHED"); n != 1 {
		t.Errorf("there are %d tunnels, want 1", n)
	}
}

// travel moves the laptop while the film is on its way.
func (f *film) travel(home, phone *lab.NAT, router netip.Addr) {
	f.v.t.Helper()
	v := f.v
	for _, move := range []func(){
		func() {},
		func() { v.goesBy("laptop", "eth0", "usb0", router) },
		func() {
			_, err := phone.Renumber()
			v.must(err)
		},
		func() { v.goesBy("laptop", "usb0", "eth0", home.LAN().Addr().Next()) },
	} {
		move()
		began := time.Now()
		f.arrives("laptop", "/root/film.mkv")
		v.t.Logf("the film goes on %v after the move", time.Since(began))
	}
}
