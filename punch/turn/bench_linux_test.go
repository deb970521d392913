package turn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv/relay"
)

// asRelay has the test's program be a relay, and nothing else.
const asRelay = "CAMPAGNOL_TEST_AS_RELAY"

func TestMain(m *testing.M) {
	if os.Getenv(asRelay) != "" {
		if err := beRelay(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beRelay is a relay at a port of 127.0.0.1 until standard input ends. It says where it
// is, and credentials.
func beRelay() error {
	conn, err := udp.Listen(udp.Config{Addr: at("127.0.0.1:0")})
	if err != nil {
		return err
	}
	secret := relay.NewSecret()
	s := relay.New(relay.Config{
		Links: []relay.Link{conn}, Secret: secret, May: netip.Addr.IsLoopback, Rate: 1 << 40, Total: 1 << 40,
		Listen: func(at netip.AddrPort) (punch.Conn, error) { return udp.Listen(udp.Config{Addr: at, Batch: 4}) },
		Own:    func() []netip.Addr { return []netip.Addr{at("127.0.0.1:0").Addr()} },
	})
	go readFor(s, conn)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	user, password := secret.Issue(time.Now(), alice)
	fmt.Println(conn.LocalAddr(), user, password)
	return s.Run(ctx)
}

// startProcess runs our relay as a process of its own.
func startProcess(b *testing.B) (Config, *exec.Cmd) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asRelay+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 3 {
		b.Fatalf("the relay says %q, %v", line, err)
	}
	return Config{Server: at(words[0]), User: words[1], Password: words[2]}, cmd
}

const (
	loadSize  = 1400
	loadCount = 44 // of a run
)

// load sends b.N runs to a peer, of which few are on their way at a time, and reports
// how much has arrived.
func load(b *testing.B, from punch.Conn, to *udp.Conn, most int64) {
	b.Helper()
	var got atomic.Int64
	go func() {
		for {
			ds, err := to.Receive()
			if err != nil {
				return
			}
			for _, d := range ds {
				got.Add(int64(len(d.Data)))
			}
		}
	}()
	run := []punch.Datagram{{Addr: to.LocalAddr(), Data: make([]byte, loadCount*loadSize), Segment: loadSize}}
	one := []punch.Datagram{{Addr: to.LocalAddr(), Data: []byte("x")}}
	for end := time.Now().Add(10 * time.Second); got.Load() == 0; time.Sleep(10 * time.Millisecond) {
		if from.Send(one) != nil || time.Now().After(end) {
			b.Fatal("nothing arrives")
		}
	}
	time.Sleep(100 * time.Millisecond) // for the channel
	got.Store(0)
	b.SetBytes(loadCount * loadSize)
	var sent, lost int64
	for b.Loop() {
		if err := from.Send(run); err != nil {
			b.Fatal(err)
		}
		sent += loadCount * loadSize
		for idle := time.Now(); sent-lost-got.Load() > most; time.Sleep(5 * time.Microsecond) {
			if before := got.Load(); time.Since(idle) > 20*time.Millisecond {
				lost = sent - before
			}
		}
	}
	time.Sleep(50 * time.Millisecond)
	b.ReportMetric(100*(1-float64(got.Load())/float64(sent)), "%lost")
	b.ReportMetric(float64(got.Load())/b.Elapsed().Seconds()/1e6, "MB/s-arrived")
}

// BenchmarkThrough is one load over the kernel's sockets of one machine: without a
// relay, through ours and through coturn. It reports the processor time of the relay for
// each GB, and fails if ours takes more.
func BenchmarkThrough(b *testing.B) {
	var ours, others float64
	b.Run("none", func(b *testing.B) {
		load(b, listen(b, "127.0.0.2:0"), listen(b, "127.0.0.4:0"), 2*loadCount*loadSize)
	})
	b.Run("ours", func(b *testing.B) {
		cfg, cmd := startProcess(b)
		ours = through(b, cfg, cmd)
	})
	b.Run("coturn", func(b *testing.B) {
		where, cmd := startCoturn(b)
		others = through(b, Config{Server: where, User: "alice", Password: password}, cmd)
	})
	if ours > 0 && others > 0 && ours >= others {
		b.Errorf("%.3g s/GB, coturn %.3g s/GB", ours, others)
	}
}

// through loads a relay that is a process, and returns what it takes.
func through(b *testing.B, cfg Config, cmd *exec.Cmd) float64 {
	b.Helper()
	cfg.Conn = listen(b, "127.0.0.2:0")
	c := allocated(b, cfg)
	begin := used(b, cmd.Process.Pid)
	load(b, c, listen(b, "127.0.0.4:0"), 2*loadCount*loadSize)
	gb := float64(b.N) * loadCount * loadSize / 1e9
	each := (used(b, cmd.Process.Pid) - begin).Seconds() / gb
	b.ReportMetric(each, "cpu-s/GB")
	return each
}

// used returns the processor time of a process: the 14th and the 15th field of its
// stat, in hundredths of a second (proc(5)).
func used(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	words := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.Atoi(words[11])
	if err != nil {
		b.Fatal(err)
	}
	system, err := strconv.Atoi(words[12])
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
