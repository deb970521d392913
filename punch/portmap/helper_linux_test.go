package portmap

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// helperArg makes the test binary play a host behind a gateway: goroutines of a test
// would not stay in the network namespace of the host.
const helperArg = "play-host"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == helperArg {
		os.Exit(playHost(os.Args[2:]))
	}
	flag.Parse()
	os.Exit(m.Run())
}

// A hostPlan says what a host does.
type hostPlan struct {
	Port     uint16
	Methods  []Method
	Lifetime time.Duration
	Probe    bool // ask what the gateway speaks, and end
	IPv6     bool
}

// playHost opens a socket, which sends back what it receives, and keeps its port
// forwarded until SIGTERM. It logs what happens as JSON.
func playHost(args []string) int {
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var plan hostPlan
	if err := json.Unmarshal([]byte(args[0]), &plan); err != nil {
		log.Error("bad plan", "err", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if plan.Probe {
		began := time.Now()
		r, err := Probe(ctx, "")
		log.Info("Probed", "gateway", r.Way.Gateway, "private", r.Private(), "err", fmt.Sprint(err), "took", time.Since(began).Seconds())
		for _, a := range r.Answers {
			log.Info("Answer of "+a.Method.String(), "speaks", a.Speaks, "external", a.External, "reason", a.Reason)
		}
		return 0
	}
	network := "udp4"
	if plan.IPv6 {
		network = "udp"
	}
	conn, err := net.ListenPacket(network, fmt.Sprintf(":%d", plan.Port))
	if err != nil {
		log.Error("no socket", "err", err)
		return 2
	}
	go func() { // ends with the process
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if _, err := conn.WriteTo(buf[:n], from); err != nil {
				log.Error("echo", "err", err)
			}
		}
	}()
	began := time.Now()
	var m *Mapper
	m = New(Config{Port: plan.Port, Methods: plan.Methods, Lifetime: plan.Lifetime, IPv6: plan.IPv6, Log: log,
		Changed: func(_ context.Context, list []netip.AddrPort) {
			for _, s := range m.Status() {
				log.Info("Status", "ipv6", s.IPv6, "method", s.Method.String(), "external", s.External, "private", s.Private(), "reason", s.Reason,
					"for", time.Until(s.Expires).Seconds(), "took", time.Since(began).Seconds(), "addresses", len(list))
			}
		}})
	err = m.Run(ctx)
	log.Info("Ended", "err", err)
	return 0
}

// A site is a lab with one host behind a NAT, and one on the Internet.
type site struct {
	t        *testing.T
	lab      *lab.Lab
	nat      *lab.NAT
	host     *lab.Host
	stranger *lab.Host
	miniupnp string
	starts   int
}

// newSite makes a lab whose NAT lets nobody in.
func newSite(t *testing.T, o lab.Options) *site {
	t.Helper()
	testenv.Root(t)
	s := &site{t: t, miniupnp: testenv.Tool(t, "miniupnpd", "miniupnpd-nftables")}
	var err error
	if s.lab, err = lab.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.lab.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.nat, err = s.lab.AddNAT("nat", lab.NATOptions{Kind: lab.Symmetric}); err != nil {
		t.Fatal(err)
	}
	if s.host, err = s.lab.AddHost("host", s.nat); err != nil {
		t.Fatal(err)
	}
	if s.stranger, err = s.lab.AddHost("stranger", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.stranger.JoinMapped("eth0"); err != nil {
		t.Fatal(err)
	}
	return s
}

// daemon starts the gateway's port mapper.
func (s *site) daemon(o lab.PortMapperOptions) *lab.Process {
	s.t.Helper()
	s.starts++
	o.Label = fmt.Sprintf("miniupnpd.%d", s.starts)
	p, err := s.nat.StartPortMapper(s.t.Context(), s.miniupnp, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the end of the log of %v:\n%s", p, p.Tail())
		}
	})
	return p
}

// run starts the host's program.
func (s *site) run(plan hostPlan) *lab.Process {
	s.t.Helper()
	text, err := json.Marshal(plan)
	if err != nil {
		s.t.Fatal(err)
	}
	s.starts++
	p, err := s.host.Start(fmt.Sprintf("host.%d", s.starts), os.Args[0], helperArg, string(text))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the end of the log of %v:\n%s", p, p.Tail())
		}
	})
	return p
}

// await waits until a process has logged a message.
func (s *site) await(p *lab.Process, since time.Time, msg string) lab.LogLine {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	line, err := p.Await(ctx, since, lab.Pattern{Message: msg})
	if err != nil {
		s.t.Fatal(err)
	}
	return line
}

// stop ends the host's program, which must not take long. (A binary with the race
// detector waits for another second after its main function.)
func (s *site) stop(p *lab.Process) {
	s.t.Helper()
	began := time.Now()
	if err := p.Stop(); err != nil {
		s.t.Fatal(err)
	}
	if took := s.await(p, began, "Ended").Time.Sub(began); took > 1500*time.Millisecond {
		s.t.Errorf("the end took %v", took)
	}
}

// mapped waits for a mapping and returns its outer address.
func (s *site) mapped(p *lab.Process, since time.Time) (netip.AddrPort, lab.LogLine) {
	s.t.Helper()
	line := s.await(p, since, "The gateway forwards our port")
	a, err := netip.ParseAddrPort(line.Attr("external"))
	if err != nil {
		s.t.Fatal(err)
	}
	return a, line
}

// reaches reports whether the stranger gets an answer from an address, within wait.
func (s *site) reaches(a netip.AddrPort, wait time.Duration) bool {
	s.t.Helper()
	from := s.stranger.MappedAddr()
	if a.Addr().Is6() {
		from = s.stranger.Addr6()
	}
	conn, err := s.stranger.ListenUDP(netip.AddrPortFrom(from, 0))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 100)
	for end := time.Now().Add(wait); time.Now().Before(end); {
		if _, err := conn.WriteToUDPAddrPort([]byte("hello"), a); err != nil {
			s.t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, _, err := conn.ReadFromUDPAddrPort(buf); err == nil {
			return string(buf[:n]) == "hello"
		}
	}
	return false
}
