package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/pki"
	"campagnol/pki/ca"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/rdv/channel"
	"campagnol/tunnel/device"
)

// A lifeWorld is a VPN on a network in memory, with a clock of its own: the authority
// with the code of "campagnol ca", a rendezvous server that has it in its process, and
// members with the code of the client.
type lifeWorld struct {
	t       *testing.T
	net     *simnet.Net
	ca      *ca.CA
	rdvDir  string // with certificate and key of the server, and its state
	rdvLog  *textLog
	server  *rdv.Server
	stopRDV func()
	members []*lifeMember
	days    int // of members' certificates
}

// A lifeMember is a member. Its node is another one after a restart.
type lifeMember struct {
	*node
	w       *lifeWorld
	name    string
	vpn     netip.Addr
	conf    string
	mem     *device.Memory
	text    *textLog
	stop    func()
	sent    uint32
	numbers map[uint32]int // that have arrived, by sender's count
}

var lifeServer = netip.MustParseAddrPort("198.51.100.1:57888")

// inLife runs a test in a world whose members have certificates for so many days.
func inLife(t *testing.T, days int, f func(w *lifeWorld)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &lifeWorld{t: t, days: days, rdvDir: filepath.Join(dir, "rdv"), rdvLog: new(textLog), net: simnet.New(1, simnet.Delay(time.Millisecond))}
		var err error
		w.ca, err = ca.Init(filepath.Join(dir, "CA"), ca.InitOptions{Settings: ca.Settings{Server: lifeServer.String(), Network: netip.MustParsePrefix("10.9.0.0/24")}}, time.Now(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.issue(w.rdvDir, ca.Request{Name: "rdv", Rendezvous: true})
		w.startRDV()
		defer func() {
			for _, m := range w.members {
				m.stop()
			}
			w.stopRDV()
			w.net.Close()
			if t.Failed() {
				for _, m := range w.members {
					t.Logf("log of %s:\n%s", m.name, m.text.b.String())
				}
				t.Logf("log of the server:\n%s", w.rdvLog.b.String())
			}
		}()
		f(w)
	})
}

// issue copies what "campagnol ca issue" makes for a host to a directory.
func (w *lifeWorld) issue(dir string, req ca.Request) {
	w.t.Helper()
	issued, err := w.ca.Issue(time.Now(), rand.Reader, req)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	for to, from := range map[string]string{"cert.pem": issued.CertFile, "key.pem": issued.KeyFile, "ca.pem": issued.CAFile, "crl.pem": w.ca.Files.CRL} {
		var b []byte
		if err == nil {
			b, err = os.ReadFile(from)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), b, 0o600)
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// A serviceAuthority is the authority in the process of the server.
type serviceAuthority struct{ *ca.Service }

func (a serviceAuthority) Objects(now time.Time) ([]rdv.Object, error) {
	o, err := a.Service.Objects(now)
	var list []rdv.Object
	for _, l := range o.CRLs {
		list = append(list, rdv.Object{Kind: channel.CRL, Content: l})
	}
	if o.Bulletin != nil {
		list = append(list, rdv.Object{Kind: channel.Bulletin, Content: o.Bulletin})
	}
	return list, err
}

// rdvTrust reads the files of the server.
func (w *lifeWorld) rdvTrust() *rdv.Trust {
	w.t.Helper()
	in := func(name string) string { return filepath.Join(w.rdvDir, name) }
	id, err := pki.LoadIdentity(in("cert.pem"), in("key.pem"))
	if err != nil {
		w.t.Fatal(err)
	}
	policy, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: in("ca.pem")}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return rdv.NewTrust(id, policy)
}

// startRDV starts the server, with what it has kept.
func (w *lifeWorld) startRDV() {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w.rdvLog, nil))
	service, err := ca.OpenService(w.ca.Dir, nil, log)
	if err != nil {
		w.t.Fatal(err)
	}
	state, err := rdv.OpenState(filepath.Join(w.rdvDir, "state"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = rdv.New(rdv.Config{
		Conn: w.net.Internet().Listen(lifeServer.String()), Mode: rdv.Strict, Trust: w.rdvTrust(), Authority: serviceAuthority{service}, State: state, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := w.server.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.stopRDV = func() { cancel(); run.Wait() }
}

// member adds a member, which renews its certificate by itself if the configuration
// says so, and starts it.
func (w *lifeWorld) member(name, vpn, security string) *lifeMember {
	w.t.Helper()
	m := &lifeMember{w: w, name: name, vpn: netip.MustParseAddr(vpn), text: new(textLog), numbers: map[uint32]int{}}
	dir := filepath.Join(filepath.Dir(w.rdvDir), name)
	w.issue(dir, ca.Request{Name: name, Addrs: []netip.Addr{m.vpn}, Days: w.days})
	m.conf = filepath.Join(dir, "campagnol.conf")
	text := fmt.Sprintf("[NETWORK]\nserver_host = %v\nrdv_auth = yes\n[VPN]\nvpn_ip = %v\nnetwork = 10.9.0.0/24\n[CLIENT]\ncontrol_socket = none\nstate_dir = %s\n"+
		"[SECURITY]\ncertificate = %[3]s/cert.pem\nkey = %[3]s/key.pem\nca_certificates = %[3]s/ca.pem\n%s", lifeServer.Addr(), m.vpn, dir, security)
	if err := os.WriteFile(m.conf, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.members = append(w.members, m)
	m.start()
	return m
}

// start starts the member's client.
func (m *lifeMember) start() {
	t := m.w.t
	t.Helper()
	m.node = &node{news: make(chan struct{}, 1), level: new(slog.LevelVar), file: m.conf, log: slog.New(slog.NewTextHandler(m.text, nil))}
	m.newExchange = m.beginRenewal
	cfg, problems, err := conf.LoadClient(m.conf)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	trust, err := loadTrust(t.Context(), cfg, time.Now(), m.log, m.warn)
	if err != nil {
		t.Fatal(err)
	}
	trust.news = m.news
	m.mem = device.NewMemory("tun0")
	p := &parts{cfg: cfg, trust: trust, where: &addresses{servers: client.At(lifeServer)}, kernel: new(device.Kernel)}
	host := byte(m.vpn.As4()[3])
	p.client, err = client.New(client.Config{
		VPNAddr: cfg.VPNIP, Network: cfg.Network, Conn: m.w.net.Internet().Listen(fmt.Sprintf("203.0.113.%d:5000", host)),
		Device: m.mem, Settings: p.settings(cfg, trust), Log: m.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.cfg, m.parts = cfg, p
	m.show()
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := p.client.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	run.Go(func() { m.watch(ctx) })
	run.Go(func() { m.keepCertificate(ctx) })
	m.stop = func() {
		cancel()
		run.Wait()
		m.stop = func() {}
	}
	time.Sleep(2 * time.Second)
}

// send sends numbered packets to peers.
func (m *lifeMember) send(to ...*lifeMember) {
	for _, peer := range to {
		b := make([]byte, 28)
		b[0], b[3], b[8], b[9] = 0x45, 28, 64, 253
		src, dst := m.vpn.As4(), peer.vpn.As4()
		copy(b[12:], src[:])
		copy(b[16:], dst[:])
		m.sent++
		binary.BigEndian.PutUint32(b[20:], m.sent)
		b[24] = src[3]
		m.mem.Inject(b)
	}
}

// take counts what has arrived.
func (m *lifeMember) take() {
	for {
		select {
		case b := <-m.mem.Delivered():
			if len(b) == 28 {
				m.numbers[uint32(b[24])<<24|binary.BigEndian.Uint32(b[20:])]++
			}
		default:
			return
		}
	}
}

// talk lets all members send to each other for a while, a packet every interval, and
// checks that every packet arrives, once.
func (w *lifeWorld) talk(what string, d, interval time.Duration, members ...*lifeMember) {
	w.t.Helper()
	before, sent := 0, 0
	for _, m := range members {
		m.take()
		before += len(m.numbers)
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(interval) {
		for _, m := range members {
			for _, to := range members {
				if to != m {
					m.send(to)
					sent++
				}
			}
			m.take()
		}
	}
	time.Sleep(time.Second)
	after := 0
	for _, m := range members {
		m.take()
		after += len(m.numbers)
		for n, times := range m.numbers {
			if times != 1 {
				w.t.Errorf("%s: %s received packet %x %d times", what, m.name, n, times)
			}
		}
	}
	if after-before != sent {
		w.t.Errorf("%s: of %d packets %d have arrived", what, sent, after-before)
	}
}

// hears reports whether a packet of another member arrives.
func (m *lifeMember) hears(from *lifeMember) bool {
	m.take()
	before := len(m.numbers)
	from.send(m)
	time.Sleep(time.Second)
	m.take()
	return len(m.numbers) > before
}

// logged counts lines of the member's log.
func (m *lifeMember) logged(text string) int { return m.text.count(text) }

// trusts returns the names of the authorities that the member trusts.
func (m *lifeMember) trusts() string {
	var names []string
	for _, c := range m.view.Load().trust.policy.Roots() {
		names = append(names, c.Subject.CommonName)
	}
	return strings.Join(names, ", ")
}

// issuer returns the name of the authority that has issued the member's certificate.
func (m *lifeMember) issuer() string {
	return m.view.Load().trust.identity.Chain[0].Issuer.CommonName
}
