package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/internal/lab/program"

	"github.com/vishvananda/netlink"
)

// helperArg makes the test binary play a program of a test instead of running
// tests: what tests start inside a lab.
const helperArg = "play-helper"

func TestMain(m *testing.M) {
	program.Main()
	if len(os.Args) > 2 && os.Args[1] == helperArg {
		helper := helpers[os.Args[2]]
		if helper == nil {
			fmt.Fprintf(os.Stderr, "no helper %q\n", os.Args[2])
			os.Exit(99)
		}
		os.Exit(helper(os.Args[3:]))
	}
	// These tests wait for packets and processes more than they compute.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		f.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0)))
	}
	os.Exit(m.Run())
}

// helpers are the programs by name; they return the exit status.
var helpers = map[string]func(args []string) int{
	// hold runs until SIGTERM.
	"hold": helperHold,
	// stubborn does not mind SIGTERM.
	"stubborn": func([]string) int {
		signal.Ignore(syscall.SIGTERM)
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Info("Holding")
		time.Sleep(time.Hour)
		return 0
	},
	// parent leaves a child behind.
	"parent": func([]string) int {
		child := exec.Command(os.Args[0], helperArg, "stubborn")
		if err := child.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Info("Left behind", "pid", child.Process.Pid)
		return 0
	},
	// count writes a number of lines, in small pieces that end anywhere.
	"count": func(args []string) int {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return 1
		}
		var b bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&b, nil))
		for i := range n {
			log.Info(fmt.Sprintf("line %d.", i), "n", i)
		}
		for b.Len() > 0 {
			os.Stdout.Write(b.Next(50))
		}
		return 0
	},
	// say prints its arguments, one to a line, the last one without its end.
	"say": func(lines []string) int {
		fmt.Print(strings.Join(lines, "\n"))
		return 0
	},
	// env prints environment variables, one to a line.
	"env": func(names []string) int {
		for _, name := range names {
			fmt.Println(os.Getenv(name))
		}
		return 0
	},
	// fail says goodbye on the standard error stream.
	"fail": func([]string) int {
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Info("Starting")
		fmt.Fprintln(os.Stderr, "panic: something\n\ngoroutine 1 [running]:")
		return 3
	},
	// where prints the process's namespace and session.
	"where": func([]string) int {
		ino, err := inodeOf("/proc/self/ns/net")
		if err != nil {
			return 1
		}
		sid, _, _ := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Info("Here", "inode", ino.ino, "leads", int(sid) == os.Getpid())
		return 0
	},
	// server and client stand for the programs of the project.
	"server": func([]string) int {
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Info("Server listening on port {port}", "port", 57888)
		return helperHold(nil)
	},
	"client": helperClient,
	// lab makes a lab and waits to be killed.
	"lab": func([]string) int { return helperLab(false) },
	// kept makes a lab, keeps it and ends.
	"kept": func([]string) int { return helperLab(true) },
}

func helperHold([]string) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	slog.New(slog.NewJSONHandler(os.Stdout, nil)).Info("Holding")
	<-stop
	slog.New(slog.NewJSONHandler(os.Stdout, nil)).Info("Ending")
	return 0
}

// helperClient stands for the client: it makes a VPN of hosts on one network by
// taking its VPN address there, and writes all the time what a client writes
// at one time or another.
func helperClient(args []string) int {
	c, _, err := conf.LoadClient(args[len(args)-1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	link, err := netlink.LinkByName("eth0")
	if err == nil {
		addr := ipNet(netip.PrefixFrom(c.VPNIP, c.Network.Bits()))
		err = netlink.AddrAdd(link, &netlink.Addr{IPNet: addr})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	log.Info(msgRegistered, "server", c.ServerHost)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	for {
		for _, msg := range []string{msgAsking, msgPunching, msgPathOpen, msgOpened, msgTimeout, msgClosed} {
			for peer := range 3 {
				log.Info(msg, "peer", vpnAddr(peer))
			}
		}
		select {
		case <-stop:
			return 0
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A helperReport is what the helpers "lab" and "kept" print.
type helperReport struct {
	ID, Dir string
	PID     int // of a process inside the lab
}

// helperLab makes a lab with two nodes and a process.
func helperLab(keep bool) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l, err := New(context.Background(), Options{})
	if err != nil {
		return fail(err)
	}
	nat, err := l.AddNAT("nat", NATOptions{Kind: PortRestricted})
	if err != nil {
		return fail(err)
	}
	h, err := l.AddHost("h", nat)
	if err != nil {
		return fail(err)
	}
	p, err := h.Start("stubborn", os.Args[0], helperArg, "stubborn")
	if err != nil {
		return fail(err)
	}
	if _, err := p.Await(context.Background(), time.Time{}, Pattern{Message: "Holding"}); err != nil {
		return fail(err)
	}
	if keep {
		if err := l.Keep(); err != nil {
			return fail(err)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(helperReport{l.ID(), l.Dir(), p.PID()}); err != nil {
		return fail(err)
	}
	if !keep {
		time.Sleep(time.Hour)
	}
	return 0
}

// startHelper starts a helper inside a lab.
func startHelper(t testing.TB, n *Node, label string, args ...string) *Process {
	t.Helper()
	p, err := n.Start(label, os.Args[0], append([]string{helperArg}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
